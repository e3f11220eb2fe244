"""`equipoise tour`: the main job."""


def tour() -> None:
    """Take the tour."""
