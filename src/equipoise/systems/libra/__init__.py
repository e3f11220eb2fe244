"""Libra: a board that ranks models by balanced safety and capability, with joint intervals."""

import lazy_loader

from equipoise.core.rooms import Room

_COMMANDS = "equipoise.systems.libra.commands"

ROOM = Room(
    name="libra",
    title="Libra: a balanced safety x capability board",
    paper="Li et al., Libra-Leaderboard: Towards Responsible AI through a Balanced Leaderboard of "
    "Safety and Capability, NAACL 2025 (system demonstrations), arXiv 2412.18551",
    bibtex="""@inproceedings{li2025libra,
  title = {Libra-Leaderboard: Towards Responsible {AI} through a Balanced Leaderboard of Safety and
           Capability},
  author = {Li, Haonan and Han, Xudong and Zhai, Zenan and Mu, Honglin and Wang, Hao and
            Zhang, Zhenxuan and Geng, Yilin and Lin, Shom and Wang, Renxi and Shelmanov, Artem and
            Qi, Xiangyu and Wang, Yuxia and Hong, Donghai and Yuan, Youliang and Chen, Meng and
            Tu, Haoqin and Koto, Fajri and Kuribayashi, Tatsuki and Zeng, Cong and
            Bhardwaj, Rishabh and Zhao, Bingchen and Duan, Yawen and Liu, Yi and
            Alghamdi, Emad A. and Yang, Yaodong and Dong, Yinpeng and Poria, Soujanya and
            Liu, Pengfei and Liu, Zhengzhong and Ren, Xuguang and Hovy, Eduard and
            Gurevych, Iryna and Nakov, Preslav and Choudhury, Monojit and Baldwin, Timothy},
  booktitle = {Proceedings of the 2025 Conference of the Nations of the Americas Chapter of the
               Association for Computational Linguistics: System Demonstrations},
  year = {2025},
  eprint = {2412.18551},
  archivePrefix = {arXiv}
}""",
    presets=("tiny", "small", "paper"),
    verbs={
        verb: f"{_COMMANDS}:{function}"
        for verb, function in {
            "board": "board",
            "demo": "demo",
            "evaluate": "evaluate",
            "import": "import_files",
            "rate": "rate",
            "reproduce": "reproduce",
            "tasks": "tasks",
        }.items()
    },
    config="equipoise.systems.libra.config:LibraConfig",
    note="Score, macro-average and task list are published; intervals, rank ranges, fixed anchors, "
    "the runner and its cache are this package's own.",
)

__getattr__, _dir, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "ROOM"])


def __dir__() -> list[str]:
    return sorted(__all__)
