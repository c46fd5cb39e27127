"""What stands inside a message's properties and context, as far as folding needs it (`semantics.md` 4, 5).

The strict shapes pick the few fields out without building the rest; where a client sends other types than the spec's,
the lenient way takes what is usable and leaves the rest.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

from richpanel.core.ids import BLOCKED_IDS, clean_id, email_address
from richpanel.core.message import Message

S = TypeVar("S", bound=msgspec.Struct)
MAX_TEXT: Final = 1_024
"""URLs, referrers and user agents are kept to this many characters in sessions and profiles; bodies stay whole."""


class _Properties(msgspec.Struct):
    richpanel_session_id: str | int | None = None
    email: str | None = None
    url: str | None = None
    referrer: str | None = None


class _Page(msgspec.Struct):
    url: str | None = None
    referrer: str | None = None


class _Campaign(msgspec.Struct):
    name: str | None = None
    source: str | None = None
    medium: str | None = None


class _Device(msgspec.Struct):
    type: str | None = None


class _Traits(msgspec.Struct):
    email: str | None = None


class _Context(msgspec.Struct):
    page: _Page | None = None
    campaign: _Campaign | None = None
    device: _Device | None = None
    traits: _Traits | None = None
    userAgent: str | None = None


class Inside(msgspec.Struct):
    """The fields of a page or track call. `email` is a usable one or None; `campaign` JSON `[name, source, medium]`."""

    session_key: str = ""
    email: str | None = None
    email_ignored: bool = False
    page: str | None = None
    referrer: str | None = None
    campaign: str | None = None
    agent: str | None = None
    device_type: str | None = None


_decode_properties = msgspec.json.Decoder(_Properties).decode
_decode_context = msgspec.json.Decoder(_Context).decode
_decode_any = msgspec.json.Decoder().decode
_NULL: Final = msgspec.Raw(b"null")
_NO_PROPERTIES: Final = _Properties()
_NO_CONTEXT: Final = _Context()


def _lenient(shape: type[S], value: object) -> S:
    """Fill a shape from whatever there is, field by field; a field of another type counts as absent."""
    filled = shape()
    if not isinstance(value, Mapping):
        return filled
    for field in msgspec.structs.fields(shape):
        given: Any = value.get(field.name)
        for nested in (_Page, _Campaign, _Device, _Traits):
            if field.type == nested | None:
                given = _lenient(nested, given) if isinstance(given, Mapping) else None
        try:
            setattr(filled, field.name, msgspec.convert(given, field.type))
        except msgspec.ValidationError:
            continue
    return filled


def _read(decode: Any, shape: type[S], raw: msgspec.Raw, absent: S) -> S:
    if not raw:
        return absent
    try:
        return decode(raw)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return absent if is_absent(raw) else _lenient(shape, _decode_any(raw))


def is_absent(raw: msgspec.Raw) -> bool:
    """Tell whether a raw value was not given, or given as `null`."""
    return not raw or raw == _NULL


def merged(shared: msgspec.Raw, own: msgspec.Raw) -> msgspec.Raw:
    """Merge a batch's `context` or `integrations` into an item's, key by key; the item's win."""
    if is_absent(shared):
        return own
    if is_absent(own):
        return shared
    both = {**_object(shared), **_object(own)}
    return msgspec.Raw(msgspec.json.encode(both))


def _object(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return {}


def _short(value: str | None) -> str | None:
    return value[:MAX_TEXT] if value else None


def look(message: Message, context: msgspec.Raw, blocked: frozenset[str] = BLOCKED_IDS) -> Inside:
    """Look inside a page or track call. `context` is the item's with the batch's merged in."""
    properties = _read(_decode_properties, _Properties, message.properties, _NO_PROPERTIES)
    around = _read(_decode_context, _Context, context, _NO_CONTEXT)
    page = around.page
    email = properties.email
    if email is None and around.traits is not None:
        email = around.traits.email
    campaign = around.campaign
    found = Inside(
        session_key=clean_id(properties.richpanel_session_id, blocked) or "",
        page=_short(page.url if page is not None and page.url else properties.url if message.type == "page" else None),
        referrer=_short(page.referrer if page is not None and page.referrer else properties.referrer),
        agent=_short(around.userAgent),
        device_type=around.device.type if around.device is not None else None,
    )
    if campaign is not None and (campaign.name or campaign.source or campaign.medium):
        found.campaign = msgspec.json.encode((campaign.name, campaign.source, campaign.medium)).decode()
    if email is not None:
        found.email = email if email_address(email) else None
        found.email_ignored = found.email is None
    return found
