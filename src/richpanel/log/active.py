"""The one segment that is appended to. Synchronous: the writer's thread calls it, and nobody else."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from richpanel.log.contract import LogDamaged
from richpanel.log.files import SEALED_MODE, drop_cached, segment_path, sync_directory
from richpanel.log.recovery import intact_end

_BUFFERS_PER_WRITE: Final = min(os.sysconf("SC_IOV_MAX"), 1024)
_CACHED: Final = 32 << 20
"""So much of the log's end stays in the page cache for the readers that follow. What lies further back is dropped: the
log must not push the databases out of memory, and writing into pages just given back was measured at a sixth to a third
of the CPU of writing into ever new ones (docs/decisions/0002)."""


_PROBE: Final = 64 << 10


class ActiveSegment:
    """A file whose first `size` bytes are safe on disk. A write that fails leaves that as it was."""

    def __init__(self, directory: Path, base: int) -> None:
        """Open the segment at position `base`, or make it; all that is in it must be whole and synced. OSError."""
        self.base = base
        self._directory = directory
        self._path = segment_path(directory, base)
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o640)
        self.size = os.fstat(self._fd).st_size
        self._checked = 0
        """A record boundary at or before `size`: what lies before it was synced by an earlier write than the last."""
        self._doubtful = False
        self._cached_from = 0
        self._predecessor: Path | None = None
        """The sealed segment before this one, until its end has left the page cache too."""
        try:
            sync_directory(directory)
        except OSError:
            self.close()
            raise

    @property
    def end(self) -> int:
        """The position behind the last safe record."""
        return self.base + self.size

    def write(self, buffers: Sequence[bytes], size: int) -> None:
        """Append the buffers, `size` bytes in all and whole records, and sync once. Raises OSError: nothing was kept.

        After a failure the file is brought back to its safe length; until that has worked, each write tries it first,
        and raises LogDamaged if the file turns out to have lost what was safe.
        """
        if self._doubtful:
            self._repair()
        try:
            self._append(buffers, size)
            os.fdatasync(self._fd)
        except BaseException:
            self._doubtful = True
            # At once, so that a crash does not bring back what the caller is about to be told was not kept.
            with suppress(OSError, LogDamaged):
                self._repair()
            raise
        self._checked = self.size
        self.size += size
        if self.size - self._cached_from >= _CACHED * 5 // 4:
            self._uncache()

    def probe(self) -> None:
        """Find out whether the disk would take something, and leave nothing behind. Raises as `write`.

        Zeroes are never a record, so that a crash in between leaves nothing that could be read.
        """
        if self._doubtful:
            self._repair()
        self._doubtful = True
        try:
            self._append([bytes(_PROBE)], _PROBE)
            os.fdatasync(self._fd)
        finally:
            self._repair()

    def _append(self, buffers: Sequence[bytes], size: int) -> None:
        place, end = self.size, self.size + size
        for first in range(0, len(buffers), _BUFFERS_PER_WRITE):
            some: Sequence[bytes | memoryview] = buffers[first : first + _BUFFERS_PER_WRITE]
            while some:
                written = os.pwritev(self._fd, some, place)
                place += written
                # Whole in all but rare cases: a disk that fills up, a signal.
                some = [] if place == end else _behind(some, written)

    def _repair(self) -> None:
        """Bring the file back to `size` bytes that are really there, after a write or a sync has failed.

        A failed sync marks the pages as clean though they are not on disk, so the page cache proves nothing: the file
        is opened anew, its cached pages are dropped, and the records of the last good write are read again. What was
        synced before that shares no page with what failed.
        """
        self.close()
        self._fd = os.open(self._path, os.O_RDWR)
        if os.fstat(self._fd).st_size < self.size:
            raise LogDamaged(self.end, "the file is shorter than what had been synced")
        os.ftruncate(self._fd, self.size)
        os.fdatasync(self._fd)
        drop_cached(self._fd, 0, 0)
        whole = intact_end(self._fd, self._checked, self.size)
        if whole != self.size:
            raise LogDamaged(self.base + whole, "what had been synced cannot be read back after a failed write")
        self._doubtful = False

    def _uncache(self) -> None:
        cached_from = self.size - _CACHED
        drop_cached(self._fd, self._cached_from, cached_from - self._cached_from)
        self._cached_from = cached_from
        if self._predecessor is not None:
            with suppress(OSError):  # Retention may have dropped it.
                fd = os.open(self._predecessor, os.O_RDONLY)
                drop_cached(fd, 0, 0)
                os.close(fd)
            self._predecessor = None

    def next(self) -> Self:
        """Begin the segment that follows, and make this one read-only. Raises as `write`: this one stays as it was."""
        if self._doubtful:
            self._repair()
        os.fsync(self._fd)
        following = type(self)(self._directory, self.end)
        with suppress(OSError):  # Only a guard against hands; the next start makes good for it.
            os.fchmod(self._fd, SEALED_MODE)
        following._predecessor = self._path
        self.close()
        return following

    def close(self) -> None:
        """Give the file back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _behind(buffers: Sequence[bytes | memoryview], written: int) -> list[bytes | memoryview]:
    """Return what is left of the buffers after the first `written` bytes."""
    left: list[bytes | memoryview] = []
    for buffer in buffers:
        if written >= len(buffer):
            written -= len(buffer)
            continue
        left.append(memoryview(buffer)[written:] if written else buffer)
        written = 0
    return left
