"""The files of a segment log: what they are called, the lock, and the published end (docs/decisions/0002)."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import ACCESS_READ, ACCESS_WRITE, mmap
from pathlib import Path
from typing import Final, Self

from richpanel.log.contract import LogLocked

DURABLE: Final = "durable"
LOCK: Final = "lock"
TORN: Final = "torn"
DRAFT: Final = ".new"
"""Ends the name of a file that is to take another one's place."""
SEALED_MODE: Final = 0o440

_NAME: Final = re.compile(r"(\d{20})\.(?:log|zst)")
_WORD: Final = 8


def segment_path(directory: Path, base: int) -> Path:
    """Return the path of the segment whose first byte stands at position `base`."""
    return directory / f"{base:020d}.log"


def archive_path(directory: Path, base: int) -> Path:
    """Return the path of the archive of the segment at position `base` (log/archive.py)."""
    return directory / f"{base:020d}.zst"


def segment_bases(directory: Path) -> list[int]:
    """Return the positions at which the segments begin, archived or not, oldest first; none without a directory."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted({int(match[1]) for match in map(_NAME.fullmatch, names) if match})


def clear_drafts(directory: Path) -> None:
    """Remove what a crash has left of files that were being written. Raises OSError. Only while `rearranging`."""
    for draft in directory.glob(f"*{DRAFT}"):
        draft.unlink()


def sync_directory(directory: Path) -> None:
    """Make the directory's entries (files made, renamed) safe on disk."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def drop_cached(fd: int, start: int, size: int) -> None:
    """Let the page cache forget a range of the file (size 0: to its end), where the system can be told so."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # Advice: a file system that takes none keeps its cache.
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


@contextmanager
def undisturbed(directory: Path) -> Iterator[None]:
    """Wait until nobody archives or drops segments, and keep everybody from it; several may do this at once."""
    fd = _locked(directory, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(fd)


@contextmanager
def rearranging(directory: Path) -> Iterator[bool]:
    """Be the one who archives or drops segments; gives whether that may be now: a backup that reads them may not."""
    try:
        fd = _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        os.close(fd)


def _locked(directory: Path, how: int) -> int:
    """Lock the directory itself: a file for it could belong to whoever came first, and be closed to others."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(fd, how)
    except BaseException:
        os.close(fd)
        raise
    return fd


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
