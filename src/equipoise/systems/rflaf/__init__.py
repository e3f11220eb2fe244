"""RFLAF: random features whose one activation is learnt from the data.

Where things are: `objective` (bases, equations), `table` (fast evaluation), `ridge` (readout, GCV,
leave-one-out), `problem` with `row_problem` and `lifted_problem` (what is to be fitted), `varpro`,
`alternating`, `adam` (solvers), `choosing` (starts, alpha, smooth, rank), `logistic` (log loss),
`fitting` (a whole fit), `fitted` (its result), `statistics` (lifted sums), `scaling`, `parameters`,
`calibrated` and `estimator` with `regressor`, `classifier`, `transformer`; `intervals`,
`compression`, `kernel`, `lan` (torch), `persistence`, `shards`; `data`, `datasets`, `tables`,
`baselines`, `kan`, `training`, `training_report`, `accumulating`, `streaming`, `evaluate`,
`reproduction`, `compressing`, `demonstration`, `drawing`, `forming`,
`commands`; `pages`, `jobs` (studio).
"""

import lazy_loader

from equipoise.core.rooms import Room

_COMMANDS = "equipoise.systems.rflaf.commands"
_VERBS = (
    "accumulate",
    "activation",
    "compress",
    "demo",
    "evaluate",
    "merge",
    "predict",
    "reproduce",
    "solve",
    "train",
)

ROOM = Room(
    name="rflaf",
    title="RFLAF: random features with learnable activation functions",
    paper="Ma, Yang and Yang, Random Feature Models with Learnable Activation Functions (later "
    "Learning Expressive Random Feature Models via Parametrized Activations), arXiv 2411.19468",
    bibtex="""@article{ma2024rflaf,
  title = {Random Feature Models with Learnable Activation Functions},
  author = {Ma and Yang and Yang},
  journal = {arXiv preprint arXiv:2411.19468},
  year = {2024}
}""",
    presets=("tiny", "small", "paper"),
    verbs={verb: f"{_COMMANDS}:{verb}" for verb in _VERBS},
    config="equipoise.systems.rflaf.config:RFLAFConfig",
    pages="equipoise.systems.rflaf.pages:routes",
    note="Model, loss, balance penalty, Adam recipe and synthetic sets are published, compression "
    "follows arXiv 2510.15327; variable projection, lifted statistics, kernel, intervals and "
    "automatic scaling are this package's own.",
)

__getattr__, _dir, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = sorted([*_names, "ROOM"])


def __dir__() -> list[str]:
    return sorted(__all__)
