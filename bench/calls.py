"""Requests ready to be sent: whole HTTP/1.1 calls as bytes, made before the clock starts.

A corpus can be sent again and again: on each further lap a call's message ids are given other first digits, and its
`sentAt` moves back by the time that the corpus spans, so that ids never repeat and event time never goes back.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bench.workload import FIRST_MS, STAMP_AT, Clock

_HORIZON_MS: Final = 60 * 86_400_000
"""How long after the shop's first event all its calls are sent, by its own clock: far enough for any run."""
_CLOCK: Final = Clock()


@dataclass
class Call:
    """One request. `ids`: where its message ids can be changed; `sent`: where its `sentAt` stands, 0 for none."""

    wire: bytearray
    ids: Sequence[int] = ()
    sent: int = 0
    events: int = 0


def head(path: str, key: str, size: int) -> bytes:
    """Write the head of a request as the browser's SDK does: text/plain, and the write key as Basic user."""
    user = b64encode(f"{key}:".encode()).decode()
    lines = f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: text/plain", f"authorization: Basic {user}"
    return "\r\n".join((*lines, f"content-length: {size}", "", "")).encode()


def batch(items: Sequence[bytes], key: str, sent_at: int) -> Call:
    """Put items into one call of `/v1/b`."""
    tail = f'],"sentAt":"{_CLOCK.iso(sent_at)}","writeKey":"{key}"}}'.encode()
    first = b'{"batch":['
    size = len(first) + sum(map(len, items)) + len(items) - 1 + len(tail)
    start = head("/v1/b", key, size)
    ids, place = [], len(start) + len(first)
    for item in items:
        ids.append(place + STAMP_AT)
        place += len(item) + 1
    wire = bytearray(b"".join((start, first, b",".join(items), tail)))
    return Call(wire, ids, len(start) + size - len(tail) + len(b'],"sentAt":"'), len(items))


def single(item: bytes, key: str, sent_at: int) -> Call:
    """Make a call of its own of an item, at the path of its type."""
    at = item.index(b'"type":"') + 8
    tail = f',"sentAt":"{_CLOCK.iso(sent_at)}","writeKey":"{key}"}}'.encode()
    start = head(f"/v1/{chr(item[at])}", key, len(item) - 1 + len(tail))
    wire = bytearray(start + item[:-1] + tail)
    return Call(wire, (len(start) + STAMP_AT,), len(start) + len(item) - 1 + len(b',"sentAt":"'), 1)


def get(path: str, token: str) -> Call:
    """Ask the REST API."""
    return Call(bytearray(f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n".encode()))


def sent_at(span: int = 0, lap: int = 0) -> int:
    """Give the `sentAt` of a lap over a corpus that spans so many ms."""
    return FIRST_MS + _HORIZON_MS - span * lap


def stamp(call: Call, lap: int, span: int) -> None:
    """Make another call of a call: its ids are new, its events as long after the last lap's as the corpus spans."""
    wire = call.wire
    digits = b"%08x" % lap
    for place in call.ids:
        wire[place : place + 8] = digits
    if call.sent:
        wire[call.sent : call.sent + 24] = _CLOCK.iso(sent_at(span, lap)).encode()


class Corpus:
    """Calls in the order in which they are sent, over and over."""

    def __init__(self, calls: Sequence[Call], span: int) -> None:
        """Hold calls whose events span so many ms."""
        self.calls = calls
        self._span = span
        self._index = 0
        self._lap = 0

    def __iter__(self) -> Iterator[Call]:
        """Never ends."""
        return self

    def __next__(self) -> Call:
        """Give the next call. It changes when its turn comes again, so there must be many more than connections."""
        if self._index == len(self.calls):
            self._index = 0
            self._lap += 1
        call = self.calls[self._index]
        self._index += 1
        if self._lap:
            stamp(call, self._lap, self._span)
        return call


def batches(items: Sequence[bytes], key: str, sent_at: int, size: int = 100) -> Iterable[Call]:
    """Cut items into batches."""
    return (batch(items[start : start + size], key, sent_at) for start in range(0, len(items), size))
