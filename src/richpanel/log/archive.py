"""The archived form of a segment: compressed in blocks, any of which can be inflated alone (docs/decisions/0007).

The file is in Zstandard's own seekable format: a row of frames with a checksum each, one for 64 KB of the segment, and
behind them a table of their sizes, in a frame that decompressors skip. `zstd -dc` makes the raw segment of it, without
any code of ours. Before the table stands another skipped frame, ours: what the segment was, and the SHA-256 of all.
"""

import os
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError, frame_content_size

from richpanel.log.contract import LogDamaged

BLOCK_BYTES: Final = 64 << 10
_LEVEL: Final = 3

_FRAME: Final = struct.Struct("<II")
_OURS: Final = 0x184D2A50
_TABLE: Final = 0x184D2A5E
_ABOUT: Final = struct.Struct("<8sQQQ32s")
_DIGEST_BYTES: Final = 32
_TABLE_END: Final = struct.Struct("<IBI")
_SEEKABLE: Final = 0x8F92EAB1
_MAGIC: Final = b"rplog\0\0\1"
_FIXED_BYTES: Final = _FRAME.size * 2 + _ABOUT.size + _DIGEST_BYTES + _TABLE_END.size
_READ_BYTES: Final = 1 << 20


class About(NamedTuple):
    """What an archive says of its segment."""

    base: int
    """Position of the segment's first byte."""
    size: int
    """Bytes of the segment."""
    sealed_ns: int
    """When the segment took its last record, ns since 1970 (UTC)."""
    digest: bytes
    """SHA-256 of the segment."""


def write_archive(target: BinaryIO, chunks: Iterable[bytes], base: int, sealed_ns: int) -> About:
    """Write the archive of a segment whose bytes come in `chunks`, each but the last a multiple of 64 KB long."""
    compressor = ZstdCompressor(level=_LEVEL, write_checksum=True)
    raw, file, table, size = sha256(), sha256(), array("I"), 0
    for chunk in chunks:
        raw.update(chunk)
        size += len(chunk)
        for start in range(0, len(chunk), BLOCK_BYTES):
            block = chunk[start : start + BLOCK_BYTES]
            frame = compressor.compress(block)
            table.extend((len(frame), len(block)))
            file.update(frame)
            target.write(frame)
    about = About(base, size, sealed_ns, raw.digest())
    head = _FRAME.pack(_OURS, _ABOUT.size + _DIGEST_BYTES) + _ABOUT.pack(_MAGIC, *about)
    rows = _little_endian(table).tobytes()
    end = _TABLE_END.pack(len(table) // 2, 0, _SEEKABLE)
    tail = _FRAME.pack(_TABLE, len(rows) + len(end)) + rows + end
    file.update(head + tail)
    target.write(head + file.digest() + tail)
    return about


class Archive:
    """An open archive. It is closed with the last reference to it, so that no thread reads from a number used again."""

    def __init__(self, path: Path) -> None:
        """Open it and read its table. Raises OSError, and LogDamaged where it is not what was written."""
        self._fd = -1
        self._fd = os.open(path, os.O_RDONLY)
        self._path = path
        state = os.fstat(self._fd)
        self.identity: Final = (state.st_ino, state.st_ctime_ns)
        """Tells it from an archive of the same segment that was written anew."""
        self.about, table = self._read_end()
        sizes, raw = table[::2], table[1::2]
        self._starts = array("Q", accumulate(sizes, initial=0))
        self.block_bytes = raw[0] if raw else BLOCK_BYTES
        whole = raw[:-1].count(self.block_bytes) == len(raw) - 1 and 0 < raw[-1] <= self.block_bytes if raw else True
        if not whole or sum(raw) != self.about.size or self._starts[-1] != self._blocks_end:
            raise self.damaged(0, "its table does not fit its blocks")

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    @property
    def file_bytes(self) -> int:
        """What it takes on disk."""
        return os.fstat(self._fd).st_size

    def deleted(self) -> bool:
        """Tell whether retention has dropped it."""
        return os.fstat(self._fd).st_nlink == 0

    def block(self, number: int, decompressor: ZstdDecompressor) -> bytes:
        """Inflate a block. Raises LogDamaged where it does not match its checksum."""
        start, end = self._starts[number], self._starts[number + 1]
        offset = number * self.block_bytes
        frame = os.pread(self._fd, end - start, start)
        try:
            if frame_content_size(frame) != min(self.block_bytes, self.about.size - offset):
                raise self.damaged(offset, "an archived block is not the one that its table names")
            return decompressor.decompress(frame)
        except ZstdError as error:
            raise self.damaged(offset, f"an archived block cannot be read: {error}") from None

    def blocks(self) -> Iterator[bytes]:
        """Inflate all blocks, one after the other."""
        decompressor = ZstdDecompressor()
        return (self.block(number, decompressor) for number in range(len(self._starts) - 1))

    def check_file(self) -> None:
        """Read every byte of the file against its SHA-256; nothing is inflated. Raises LogDamaged."""
        found, place = sha256(), 0
        digest_at = self._blocks_end + _FRAME.size + _ABOUT.size
        for end in (digest_at, self.file_bytes):
            while place < end:
                chunk = os.pread(self._fd, min(_READ_BYTES, end - place), place)
                if not chunk:
                    raise self.damaged(0, "the archive ends too early")
                found.update(chunk)
                place += len(chunk)
            place += _DIGEST_BYTES
        if found.digest() != os.pread(self._fd, _DIGEST_BYTES, digest_at):
            raise self.damaged(0, "the archive does not match its SHA-256")

    def check_content(self) -> None:
        """Inflate all blocks against the SHA-256 of the segment. Raises LogDamaged."""
        found = sha256()
        for block in self.blocks():
            found.update(block)
        if found.digest() != self.about.digest:
            raise self.damaged(0, "the archive does not match the SHA-256 of its segment")

    def damaged(self, offset: int, reason: str) -> LogDamaged:
        """Make the error for what stands at `offset` of the segment."""
        return LogDamaged(int(self._path.stem) + offset, f"{self._path.name}: {reason}")

    def _read_end(self) -> tuple[About, "array[int]"]:
        size = self.file_bytes
        end = os.pread(self._fd, _TABLE_END.size, max(0, size - _TABLE_END.size))
        if size < _FIXED_BYTES or _TABLE_END.unpack(end)[1:] != (0, _SEEKABLE):
            raise self.damaged(0, "it does not end as an archive does")
        rows = 8 * _TABLE_END.unpack(end)[0]
        self._blocks_end = size - _FIXED_BYTES - rows
        tail = os.pread(self._fd, _FIXED_BYTES + rows, self._blocks_end) if self._blocks_end >= 0 else b""
        table_at = _FRAME.size + _ABOUT.size + _DIGEST_BYTES
        frames = [*_FRAME.unpack_from(tail), *_FRAME.unpack_from(tail, table_at)] if tail else []
        if frames != [_OURS, _ABOUT.size + _DIGEST_BYTES, _TABLE, rows + _TABLE_END.size]:
            raise self.damaged(0, "its end is damaged")
        magic, *about = _ABOUT.unpack_from(tail, _FRAME.size)
        if magic != _MAGIC or about[0] != int(self._path.stem):
            raise self.damaged(0, "it is not the archive that its name says, or a newer version's")
        table = array("I", tail[table_at + _FRAME.size : table_at + _FRAME.size + rows])
        return About(*about), _little_endian(table)


def _little_endian(table: "array[int]") -> "array[int]":
    """Turn a table between this machine's byte order and the file's."""
    if sys.byteorder == "big":
        table.byteswap()
    return table
