"""How a record stands in a segment: header, payload (log/contract.py, `HEADER_SIZE`)."""

import struct
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from richpanel.log.contract import HEADER_SIZE, Entry, LogDamaged

_HEADER: Final = struct.Struct("<II")
_LENGTH: Final = struct.Struct("<I")


def header(parts: Sequence[bytes], size: int) -> bytes:
    """Return the header of a payload that is given in parts, `size` bytes in all."""
    length = _LENGTH.pack(size)
    crc = crc32(length)
    for part in parts:
        crc = crc32(part, crc)
    return length + _LENGTH.pack(crc)


def record_size(chunk: bytes) -> int:
    """Return how many bytes the record at the chunk's start takes, going by its header; 0 if that is not all there."""
    return HEADER_SIZE + int(_LENGTH.unpack_from(chunk)[0]) if len(chunk) >= HEADER_SIZE else 0


def intact_bytes(chunk: bytes) -> int:
    """Return how far the chunk, which begins with a record, holds whole records with a matching CRC."""
    view = memoryview(chunk)
    size, place = len(chunk), 0
    while (body := place + HEADER_SIZE) <= size:
        length, crc = _HEADER.unpack_from(chunk, place)
        end = body + length
        if end > size or crc32(view[body:end], crc32(chunk[place : place + 4])) != crc:
            break
        place = end
    return place


def entries(chunk: bytes, position: int) -> list[Entry]:
    """Return the whole records of a chunk that begins with one, at `position`.

    Raises LogDamaged where the first one does not match its CRC; a later one ends the list, and is first next time.
    """
    found: list[Entry] = []
    size, place = len(chunk), 0
    while (body := place + HEADER_SIZE) <= size:
        length, crc = _HEADER.unpack_from(chunk, place)
        end = body + length
        if end > size:
            break
        payload = chunk[body:end]
        if crc32(payload, crc32(chunk[place : place + 4])) != crc:
            if found:
                break
            raise LogDamaged(position, "the record does not match its CRC")
        found.append(Entry(position + place, position + end, payload))
        place = end
    return found


class RecordWalk:
    """Checks the records of a segment whose bytes come in pieces of any size, each record against its CRC."""

    def __init__(self, position: int) -> None:
        """Begin at the first byte of a record."""
        self.position = position
        """Where the next record begins: all before it were whole."""
        self._rest = b""

    def feed(self, piece: bytes) -> None:
        """Check what the next bytes complete. Raises LogDamaged."""
        chunk = self._rest + piece if self._rest else piece
        done = intact_bytes(chunk)
        self.position += done
        self._rest = chunk[done:]
        if (wanted := record_size(self._rest)) and wanted <= len(self._rest):
            raise LogDamaged(self.position, "the record does not match its CRC")

    def end(self) -> None:
        """Make sure that the last record was whole. Raises LogDamaged."""
        if self._rest:
            raise LogDamaged(self.position, "the segment ends within the record")
