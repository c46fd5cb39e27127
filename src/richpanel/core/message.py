"""Messages: the calls of Segment's spec, validated at the door and decoded once behind it (`semantics.md` 1, 2).

`Call` is the door's strict shape: decoding an item into it checks the whole item, and its failure is told as a code.
`Message` is what the log's readers decode: ids and names as values, the nested objects as the bytes they came in.
"""

import re
from typing import Any, Final

import msgspec

from richpanel.core.codes import Code
from richpanel.core.ids import clean_id

TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
DELIVERED_TYPES: Final = frozenset({"identify", "track", "page"})
MAX_MESSAGE_BYTES: Final = 32_768
MAX_REQUEST_BYTES: Final = 524_288
MAX_INFLATED_BYTES: Final = 1 << 20
MAX_BATCH_ITEMS: Final = 2_500
MAX_MESSAGE_ID: Final = 100


class Head(msgspec.Struct, gc=False):
    """What validation looks at: a call's type, ids and names."""

    type: str | None = None
    messageId: str | int | None = None
    userId: str | int | None = None
    anonymousId: str | int | None = None
    previousId: str | int | None = None
    groupId: str | int | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None


class Call(Head, gc=False):
    """One call as a client may send it; every level is decoded, so that nothing unreadable enters the log."""

    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None
    timestamp: Any = None
    originalTimestamp: Any = None
    sentAt: Any = None
    writeKey: Any = None


class _Object(msgspec.Struct, gc=False):
    """A JSON object of which nothing is decoded: only that it is one."""


class _Outline(Head, gc=False):
    """A call whose strings and numbers are known to be readable: its objects need not be looked into."""

    properties: _Object | None = None
    traits: _Object | None = None
    context: _Object | None = None
    integrations: _Object | None = None


class Message(msgspec.Struct):
    """One accepted call: ids and names decoded, nested objects left as bytes until something looks inside."""

    type: str | None = None
    messageId: str | int | None = None
    userId: str | int | None = None
    anonymousId: str | int | None = None
    previousId: str | int | None = None
    groupId: str | int | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: msgspec.Raw = msgspec.Raw()
    traits: msgspec.Raw = msgspec.Raw()
    context: msgspec.Raw = msgspec.Raw()
    integrations: msgspec.Raw = msgspec.Raw()
    timestamp: Any = None
    originalTimestamp: Any = None
    sentAt: Any = None
    channel: Any = None


class Batch(msgspec.Struct):
    """The body of `/v1/batch` and `/v1/import`; its `context` and `integrations` are for every item, items win."""

    batch: list[msgspec.Raw]
    writeKey: str | None = None
    sentAt: Any = None
    context: msgspec.Raw = msgspec.Raw()
    integrations: msgspec.Raw = msgspec.Raw()


decode_batch = msgspec.json.Decoder(Batch).decode
decode_message = msgspec.json.Decoder(Message).decode
_decode_call = msgspec.json.Decoder(Call).decode
_decode_outline = msgspec.json.Decoder(_Outline).decode

_FIELD_CODES: Final = {
    "messageId": Code.ID_NOT_STRING,
    "userId": Code.ID_NOT_STRING,
    "anonymousId": Code.ID_NOT_STRING,
    "previousId": Code.ID_NOT_STRING,
    "groupId": Code.ID_NOT_STRING,
    "type": Code.TYPE_UNKNOWN,
    "event": Code.EVENT_NOT_STRING,
    "name": Code.NAME_NOT_STRING,
    "category": Code.CATEGORY_NOT_STRING,
    "properties": Code.PROPERTIES_NOT_OBJECT,
    "traits": Code.TRAITS_NOT_OBJECT,
    "context": Code.CONTEXT_NOT_OBJECT,
    "integrations": Code.INTEGRATIONS_NOT_OBJECT,
}
_FIELD = re.compile(r" - at `\$\.(\w+)(.?)")


def _reason(error: Exception) -> Code:
    """Tell a decoder's failure as a code."""
    if isinstance(error, RecursionError):
        return Code.TOO_DEEP
    if isinstance(error, UnicodeDecodeError):
        return Code.INVALID_UTF8
    text = str(error)
    if "out of range" in text:
        return Code.NUMBER_OUT_OF_RANGE
    if not isinstance(error, msgspec.ValidationError):
        return Code.INVALID_JSON
    found = _FIELD.search(text)
    if found is None:
        return Code.NOT_AN_OBJECT
    return _FIELD_CODES.get(found[1], Code.INVALID_VALUE) if not found[2].strip("`") else Code.INVALID_VALUE


def reason_of_decode_error(error: Exception) -> Code:
    """Tell why a body could not be decoded, for the request as a whole (`semantics.md` 2)."""
    return _reason(error)


def _missing(call: Head, kind: str) -> Code | None:
    """Check the fields that a type needs beside its ids (facts of Segment's spec, section 1.3)."""
    if kind in ("page", "screen"):
        if call.name == "":
            return Code.NAME_NOT_STRING
        return Code.CATEGORY_NOT_STRING if call.category == "" else None
    if kind == "alias":
        missing = clean_id(call.previousId) is None or clean_id(call.userId) is None
        return Code.ID_REQUIRED if missing else None
    if kind == "group":
        return Code.ID_REQUIRED if clean_id(call.groupId) is None else None
    return None


def _check(call: Head, kind: str | None) -> Code | None:
    """Check a decoded call: its type, its ids, and the fields that the type needs."""
    if type(call.messageId) is str and len(call.messageId) > MAX_MESSAGE_ID and kind in TYPES:
        return Code.MESSAGE_ID_TOO_LONG
    if kind == "track":  # Most calls are.
        if not call.event:
            return Code.EVENT_NOT_DEFINED
    elif kind not in TYPES:
        return Code.TYPE_UNKNOWN
    elif (missing := _missing(call, kind)) is not None:
        return missing
    if kind != "alias" and clean_id(call.anonymousId) is None and clean_id(call.userId) is None:
        return Code.NO_USER_ANON_ID
    return None


def validate(item: bytes | memoryview | msgspec.Raw, path_type: str | None = None) -> Call | Code:
    """Check one item; give it decoded, or the code of the first thing wrong with it (`semantics.md` 2).

    `path_type` is the type that a single call's path names; it wins over the item's own. Costs are bounded: the size is
    checked before anything is decoded.
    """
    if memoryview(item).nbytes > MAX_MESSAGE_BYTES:
        return Code.MESSAGE_TOO_LARGE
    try:
        call = _decode_call(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _reason(error)
    return _check(call, path_type or call.type) or call


def validate_readable(item: memoryview) -> Head | Code:
    """Check one item of a batch in a third of `validate`'s time, with the same result.

    For the caller who knows that every string in it is UTF-8 and every number within a double's range: then nothing
    that is left undecoded can be unreadable.
    """
    if item.nbytes > MAX_MESSAGE_BYTES:
        return Code.MESSAGE_TOO_LARGE
    try:
        call = _decode_outline(item)
    except (msgspec.DecodeError, RecursionError) as error:
        return _reason(error)
    return _check(call, call.type) or call
