"""What every server shares: page frame, security, errors, event streams, start and stop."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
