"""A file that is there under its name once it is complete, or not at all."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from richpanel.log.files import drop_cached, sync_directory

STDOUT: Final = "-"
_SUFFIX: Final = ".partial"
_FOLDER_SUFFIX: Final = ".d"
_SYNC_BYTES: Final = 16 << 20
"""So much is written between two syncs: one large write-back would make everybody else's syncs wait for it."""


class Draft:
    """Written beside its final name, for this user alone; leaving the context without `complete` removes it.

    Standard output, where the name is `-`, is written to as it is.
    """

    def __init__(self, file: Path, *, overwrite: bool) -> None:
        """Begin. Raises OSError, also where the file is there already, or somebody else is writing it."""
        self.size = 0
        self._file = file
        self._synced = 0
        self._draft: Path | None = None
        if str(file) == STDOUT:
            if sys.stdout.isatty():
                raise OSError("this is nothing for a terminal: name a file, or send it into one")
            self._fd = os.dup(1)
            return
        if file.exists() and not overwrite:
            raise OSError(f"{file} is there already: name another file, or --overwrite")
        draft = file.with_name(file.name + _SUFFIX)
        self._fd = os.open(draft, os.O_RDWR | os.O_CREAT, 0o600)
        if not _ours(self._fd, draft):
            os.close(self._fd)
            raise OSError(f"somebody else is writing {file} just now")
        os.ftruncate(self._fd, 0)  # One that was killed left it.
        self._draft = draft

    def __enter__(self) -> "Draft":
        return self

    def __exit__(self, *_: object) -> None:
        if self._draft is not None:
            self._draft.unlink(missing_ok=True)
        os.close(self._fd)

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """Give a folder beside it for what is needed meanwhile; what one that was killed left there goes first."""
        if self._draft is None:
            with TemporaryDirectory(prefix="richpanel-") as elsewhere:
                yield Path(elsewhere)
            return
        folder = self._draft.with_name(self._draft.name + _FOLDER_SUFFIX)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def write(self, data: bytes) -> int:
        """Write all of it."""
        left = memoryview(data)
        while left:
            left = left[os.write(self._fd, left) :]
        self.size += len(data)
        if self._draft is not None and self.size - self._synced >= _SYNC_BYTES:
            self._sync()
        return len(data)

    def complete(self) -> None:
        """Put the file under its name, safe on disk."""
        if self._draft is None:
            return
        self._sync()
        self._draft.replace(self._file)
        self._draft = None
        sync_directory(self._file.absolute().parent)

    def _sync(self) -> None:
        os.fdatasync(self._fd)
        drop_cached(self._fd, 0, 0)
        self._synced = self.size


def _ours(fd: int, path: Path) -> bool:
    """Lock the file; tell whether that worked, and the file is still the one under this name."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
