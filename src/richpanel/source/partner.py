"""The partner endpoint: what real Segment posts to a partner's destination (facts of Richpanel 9.2).

One raw message a request, with the casing of its fields as the customer's library has it; the credentials are the
destination's API Key. `sentAt` is Segment's business (`semantics.md` 1): the record's door says so.
"""

from typing import Final

import msgspec

from richpanel.core.message import DELIVERED_TYPES, TYPES
from richpanel.source.items import DECODE_ERRORS

MAX_SETTINGS_HEADER: Final = 16_384
"""Bytes that `X-Segment-Settings` may have. It is not used: a connector's settings are in the account."""

_UNSUPPORTED: Final = frozenset(TYPES) - DELIVERED_TYPES | {"delete"}
_FIELDS: Final = (
    *("type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name", "category"),
    *("properties", "traits", "context", "integrations", "timestamp", "originalTimestamp", "sentAt", "receivedAt"),
)
_CANONICAL: Final = {field.lower(): field for field in _FIELDS}
_split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Typed(msgspec.Struct):
    type: str | None = None


_type = msgspec.json.Decoder(_Typed).decode


def spelled(body: bytes) -> bytes:
    """Give the message with its fields spelled as Segment's spec does: `user_id` and `UserId` are `userId`.

    The bytes stay as they are where nothing is to be done, and where the body cannot be read. A field that is there in
    the right spelling, too, stays as it is.
    """
    try:
        fields = _split(body)
    except DECODE_ERRORS:
        return body
    renamed = {}
    for name, value in fields.items():
        canonical = _CANONICAL.get(name.replace("_", "").replace("-", "").lower(), name)
        renamed[name if canonical in fields else canonical] = value
    return body if renamed.keys() == fields.keys() else msgspec.json.encode(renamed)


def unsupported(body: bytes) -> bool:
    """Whether this is a call of a type that the destination does not take; Segment wants to hear 501 then."""
    try:
        return _type(body).type in _UNSUPPORTED
    except DECODE_ERRORS:
        return False
