"""Rooms that are specified and not built yet, so that they can be listed and cited.

A room that is built has its record in its own package, and its entry here goes.
"""

from collections.abc import Mapping
from types import MappingProxyType

from equipoise.core.rooms import Room, rooms


def _room(name: str, title: str, paper: str, bibtex: str, note: str = "") -> Room:
    return Room(name, title, paper, bibtex, presets=(), verbs={}, config="", note=note)


_SPECIFIED = (
    _room(
        "align_anything",
        "Align-Anything: preference training for any modality in and out",
        "Align Anything: Training All-Modality Models to Follow Instructions with Language Feedback",
        """@article{ji2024alignanything,
  title = {Align Anything: Training All-Modality Models to Follow Instructions with Language Feedback},
  author = {Ji, Jiaming and others},
  journal = {arXiv preprint arXiv:2412.15838},
  year = {2024}
}""",
    ),
    _room(
        "attention_field",
        "Neural attention field: one demonstrated grasp, transferred to new scenes",
        "Neural Attention Field: Emerging Point Relevance in 3D Scenes for One-Shot Dexterous Grasping",
        """@inproceedings{attentionfield2024,
  title = {Neural Attention Field: Emerging Point Relevance in 3D Scenes for One-Shot Dexterous Grasping},
  booktitle = {Conference on Robot Learning (CoRL)},
  year = {2024},
  note = {arXiv:2410.23039}
}""",
        note="NAF-style; details reconstructed",
    ),
    _room(
        "cgpo",
        "CGPO: safe reinforcement learning by analytic gradients",
        "Safe Reinforcement Learning using Finite-Horizon Gradient-based Estimation",
        """@inproceedings{dai2024cgpo,
  title = {Safe Reinforcement Learning using Finite-Horizon Gradient-based Estimation},
  author = {Dai and Yang and Zheng and Pan},
  booktitle = {International Conference on Machine Learning (ICML)},
  year = {2024},
  note = {arXiv:2412.11138}
}""",
    ),
    _room(
        "h_psro",
        "Heterogeneous-PSRO: ex ante equilibria of two-team zero-sum games",
        "Computing Ex Ante Equilibrium in Heterogeneous Zero-Sum Team Games",
        """@article{liu2024hpsro,
  title = {Computing Ex Ante Equilibrium in Heterogeneous Zero-Sum Team Games},
  author = {Liu and others},
  journal = {Frontiers of Computer Science},
  volume = {20},
  number = {11},
  year = {2026},
  doi = {10.1007/s11704-025-51045-0},
  note = {arXiv:2410.01575}
}""",
    ),
    _room(
        "mpo",
        "Magnetic Preference Optimisation: preference games solved in the last iterate",
        "Magnetic Preference Optimization: Achieving Last-iterate Convergence for Language Model Alignment",
        """@inproceedings{wang2025mpo,
  title = {Magnetic Preference Optimization},
  author = {Wang and others},
  booktitle = {International Conference on Learning Representations (ICLR)},
  year = {2025},
  note = {arXiv:2410.16714}
}""",
    ),
    _room(
        "objdex",
        "ObjDex: dexterous manipulation from human motion",
        "Object-Centric Dexterous Manipulation from Human Motion Data",
        """@inproceedings{objdex2024,
  title = {Object-Centric Dexterous Manipulation from Human Motion Data},
  booktitle = {Conference on Robot Learning (CoRL)},
  year = {2024},
  note = {arXiv:2411.04005}
}""",
    ),
    _room(
        "rat",
        "RAT: preference-guided targeted attacks on reinforcement-learning agents",
        "RAT: Adversarial Attacks on Deep Reinforcement Agents for Targeted Behaviors",
        """@inproceedings{bai2025rat,
  title = {RAT: Adversarial Attacks on Deep Reinforcement Agents for Targeted Behaviors},
  author = {Bai, F. and Liu, R. and Du, Y. and Wen, Y. and Yang, Y.},
  booktitle = {AAAI Conference on Artificial Intelligence},
  year = {2025},
  note = {arXiv:2412.10713}
}""",
    ),
    _room(
        "rflaf",
        "RFLAF: random features with learnable activation functions",
        "Random Feature Models with Learnable Activation Functions",
        """@article{ma2024rflaf,
  title = {Random Feature Models with Learnable Activation Functions},
  author = {Ma and Yang and Yang},
  journal = {arXiv preprint arXiv:2411.19468},
  year = {2024}
}""",
    ),
)


def planned() -> Mapping[str, Room]:
    """Return the specified rooms that are not installed, by name."""
    built = rooms()
    return MappingProxyType({room.name: room for room in _SPECIFIED if room.name not in built})
