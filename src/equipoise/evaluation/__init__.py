"""Tasks, scorers, judges, result rows and the balanced score: how behaviour is judged.

Source of every rule: the Libra specification; Libra-Leaderboard (arXiv 2412.18551) for the balanced
score and the macro-average.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
