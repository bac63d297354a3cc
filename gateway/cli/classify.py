"""``gateway classify``."""


def classify() -> None:
    """Classify."""
