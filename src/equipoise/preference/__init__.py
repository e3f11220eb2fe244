"""Preferences: comparison records of any modality, votes, ratings.

The two parts of this package are modules of their own: `equipoise.preference.comparisons` and
`equipoise.preference.ratings`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
