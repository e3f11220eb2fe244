"""Comparison records: the one file format in which rooms exchange human (or judged) preferences.

JSON lines, one record a line, any modality; media lie beside the file or inline. No torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
