"""The segments that a reader has open, raw or archived alike: both give the bytes at an offset."""

import os
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Final

from zstandard import ZstdDecompressor

from richpanel.log.archive import Archive
from richpanel.log.contract import LogGone
from richpanel.log.files import archive_path, segment_path

_OPEN_FILES: Final = 64
_BLOCKS: Final = 64
"""So many inflated blocks are kept, 4 MB: the fifty bodies of a timeline's page, and what stands beside them."""
_LETTING_GO_SECONDS: Final = 0.5
_SCAN_BLOCKS: Final = 4
"""A read of more blocks is somebody who goes through the log and comes back to none of them."""


class OpenSegments:
    """Opens the segments of a log as they are asked for, and keeps the ones used last. Any thread may ask.

    A segment that was deleted or replaced is not read any more, and let go of within a second, also where nobody asks
    for anything: its space comes free only then, and what was erased must not go on lying there.
    """

    def __init__(self, directory: Path) -> None:
        """Open nothing yet."""
        self._directory = directory
        self._segments: OrderedDict[int, _Raw | _Archived] = OrderedDict()
        self._inflated = _Inflated()
        self._mutex = threading.Lock()
        self._closed = threading.Event()
        self._watching = False

    def read(self, base: int, offset: int, size: int) -> bytes:
        """Return the bytes at `offset` of the segment at `base`, fewer at its end. Raises LogGone, LogDamaged."""
        return self._segment(base).read(size, offset)  # Our reference keeps it open meanwhile.

    def close(self) -> None:
        """Give back files and memory."""
        self._closed.set()
        with self._mutex:
            self._segments.clear()
            self._inflated = _Inflated()

    def _segment(self, base: int) -> "_Raw | _Archived":
        with self._mutex:
            segment = self._segments.get(base)
            if segment is None or segment.deleted():
                segment = self._open(base)
                self._forget_deleted()
                self._segments[base] = segment
                if not self._watching:
                    self._watching = True
                    watch = (weakref.ref(self), self._closed)
                    threading.Thread(target=_let_go, args=watch, name="log-reader", daemon=True).start()
            self._segments.move_to_end(base)
            if len(self._segments) > _OPEN_FILES:
                self._segments.popitem(last=False)
            return segment

    def let_go(self) -> None:
        """Close what was deleted or replaced."""
        with self._mutex:
            self._forget_deleted()

    def _forget_deleted(self) -> None:
        for old in [old for old, known in self._segments.items() if known.deleted()]:
            del self._segments[old]
            self._inflated.clear()  # Rare, and a block is soon inflated again.

    def _open(self, base: int) -> "_Raw | _Archived":
        """Open the raw segment; once that is gone, its archive, which was there before."""
        try:
            return _Raw(segment_path(self._directory, base))
        except FileNotFoundError:
            pass
        try:
            return _Archived(Archive(archive_path(self._directory, base)), self._inflated)
        except FileNotFoundError:
            raise LogGone(f"the log no longer has the segment at position {base}") from None


def _let_go(segments: "weakref.ref[OpenSegments]", closed: threading.Event) -> None:
    """Have a reader let go of what is no longer there, from time to time, as long as it is there itself."""
    while not closed.wait(_LETTING_GO_SECONDS):
        if (found := segments()) is None:
            return
        found.let_go()
        del found


class _Raw:
    """A descriptor that is closed with the last reference to it, so that no thread reads from a number used again."""

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self._fd = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def deleted(self) -> bool:
        return os.fstat(self._fd).st_nlink == 0


class _Archived:
    """An archive whose blocks are inflated as they are needed."""

    def __init__(self, archive: Archive, inflated: "_Inflated") -> None:
        self._archive = archive
        self._inflated = inflated
        self.deleted = archive.deleted

    def read(self, size: int, offset: int) -> bytes:
        end = min(offset + size, self._archive.about.size)
        if offset >= end:
            return b""
        each = self._archive.block_bytes
        numbers = range(offset // each, (end - 1) // each + 1)
        keep = len(numbers) <= _SCAN_BLOCKS
        blocks = [self._inflated.get(self._archive, number, keep=keep) for number in numbers]
        skip = offset - numbers[0] * each
        return (blocks[0] if len(blocks) == 1 else b"".join(blocks))[skip : skip + end - offset]


class _Inflated:
    """The inflated blocks that were used last. Two threads may inflate one at once; nobody waits for another."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[tuple[tuple[int, int], int], bytes] = OrderedDict()
        self._mutex = threading.Lock()
        self._own = threading.local()

    def get(self, archive: Archive, number: int, *, keep: bool) -> bytes:
        key = (archive.identity, number)
        with self._mutex:
            if (known := self._blocks.get(key)) is not None:
                self._blocks.move_to_end(key)
                return known
        block = archive.block(number, self._decompressor())
        if keep and not archive.deleted():
            with self._mutex:
                self._blocks[key] = block
                if len(self._blocks) > _BLOCKS:
                    self._blocks.popitem(last=False)
        return block

    def clear(self) -> None:
        """Keep none of them any longer."""
        with self._mutex:
            self._blocks.clear()

    def _decompressor(self) -> ZstdDecompressor:
        """Give this thread's own: one serves a single caller at a time."""
        mine: ZstdDecompressor | None = getattr(self._own, "decompressor", None)
        if mine is None:
            mine = self._own.decompressor = ZstdDecompressor()
        return mine
