"""Bradley-Terry ratings from sufficient statistics, and what stands around them.

Counting votes, connectivity of the graph of wins, the fit with four treatments of ties, intervals
(sandwich, information, bootstrap), rank sets, ratings that move with every vote, Elo, ratings under
control of style, and the gain of the next pair. NumPy and SciPy only.

Sources: Bradley and Terry 1952; Ford 1957 (existence); Davidson 1970; Rao and Kupper 1967.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
