"""The studio: rooms, runs and reports in the browser, with each room's own pages mounted."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
