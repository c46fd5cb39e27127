"""What each tab of a person's page shows: read for that tab alone, so that the first one is not kept waiting."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.store.members import of_profile, values_of
from richpanel.store.nearest import Sieve
from richpanel.store.orders import OrderView, list_orders
from richpanel.store.profiles import CustomerDetail
from richpanel.store.sessions import sessions_of
from richpanel.store.timeline import TimelineItem, TimelinePart, Whence, before, read_timeline
from richpanel.store.trait_history import MOST_READ, Was, read_past
from richpanel.web.activity import Group, fields_of, grouped, text_of
from richpanel.web.pages import Context
from richpanel.web.paging import Query, answer_bad_values
from richpanel.web.stores import Reading

Tab = Literal["timeline", "properties", "orders", "audiences", "identities", "conversations"]
Sort = Literal["pages", "events", "orders", "conversations"]
TABS: Final[tuple[tuple[Tab, str], ...]] = (
    ("timeline", "Timeline"),
    ("properties", "Properties"),
    ("orders", "Orders"),
    ("audiences", "Audiences"),
    ("identities", "Identities"),
    ("conversations", "Conversations"),
)
KINDS: Final[tuple[tuple[Sort, str], ...]] = (
    ("pages", "Pages"),
    ("events", "Events"),
    ("orders", "Orders"),
    ("conversations", "Conversations"),
)
_SIEVES: Final[dict[Sort | None, Sieve]] = {
    None: Sieve(),
    "pages": Sieve(types=(2,)),
    "events": Sieve(types=(1,)),
    "orders": Sieve(types=(1,), orders=True),
    "conversations": Sieve(types=(CHANNEL_TYPE,)),
}
_PIECE: Final = 40
_ORDERS: Final = 20
_ICONS: Final = {"email": "mail", "phone": "phone", "anonymousId": "globe", "uid": "id"}
_NAMES: Final = {"email": "Email", "phone": "Phone", "anonymousId": "Device", "uid": "User id"}


class PersonQuery(Query, kw_only=True):
    """Which tab, and of a timeline which part: behind a cursor, in front of one (`after`), up to a day (`until`)."""

    tab: Tab = "timeline"
    cursor: str | None = None
    after: str | None = None
    until: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    kind: Sort | None = None
    event: Annotated[str, Meta(max_length=200)] | None = None

    @property
    def is_newest(self) -> bool:
        """Whether the newest of the timeline is asked for, so that what happens now belongs on top."""
        return self.tab == "timeline" and not (self.cursor or self.after or self.until)


def timeline_tab(reading: Reading, person: CustomerDetail, asked: PersonQuery) -> Context:
    """Read a piece of the timeline."""
    found = answer_bad_values(lambda: _piece(reading, person.profile, asked))
    return {
        "groups": groups_of(reading, person.profile, found.items),
        "older": found.older,
        "newer": None if asked.is_newest else found.newer,
        "is_newest": asked.is_newest,
        "reached": found.reached,
        "kinds": KINDS,
        "kind": asked.kind,
        "event": asked.event,
        "until": asked.until,
    }


def _piece(reading: Reading, profile: int, asked: PersonQuery) -> TimelinePart:
    sieve = _SIEVES[asked.kind]._replace(text=(asked.event or "").strip())
    wanted = None if sieve == _SIEVES[None] else sieve

    def read(cursor: str | None, newer: bool = False) -> TimelinePart:
        where = (reading.state, reading.bodies, reading.account, reading.sources, profile)
        return read_timeline(*where, whence=Whence(cursor, _PIECE, newer, wanted))

    if asked.after:
        found = read(asked.after, newer=True)
        if found.newer is not None:
            return found
        return read(None)  # There is less than a piece in front of it: the newest one has that, too.
    if asked.cursor is None and asked.until:
        return read(before(_end_of(asked.until)))
    return read(asked.cursor)


def _end_of(day: str) -> int:
    """Give the end of a day, ms UTC. Raises ValueError."""
    end = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    return int(end.timestamp() * 1000)


def groups_of(reading: Reading, profile: int, items: list[TimelineItem]) -> list[Group]:
    """Group a piece of a timeline by the sessions it is in."""
    if not items:
        return []
    times = [int(datetime.fromisoformat(item.timestamp).timestamp() * 1000) for item in items]
    ids = {item.session_id for item in items if item.session_id is not None}
    found = sessions_of(reading.state, profile, ids, min(times) - 1, max(times) + 1) if ids else []
    return grouped(items, {session.session_id: session for session in found})


def properties_tab(reading: Reading, person: CustomerDetail, _: PersonQuery) -> Context:
    """Read every trait with what it was before, and the computed ones."""
    past = read_past(reading.state, reading.bodies, reading.sources, person.profile)

    def shown(was: Was) -> Context:
        return {
            "value": None if was.value is None else text_of(was.value.encode()),
            "at": was.t,
            "message": was.message_id,
            "source": was.source,
        }

    traits = [
        {"key": each.key, "now": shown(each.now), "before": [shown(was) for was in each.before]} for each in past.traits
    ]
    return {"traits": traits, "is_whole": past.is_whole, "most_read": MOST_READ, "computed": _computed(reading, person)}


def _computed(reading: Reading, person: CustomerDetail) -> list[tuple[Any, str]]:
    live = {row.live.number: row for row in reading.known.computations if row.live and row.kind == "trait"}
    values = values_of(reading.state, person.profile, live) if live else {}
    return [(live[plan], text_of(value.encode())) for plan, value in sorted(values.items())]


def orders_tab(reading: Reading, person: CustomerDetail, asked: PersonQuery) -> Context:
    """Read a page of orders, the one placed last first."""
    page = answer_bad_values(
        lambda: list_orders(reading.state, reading.account, person.profile, cursor=asked.cursor, limit=_ORDERS)
    )
    return {"orders": [_order(order) for order in page.data], "older": page.next, "cursor": asked.cursor}


def _order(order: OrderView) -> Context:
    return {
        "order": order,
        "items": _item_rows(order.items),
        "fulfillment": fields_of(order.fulfillment),
        "properties": fields_of(order.properties),
    }


def _item_rows(items: msgspec.Raw) -> list[tuple[str, str, str | None]]:
    """Show an order's items: name, quantity, price."""
    rows = []
    given = msgspec.json.decode(items) if items else []
    for item in given if isinstance(given, list) else []:
        known: dict[str, Any] = item if isinstance(item, dict) else {"name": item}
        name = next((known[key] for key in ("name", "title", "sku", "product_id", "id") if known.get(key)), "Item")
        price = known.get("price")
        rows.append((str(name), str(known.get("quantity") or ""), None if price is None else str(price)))
    return rows


