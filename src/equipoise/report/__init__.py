"""Reports people like to read: tables, plots, videos and one self-contained HTML file per run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
