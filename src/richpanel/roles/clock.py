"""The clock of the roles."""

from time import time


def now_ms() -> int:
    """Give the time in ms UTC."""
    return int(time() * 1000)