def audiences_tab(reading: Reading, person: CustomerDetail, _: PersonQuery) -> Context:
    """Read which audiences somebody is in, and which not; who is in none of a plan's rows is out by it."""
    live = {row.live.number: row for row in reading.known.computations if row.live and row.kind == "audience"}
    known = of_profile(reading.state, person.profile, live) if live else {}
    inside = [(live[plan], each.since, each.until) for plan, each in sorted(known.items()) if each.member]
    members = {row.id for row, _, _ in inside}
    outside = [
        (row, known[plan].since if plan in known else None, known[plan].until if plan in known else None)
        for plan, row in sorted(live.items())
        if row.id not in members
    ]
    return {"inside": inside, "outside": outside}


def identities_tab(_: Reading, __: CustomerDetail, ___: PersonQuery) -> Context:
    """Identities are read with the person."""
    return {"identity_icons": _ICONS, "identity_names": _NAMES}


def conversations_tab(reading: Reading, person: CustomerDetail, asked: PersonQuery) -> Context:
    """Read a piece of the channel activity, as threads: what has one subject on one channel belongs together."""
    where = (reading.state, reading.bodies, reading.account, reading.sources, person.profile)
    whence = Whence(asked.cursor, _PIECE, sieve=_SIEVES["conversations"])
    found = answer_bad_values(lambda: read_timeline(*where, whence=whence))
    threads: dict[tuple[str | None, str], list[Any]] = {}
    for group in grouped(found.items, {}):
        for entry in group.entries:
            subject = (entry.letter.subject if entry.letter else None) or ""
            threads.setdefault((entry.name, _thread(subject)), []).append(entry)
    return {"threads": list(threads.values()), "older": found.older, "reached": found.reached, "cursor": asked.cursor}


def _thread(subject: str) -> str:
    """Give what a subject has in common with the answers to it."""
    text = subject.strip().casefold()
    while text.startswith(("re:", "fwd:", "fw:", "aw:", "wg:")):
        text = text.partition(":")[2].strip()
    return text


READERS: Final[Mapping[Tab, Callable[[Reading, CustomerDetail, PersonQuery], Context]]] = {
    "timeline": timeline_tab,
    "properties": properties_tab,
    "orders": orders_tab,
    "audiences": audiences_tab,
    "identities": identities_tab,
    "conversations": conversations_tab,
}
