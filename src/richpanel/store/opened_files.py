"""Looking into the files of a SQLite database that is open in this process, without taking its locks away.

A lock by fcntl(2) is the process's, and it is gone once the process closes *any* descriptor of the file, whoever opened
it ("How To Corrupt An SQLite Database File", 2.2). Others then take the database for one that nobody uses: they remove
its write-ahead log, or make its index anew under our feet. So a file that was opened here stays open until its name
means another one, or none.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from richpanel.store.driver import file_at

T = TypeVar("T")


class _Opened:
    """The files that are open, by their paths; one at a time is looked into, so that none is closed meanwhile."""

    def __init__(self) -> None:
        self._fds: dict[Path, int] = {}
        self._lock = threading.Lock()

    def look(self, path: Path, into: Callable[[int], T]) -> T:
        """Call `into` with a descriptor of a file. Raises OSError."""
        with self._lock:
            self._let_go()
            if path not in self._fds:
                self._fds[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            return into(self._fds[path])

    def _let_go(self) -> None:
        for path, fd in list(self._fds.items()):
            found = os.fstat(fd)
            if file_at(path) != (found.st_dev, found.st_ino):
                os.close(self._fds.pop(path))


look: Final = _Opened().look
