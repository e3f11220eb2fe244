"""Stream Aligner: every sentence of a running model is reviewed before it is shown."""

import lazy_loader

from equipoise.core.rooms import Room

_COMMANDS = "equipoise.systems.stream_aligner.commands"
_SCIENCE = "equipoise.systems.stream_aligner.science_commands"

ROOM = Room(
    name="stream_aligner",
    title="Stream Aligner: sentence-by-sentence correction of a running model",
    paper="Lou et al., Stream Aligner: Efficient Sentence-Level Alignment via Distribution "
    "Induction, AAAI 2025 (alignment track), arXiv 2501.05336",
    bibtex="""@inproceedings{lou2025stream,
  title = {Stream Aligner: Efficient Sentence-Level Alignment via Distribution Induction},
  author = {Lou, Hantao and Ji, Jiaming and Wang, Kaile and Yang, Yaodong},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence (Alignment Track)},
  year = {2025},
  eprint = {2501.05336},
  archivePrefix = {arXiv}
}""",
    presets=("tiny", "small", "paper"),
    verbs={
        "audit": "equipoise.systems.stream_aligner.audit.commands:audit",
        "collect": "equipoise.systems.stream_aligner.collection.commands:collect",
        "correct": f"{_COMMANDS}:correct",
        "demo": f"{_COMMANDS}:demo",
        "evaluate": f"{_SCIENCE}:evaluate",
        "reproduce": "equipoise.systems.stream_aligner.experiments.commands:reproduce",
        "segment": f"{_COMMANDS}:segment",
        "serve": "equipoise.systems.stream_aligner.proxy.commands:serve",
        "train": f"{_SCIENCE}:train",
    },
    config="equipoise.systems.stream_aligner.config:StreamAlignerConfig",
    pages="equipoise.systems.stream_aligner.audit.pages:routes",
    note="The loop and the induced kernel are published; segment rules, exactly solvable worlds, "
    "speculation and failure policies are this package's own; what the released code shows and "
    "the abstract does not say is reconstructed.",
)

__getattr__, _dir, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "ROOM"])


def __dir__() -> list[str]:
    return sorted(__all__)
