"""How a person's activity is shown: entries of the timeline with a symbol and one line, grouped into sessions."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.core.channel import Attachment
from richpanel.store.sessions import SessionView
from richpanel.store.timeline import TimelineItem
from richpanel.web.rendering import money, short_url

_raw_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])

_NAMES: Final = {
    "order completed": ("bag", "order"),
    "order updated": ("bag", "order"),
    "order refunded": ("back", "refund"),
    "order cancelled": ("back", "refund"),
    "order canceled": ("back", "refund"),
    "products searched": ("search", "plain"),
    "coupon applied": ("tag", "plain"),
}
_WORDS: Final = (
    (("ship", "fulfil", "deliver", "track"), "truck"),
    (("cart", "checkout", "added", "removed"), "cart"),
    (("product", "wishlist", "promotion"), "tag"),
)
_CHANNELS: Final = {"email": "mail", "phone": "phone", "sms": "mobile"}
_CHANNEL_NAMES: Final = {"sms": "SMS message", "whatsapp": "WhatsApp message", "phone": "Phone call"}
_OUTSIDE: Final = {"channel": "Conversation", "became_customer": "Profile"}
_SHOWN_FIRST: Final = ("order_id", "orderId", "name", "title", "query", "coupon", "subject", "path", "url", "label")


class Letter(msgspec.Struct):
    """A message of a channel, as a person reads it."""

    subject: str | None = None
    body: str | None = None
    attachments: list[Attachment] = []
    truncated: bool = False


_read_letter: Final = msgspec.json.Decoder(Letter).decode


class Entry(NamedTuple):
    """One line of the timeline. `fields` are its properties as (key, text); a channel's message is a `letter`.

    The id is gone where the body is. `source` is the source's id; `key` tells entries of one person apart.
    """

    id: str | None
    timestamp: str
    icon: str
    tone: str
    name: str
    detail: str
    fields: list[tuple[str, str]]
    letter: Letter | None = None
    source: str = ""

    @property
    def key(self) -> str:
        """Tell it apart from the others of its person."""
        return " ".join((self.timestamp, self.source, self.id or "", self.icon))


class Group(NamedTuple):
    """Entries that follow each other in one session, or outside any; `key` is the session's id, else what they are."""

    entries: list[Entry]
    session: SessionView | None
    title: str
    came_from: str
    key: str = ""


def fields_of(value: Any) -> list[tuple[str, str]]:
    """List the keys and values of a JSON object, of objects in it too; each value as one line with its exact digits."""
    raw = bytes(value) if isinstance(value, msgspec.Raw | bytes) else msgspec.json.encode(value)
    rows: list[tuple[str, str]] = []
    for key, part in _object(raw).items():
        inside = _object(bytes(part))
        if inside:
            rows += [(f"{key}.{name}", text_of(bytes(each))) for name, each in inside.items()]
        else:
            rows.append((key, text_of(bytes(part))))
    return rows


def _object(raw: bytes) -> dict[str, msgspec.Raw]:
    """Read a JSON object; anything else as an empty one."""
    try:
        return _raw_object.decode(raw)
    except msgspec.DecodeError:
        return {}


def text_of(raw: bytes) -> str:
    """Write a JSON value as a person reads it: a text without its marks, numbers with their exact digits."""
    return str(msgspec.json.decode(raw)) if raw[:1] == b'"' else raw.decode()


def _symbol(kind: str, event: str, channel: str | None) -> tuple[str, str]:
    """Choose the icon and the tone of an entry."""
    if kind == "page":
        return "page", "plain"
    if kind == "became_customer":
        return "person", "person"
    if kind == "channel":
        return _CHANNELS.get(channel or "", "chat"), "channel"
    name = event.lower()
    if name in _NAMES:
        return _NAMES[name]
    return next((icon for words, icon in _WORDS if any(word in name for word in words)), "bolt"), "plain"


def _name(kind: str, event: str | None, channel: str | None) -> str:
    if kind == "became_customer":
        return "Became a customer"
    if kind == "page":
        return f"Viewed {event}" if event else "Viewed a page"
    if kind == "channel":
        return _CHANNEL_NAMES.get(channel or "") or f"{(channel or 'channel').capitalize()} message"
    return event or "Event"


def _detail(kind: str, fields: list[tuple[str, str]], event: str | None) -> str:
    """Choose what of the properties says most."""
    known = dict(fields)
    order = ("path", "url", "title") if kind == "page" else _SHOWN_FIRST
    first = next((known[key] for key in order if known.get(key) and known[key] != event), "")
    total = known.get("total") or known.get("revenue") or known.get("price")
    if kind == "track" and total:
        amount = money(total, known.get("currency"))
        return f"{first} · {amount}" if first else amount
    return _short(first)


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"


def entry(item: TimelineItem) -> Entry:
    """Show one item of a timeline."""
    channel = item.channel
    if item.type == "channel":
        return _letter(item)
    fields = fields_of(item.properties) if item.properties else []
    icon, tone = _symbol(item.type, item.event or "", channel)
    name = _name(item.type, item.event, channel)
    detail = _detail(item.type, fields, item.event)
    return Entry(item.id, item.timestamp, icon, tone, name, detail, fields, source=item.source)


def _letter(item: TimelineItem) -> Entry:
    """Show a channel's message: its subject, or the beginning of its text, on the line."""
    letter = _read_letter(bytes(item.properties))
    icon, tone = _symbol("channel", "", item.channel)
    detail = letter.subject or " ".join((letter.body or "")[:500].split())
    name = _name("channel", None, item.channel)
    return Entry(item.id, item.timestamp, icon, tone, name, _short(detail), [], letter, item.source)


def grouped(items: Iterable[TimelineItem], sessions: Mapping[str, SessionView]) -> list[Group]:
    """Group a timeline's items, newest first, by the session they are in."""
    groups = []
    for (session_id, _), members in groupby(items, key=lambda item: (item.session_id, item.session_id or item.type)):
        inside = list(members)
        title = "Session" if session_id else _OUTSIDE.get(inside[0].type, "Activity")
        session = sessions.get(session_id or "")
        key = session_id or inside[0].type
        groups.append(Group([entry(item) for item in inside], session, title, _came_from(session), key))
    return groups


def _came_from(session: SessionView | None) -> str:
    """Tell what brought somebody: a campaign, else another site."""
    if session is None:
        return ""
    if session.campaign:
        return session.campaign
    site = short_url(session.referrer or "").partition("/")[0]
    return "" if site == short_url(session.landing_page or "").partition("/")[0] else site
