"""Being the one process that does something in a data directory."""

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Final

from richpanel.roles.parent import CannotRunError

LOCK_SECONDS: Final = 5.0
"""How long a start waits for the process of a server that is just ending."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Be the one process that writes a file of the directory, by a lock beside it. Raises CannotRunError."""
    with path.open("a") as lock:
        deadline = monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if monotonic() > deadline:
                    raise CannotRunError(f"another server runs on {path.parent}: stop that one first") from None
                threading.Event().wait(0.05)
        yield
