"""Models, agents, teams and hands in balance with human intent: ten systems on one base."""

__version__ = "0.1.0"

__all__ = ["__version__"]
