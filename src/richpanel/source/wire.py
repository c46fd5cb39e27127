"""Richpanel's own tracking API, for its shop plugins and its browser tracker: their events as calls (facts 1, 2).

A body holds an event, or an envelope of events, as JSON in base64: `{"h": ...}` or `{"hs": ...}`, and maybe a signature
over that text. The key is inside. What comes out is a batch as Segment's clients send it, so that everything behind it,
limits, discards and privacy, is the same for both.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.codes import Code
from richpanel.core.message import reason_of_decode_error
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.signing import NotEncoded, decoded
from richpanel.core.wire import messages
from richpanel.source.items import DECODE_ERRORS
from richpanel.source.scan import mend_surrogates

_MAX_KEY: Final = 200


class _Body(msgspec.Struct):
    """`h` has an event in it, `hs` an envelope with `events`; the path does not tell, since plugins differ."""

    h: str | None = None
    hs: str | None = None
    s: Any = None


class Posted(NamedTuple):
    """What was posted: the API Key in it, the text that a signature is over, the signature if any, and the calls.

    `single` tells whether it was one event. `batch` is a batch's body, or why the events cannot be read as calls.
    """

    api_key: str
    text: str
    signature: object
    single: bool
    batch: bytes | Code


_open = msgspec.json.Decoder(_Body).decode


def opened(body: bytes) -> Posted | Code:
    """Read a body, or tell why it cannot be read."""
    try:
        outer = _open(body)
    except DECODE_ERRORS as error:
        reason = reason_of_decode_error(error)
        return reason if reason in (Code.INVALID_JSON, Code.INVALID_UTF8, Code.TOO_DEEP) else Code.INVALID_PAYLOAD
    text = outer.hs if outer.hs is not None else outer.h
    if text is None:
        return Code.INVALID_PAYLOAD
    content = _content(text)
    if isinstance(content, Code):
        return content
    single = outer.hs is None
    events = [content] if single else content.get("events") if isinstance(content, Mapping) else None
    if not isinstance(events, list):
        return Code.INVALID_PAYLOAD
    return Posted(_key(content, events), text, outer.s, single, _batch(events))


def _content(text: str) -> Any:
    """Decode what is in the base64; halves of characters are mended as everywhere."""
    try:
        inner = decoded(text)
    except NotEncoded:
        return Code.INVALID_PAYLOAD
    for _ in range(2):
        try:
            return decode_exact(inner)
        except DECODE_ERRORS as error:
            reason = reason_of_decode_error(error)
            mended = mend_surrogates(inner) if reason is Code.INVALID_JSON else None
            if mended is None:
                return reason
            inner = mended
    return Code.INVALID_JSON


def _key(content: object, events: list[Any]) -> str:
    """Find the API Key: the envelope's, else the first event's, since some clients name it in one place alone."""
    for holder in (content, *events[:1]):
        key = holder.get("appClientId") if isinstance(holder, Mapping) else None
        if isinstance(key, str) and len(key) <= _MAX_KEY:
            return key.strip()
    return ""


def _batch(events: list[Any]) -> bytes | Code:
    """Write the calls of all events; what is no object is passed on as it is, to be judged with the others."""
    try:
        calls = [
            encode_exact(call)
            for event in events
            for call in (messages(event) if isinstance(event, Mapping) else [event])
        ]
    except RecursionError:
        return Code.TOO_DEEP
    return b'{"batch":[' + b",".join(calls) + b"]}"
