"""Rewriting: a segment's bytes with given bodies erased, as they pass by in pieces."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from richpanel.core import record
from richpanel.log.contract import HEADER_SIZE, LogDamaged
from richpanel.log.frames import header, intact_bytes

_LENGTH: Final = struct.Struct("<I")


class Rewriting:
    """Erases bodies in the records of one segment; every other byte passes as it is, damaged ones too.

    Only the records that change have to match their CRC: what is damaged elsewhere stays what it is, and is no reason
    to keep what has to go.
    """

    def __init__(self, base: int, spans: Iterable[tuple[int, int]]) -> None:
        """Erase these bodies (place, size) in the segment whose first byte stands at position `base`."""
        self.changed = 0
        """Records that were changed so far."""
        self.bodies: list[bytes] = []
        """What was erased in them."""
        self._spans = deque(sorted(set(spans)))
        self._position = base

    def through(self, pieces: Iterable[bytes]) -> Iterator[bytearray]:
        """Give the segment's bytes, erased, in pieces of other sizes than they come in, as many in all.

        Raises LogDamaged where a record that has to change is damaged or cannot be found, and ValueError where a span
        is no body.
        """
        rest = bytearray()
        for piece in pieces:
            rest += piece
            done = self._erase_in(rest)
            yield rest[:done]
            del rest[:done]
        if rest:
            raise LogDamaged(self._position, "the segment ends within the record")
        if self._spans:
            place, size = self._spans[0]
            raise ValueError(f"no record of the log has a body of {size} bytes at {place}")

    def _erase_in(self, chunk: bytearray) -> int:
        """Erase in the whole records of a chunk that begins with one; tell how far it is done with."""
        place = 0
        while self._spans and place + HEADER_SIZE <= len(chunk):
            end = place + HEADER_SIZE + int(_LENGTH.unpack_from(chunk, place)[0])
            if end > len(chunk):
                return place
            if self._spans[0][0] < self._position + end - place:
                chunk[place:end] = self._erased(bytes(chunk[place:end]))
            self._position += end - place
            place = end
        return place if self._spans else len(chunk)

    def _erased(self, framed: bytes) -> bytes:
        """Give a record, header and all, without the bodies that are next to go."""
        if intact_bytes(framed) != len(framed):
            raise LogDamaged(self._position, "the record does not match its CRC")
        first, end = self._position + HEADER_SIZE, self._position + len(framed)
        payload, bodies = framed[HEADER_SIZE:], []
        while self._spans and self._spans[0][0] < end:
            place, size = self._spans.popleft()
            bodies.append((place - first, size))
        try:
            erased = record.erase(payload, bodies)
        except ValueError as error:
            raise ValueError(f"the record at position {self._position} of the log: {error}") from None
        if erased == payload:
            return framed
        self.changed += 1
        self.bodies += [payload[offset : offset + size] for offset, size in bodies]
        return header([erased], len(erased)) + erased
