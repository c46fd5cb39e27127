"""The files of a segment log: what they are called, the lock, and the published end (docs/decisions/0002)."""

import fcntl
import os
import re
from contextlib import suppress
from itertools import pairwise
from mmap import ACCESS_READ, ACCESS_WRITE, mmap
from pathlib import Path
from typing import Final, Self

from richpanel.log.contract import LogLocked

DURABLE: Final = "durable"
LOCK: Final = "lock"
TORN: Final = "torn"
SEALED_MODE: Final = 0o440

_NAME: Final = re.compile(r"(\d{20})\.log")
_WORD: Final = 8


def segment_path(directory: Path, base: int) -> Path:
    """Return the path of the segment whose first byte stands at position `base`."""
    return directory / f"{base:020d}.log"


def segment_bases(directory: Path) -> list[int]:
    """Return the positions at which the segments begin, oldest first; none where there is no directory yet."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


def sync_directory(directory: Path) -> None:
    """Make the directory's entries (files made, renamed) safe on disk."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def drop_segments(directory: Path, position: int) -> list[int]:
    """Delete the sealed segments that end at or below `position`; return where they began.

    The last segment is the active one and stays. Oldest first, so that a crash between two leaves no hole.
    """
    bases = segment_bases(directory)
    dropped = []
    for base, following in pairwise(bases):
        if following > position:
            break
        segment_path(directory, base).unlink()
        dropped.append(base)
    return dropped


class OwnerLock:
    """The one owner of the log: a lock that the kernel drops with the process, however that dies."""

    def __init__(self, directory: Path) -> None:
        """Take the lock, and note the process id in it for whoever finds it taken. Raises LogLocked."""
        self._fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._fd, 20, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise LogLocked(f"process {owner or 'unknown'} owns the log in {directory}") from None
        with suppress(OSError):  # A full disk: the note is a courtesy, the lock holds without it.
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process own the log."""
        os.close(self._fd)


class DurableMark:
    """The published end of the log: eight bytes that the owner's and the readers' processes share.

    One aligned 8-byte store or load (the machine's byte order, which is little endian), so that nobody ever sees half
    of a number. The file is never replaced: readers hold
    on to it. Its content survives the death of the process; after a power cut it may be older than the log, and the
    owner puts it right when it opens the log.
    """

    def __init__(self, memory: mmap) -> None:
        self._memory = memory
        self._words = memoryview(memory).cast("Q")

    @classmethod
    def create(cls, directory: Path) -> Self:
        """Open the mark to publish with; a missing one begins at 0. Raises OSError (no room)."""
        fd = os.open(directory / DURABLE, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            if os.fstat(fd).st_size != _WORD:
                # Written, not just lengthened: a store into a page without a block is a SIGBUS on a full disk.
                os.pwrite(fd, bytes(_WORD), 0)
                os.ftruncate(fd, _WORD)
                os.fsync(fd)
            return cls(mmap(fd, _WORD, access=ACCESS_WRITE))
        finally:
            os.close(fd)

    @classmethod
    def watch(cls, directory: Path) -> Self | None:
        """Open the mark to read; None as long as no owner has made it."""
        try:
            fd = os.open(directory / DURABLE, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            if os.fstat(fd).st_size != _WORD:
                return None
            return cls(mmap(fd, _WORD, access=ACCESS_READ))
        finally:
            os.close(fd)

    def get(self) -> int:
        """Return the published end."""
        return self._words[0]

    def set(self, position: int) -> None:
        """Publish `position`: readers may go that far from now on."""
        self._words[0] = position

    def close(self) -> None:
        """Give the memory back; the kernel writes it to the file in its own time."""
        self._words.release()
        self._memory.close()
