"""What the state must be, straight from semantics.md: sort all messages that count and fold them, one rule a function.

No batches, no arrival, no speed. Read it beside the sections named; `tests.process.dump` gives the same shape from the
store. What is checked elsewhere against tables of cases (amounts, addresses, devices, event names) is used from core.
"""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from hashlib import blake2b
from typing import Any, NamedTuple

from richpanel.core.device import device_type
from richpanel.core.events import order_event
from richpanel.core.ids import clean_id, email_address, phone_address
from richpanel.core.money import amount, average, text, total
from richpanel.core.order import TRACKING
from richpanel.core.timestamps import iso, parse
from richpanel.process.repeats import digest

GAP = 30 * 60 * 1000
SHARED = 20
VOID = {"cancelled", "canceled", "refunded", "voided"}
DEFAULT_STATUS = {"completed", "refunded", "cancelled"}

Stamp = tuple[int, str, str]
Who = tuple[str, str]
"""("uid" | "anonymousId" | "email" | "phone", value): the identity by which a profile is known."""


class Arrival(NamedTuple):
    """One item as it arrived. `shop` stands for the connector under which its source's messages are kept."""

    received: int
    source: str
    source_type: str
    shop: str
    item: dict[str, Any]
    raw: bytes


class Message(NamedTuple):
    """A message that counts."""

    stamp: Stamp
    kind: str
    item: dict[str, Any]
    source_type: str
    shop: str

    @property
    def t(self) -> int:
        return self.stamp[0]

    @property
    def uid(self) -> str | None:
        return clean_id(self.item.get("userId"))

    @property
    def anonymous(self) -> str | None:
        return clean_id(self.item.get("anonymousId"))

    @property
    def traits(self) -> dict[str, Any]:
        return self.item.get("traits") or {}

    @property
    def properties(self) -> dict[str, Any]:
        return self.item.get("properties") or {}

    @property
    def context(self) -> dict[str, Any]:
        return self.item.get("context") or {}

    @property
    def sender(self) -> dict[str, Any]:
        return self.item.get("from") or {}


# ------------------------------------------------------------------------------------------- 1 Messages, time, the law


def counting(arrivals: Iterable[Arrival]) -> list[Message]:
    """Of several with one id of one source the least (receivedAt, digest); those that are kept; in the order."""
    first: dict[tuple[str, str], Arrival] = {}
    for each in arrivals:
        key = (each.source, each.item["messageId"])
        if key not in first or (each.received, digest(each.raw)) < (first[key].received, digest(first[key].raw)):
            first[key] = each
    messages = []
    for each in first.values():
        given = parse(each.item.get("timestamp"))
        t = each.received if given is None else min(given, each.received)
        kind = "channel" if "from" in each.item else each.item["type"]
        stamp = (t, each.item["messageId"], each.source)
        messages.append(Message(stamp, kind, each.item, each.source_type, each.shop))
    return sorted((each for each in messages if is_kept(each)), key=lambda message: message.stamp)


def is_kept(message: Message) -> bool:
    """7: by type, then by the integrations object (the generator knows `Richpanel` and `All` alone)."""
    switches = message.item.get("integrations", {})
    return message.kind in ("identify", "page", "track", "channel") and bool(
        switches.get("Richpanel", switches.get("All", True))
    )


# ----------------------------------------------------------------------------------------------------------- 3 People


def linked(links: list[tuple[int, str]], t: int) -> str | None:
    """The uid of the latest link at or before `t`, else of the earliest after it; nobody's if shared or unlinked."""
    if len({uid for _, uid in links}) > SHARED:
        return None
    return next((uid for at, uid in reversed(links) if at <= t), links[0][1] if links else None)


def device_links(calls: list[Message]) -> dict[str, list[tuple[int, str]]]:
    """Identify, page and track messages that carry both ids."""
    links: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for call in calls:
        if call.uid and call.anonymous:
            links[call.anonymous].append((call.t, call.uid))
    return links


def owner_of_call(call: Message, links: dict[str, list[tuple[int, str]]]) -> Who:
    if call.uid:
        return ("uid", call.uid)
    uid = linked(links[call.anonymous or ""], call.t)
    return ("uid", uid) if uid else ("anonymousId", call.anonymous or "")


def address_links(histories: dict[Who, list[Message]]) -> dict[Who, list[tuple[int, str]]]:
    """An address links by an identify, or by a page or track email that took effect."""
    found: dict[Who, list[tuple[Stamp, str]]] = defaultdict(list)
    for history in histories.values():
        for call, effective in emails(history)[1]:
            email = email_address(effective)
            if email and call.uid:
                found[("email", email)].append((call.stamp, call.uid))
        for call in history:
            phone = phone_address(call.traits.get("phone"), "US") if call.kind == "identify" else None
            if phone and call.uid:
                found[("phone", phone)].append((call.stamp, call.uid))
    return {key: [(stamp[0], uid) for stamp, uid in sorted(links)] for key, links in found.items()}


def owner_of_activity(
    message: Message,
    calls: list[Message],
    devices: dict[str, list[tuple[int, str]]],
    addresses: dict[Who, list[tuple[int, str]]],
) -> Who:
    """The first that resolves of uid, email, phone, anonymousId; else a provisional customer called by the first."""
    sender = message.sender
    uid = clean_id(sender.get("uid"))
    if uid:
        return ("uid", uid)
    email, phone = email_address(sender.get("email")), phone_address(sender.get("phone"), "US")
    anonymous = clean_id(sender.get("anonymousId"))
    named: list[Who] = [("email", email)] if email else []
    named += [("phone", phone)] if phone else []
    for address in named:
        owner = linked(addresses.get(address, []), message.t)
        if owner:
            return ("uid", owner)
    device: list[Who] = [("anonymousId", anonymous)] if anonymous else []
    if anonymous and any(call.anonymous == anonymous for call in calls):
        owner = linked(devices[anonymous], message.t)
        return ("uid", owner) if owner else device[0]
    return (named + device)[0]


# ----------------------------------------------------------------------------------------------------------- 4 Traits


def traits(history: list[Message]) -> dict[str, Any]:
    """Per key the newest identify wins; null removes; an email that is none is ignored."""
    found: dict[str, Any] = {}
    for call in history:
        if call.kind == "identify":
            usable = {key: v for key, v in call.traits.items() if key != "email" or v is None or email_address(v)}
            found.update(usable)
    found.pop("richpanel_session_id", None)
    return {key: value for key, value in found.items() if value is not None}


def emails(history: list[Message]) -> tuple[str | None, list[tuple[Message, str]]]:
    """The email at the end, and who set it on the way. A page or track call replaces one, it never makes one."""
    current: str | None = None
    effects: list[tuple[Message, str]] = []
    for call in history:
        if call.kind == "identify" and "email" in call.traits:
            given = call.traits["email"]
            current = None if given is None else current
        elif call.kind in ("page", "track") and call.uid and current is not None:
            given = call.properties.get("email", (call.context.get("traits") or {}).get("email"))
        else:
            continue
        if given is not None and email_address(given):
            current = given
            effects.append((call, given))
    return current, effects


# --------------------------------------------------------------------------------------------------------- 5 Sessions


def session_key(call: Message) -> str | None:
    return clean_id(call.properties.get("richpanel_session_id"))


def clusters(history: list[Message]) -> list[list[Message]]:
    """Page and track calls: one session per richpanel_session_id; the others are cut by gaps of 30 minutes."""
    explicit: dict[str, list[Message]] = defaultdict(list)
    generated: list[list[Message]] = []
    for call in history:
        key = session_key(call)
        if call.kind not in ("page", "track"):
            continue
        if key:
            explicit[key].append(call)
        elif generated and call.t - generated[-1][-1].t < GAP:
            generated[-1].append(call)
        else:
            generated.append([call])
    return [*explicit.values(), *generated]


def session_id(cluster: list[Message]) -> str:
    """The generated id derives from the first event's source and messageId alone."""
    _, message, source = cluster[0].stamp
    digested = blake2b(f"{source}\x1f{message}".encode(), digest_size=12).hexdigest()
    return session_key(cluster[0]) or f"ses_{digested}"


def page_url(call: Message) -> str | None:
    of_page = call.properties.get("url") if call.kind == "page" else None
    return (call.context.get("page") or {}).get("url") or of_page


def campaign(call: Message) -> dict[str, Any] | None:
    return call.context.get("campaign")


def first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value), None)


def session(cluster: list[Message]) -> dict[str, Any]:
    pages = [page_url(call) for call in cluster]
    from_campaign = first(campaign(call) for call in cluster) or {}
    agent = [(call.context.get("userAgent"), None, call.source_type) for call in cluster]
    return {
        "sessionId": session_id(cluster),
        "startedAt": iso(cluster[0].t),
        "endedAt": iso(cluster[-1].t),
        "seconds": (cluster[-1].t - cluster[0].t) / 1000,
        "events": len(cluster),
        "generated": session_key(cluster[0]) is None,
        "landingPage": first(pages),
        "lastPage": first(reversed(pages)),
        "referrer": first((call.context.get("page") or {}).get("referrer") for call in cluster),
        "campaign": from_campaign.get("name"),
        "source": from_campaign.get("source"),
        "medium": from_campaign.get("medium"),
        "device": device_type(*agent[-1]),
    }


def timeline(history: list[Message], became: Message | None) -> list[dict[str, Any]]:
    """Page and track calls, channel activity and "became a customer", newest first."""
    ids = {call.stamp: session_id(cluster) for cluster in clusters(history) for call in cluster}
    entries = []
    for message in history:
        name = {"track": "event", "page": "name", "channel": "channel"}.get(message.kind)
        if name:
            entries.append((message.stamp, message.kind, message.item.get(name), ids.get(message.stamp)))
        if message is became:
            entries.append((message.stamp, "became_customer", "Became a customer", None))
    return [
        {"id": stamp[1], "source": stamp[2], "timestamp": iso(stamp[0]), "type": kind, "event": name, "sessionId": key}
        for stamp, kind, name, key in reversed(entries)
    ]


# ----------------------------------------------------------------------------------------------------------- 6 Orders


def order(order_id: str, events: list[Message]) -> dict[str, Any] | None:
    """A fold over all its events, oldest first; None while none of the four order events is among them."""
    fields: dict[str, tuple[Any, int]] = {}
    refunds, given, default, updated = [], None, None, 0
    kinds = [(each, order_event(each.item["event"])) for each in events]
    for each, kind in kinds:
        for key, value in each.properties.items():
            if key in ("order_id", "richpanel_session_id", "order_status"):
                continue
            if kind in ("completed", "updated") or key in TRACKING:
                fields[key] = (value, each.t)
        status = each.properties.get("order_status")
        given = (status, each.t) if status else given
        default = (kind, each.t) if kind in DEFAULT_STATUS else default
        if kind == "refunded":
            refunded = amount(each.properties.get("total", each.properties.get("revenue")))
            refunds.append({"amount": refunded, "items": each.properties.get("products"), "refundedAt": iso(each.t)})
        updated = each.t if kind else updated
    placing = [each for each, kind in kinds if kind == "completed"] or [each for each, kind in kinds if kind]
    if not placing:
        return None
    status = default and default[0]
    if given and (default is None or default[1] <= given[1]):
        status = given[0]
    return {
        "order_id": order_id,
        "status": status,
        "fields": {key: value for key, (value, _) in fields.items()},
        "refunds": refunds,
        "placed": placing[0].t,
        "updated": max([updated, *(t for _, t in fields.values()), given[1] if given else 0]),
        "void": status is not None and status.lower().replace("_", " ").replace("-", " ") in VOID,
        "events": [(iso(each.t), each.item["event"], each.stamp[1], each.stamp[2]) for each in events],
    }


def net(found: dict[str, Any]) -> Decimal:
    """`total` (else `revenue`, else 0) less refund amounts."""
    gross = amount(found["fields"].get("total", found["fields"].get("revenue", 0))) or Decimal(0)
    return gross - total(refund["amount"] for refund in found["refunds"] if refund["amount"] is not None)


def currency(found: dict[str, Any]) -> str:
    return str(found["fields"].get("currency", "USD"))


def figures(orders: list[dict[str, Any]]) -> dict[str, Any]:
    """Over non-void orders per currency; `ordersCount` over all."""
    nets: dict[str, list[Decimal]] = defaultdict(list)
    for found in orders:
        if not found["void"]:
            nets[currency(found)].append(net(found))
    own = nets.get("USD", [])
    return {
        "ordersCount": len(orders),
        "ltv": text(total(own)),
        "aov": text(average(total(own), len(own))) if own else None,
        "ltvByCurrency": {code: text(total(each)) for code, each in sorted(nets.items())},
    }


# ---------------------------------------------------------------------------------------------------------- the whole


class Shared(NamedTuple):
    """What people are found by."""

    histories: dict[Who, list[Message]]
    devices: dict[str, list[tuple[int, str]]]
    addresses: dict[Who, list[tuple[int, str]]]


def find_people(arrivals: Iterable[Arrival]) -> Shared:
    """Whose each message is; histories are in the order."""
    messages = counting(arrivals)
    calls = [message for message in messages if message.kind != "channel"]
    devices = device_links(calls)
    histories: dict[Who, list[Message]] = defaultdict(list)
    for call in calls:
        histories[owner_of_call(call, devices)].append(call)
    addresses = address_links(histories)
    for message in messages:
        if message.kind == "channel":
            histories[owner_of_activity(message, calls, devices, addresses)].append(message)
    for history in histories.values():
        history.sort(key=lambda message: message.stamp)
    return Shared(histories, devices, addresses)


def owners(arrivals: Iterable[Arrival]) -> dict[tuple[str, str], Who]:
    """Whose each kept message is, by message id and source."""
    return {(m.stamp[1], m.stamp[2]): who for who, history in find_people(arrivals).histories.items() for m in history}


def fold(arrivals: Iterable[Arrival]) -> dict[Who, dict[str, Any]]:
    """All people, as `tests.process.dump.dump` shows them."""
    histories, devices, addresses = find_people(arrivals)
    became = {who: first(m for m in history if makes_customer(m)) for who, history in histories.items()}
    owned = orders_by_owner(histories, {who for who, message in became.items() if message})
    return {
        who: {
            **person(who, history, became[who]),
            **figures(owned[who]),
            "identities": identities(who, devices, addresses),
            "timeline": timeline(history, became[who]),
            "sessions": sorted(map(session, clusters(history)), key=lambda s: (s["startedAt"], s["sessionId"])),
            "orders": sorted(map(shown, owned[who]), key=place),
        }
        for who, history in histories.items()
    }


def makes_customer(message: Message) -> bool:
    """An identify with a userId, or channel activity."""
    return message.kind == "channel" or (message.kind == "identify" and message.uid is not None)


def orders_by_owner(histories: dict[Who, list[Message]], customers: set[Who]) -> dict[Who, list[dict[str, Any]]]:
    """Each order is of the profile of its newest event among customers, else of its newest event."""
    events: dict[tuple[str, str], list[tuple[Stamp, Who, Message]]] = defaultdict(list)
    for who, history in histories.items():
        for message in history:
            order_id = message.properties.get("order_id")
            if message.kind == "track" and order_id:
                events[(message.shop, order_id)].append((message.stamp, who, message))
    owned: dict[Who, list[dict[str, Any]]] = defaultdict(list)
    for (_, order_id), found in events.items():
        found.sort(key=lambda event: event[0])
        owner = next((who for _, who, _ in reversed(found) if who in customers), found[-1][1])
        folded = order(order_id, [message for _, _, message in found])
        if folded:
            owned[owner].append(folded)
    return owned


def place(order: dict[str, Any]) -> tuple[str, str, str]:
    """An order's place in a list that is to be compared."""
    return order["placedAt"], order["orderId"], order["events"][0]["source"]


def shown(found: dict[str, Any]) -> dict[str, Any]:
    """An order as the REST API gives it."""
    fields = found["fields"]
    return {
        "orderId": found["order_id"],
        "status": found["status"],
        "total": text(Decimal(str(fields["total"]))) if "total" in fields else None,
        "currency": currency(found),
        "items": fields.get("products", []),
        "refunds": [
            {**each, "amount": None if each["amount"] is None else text(each["amount"])} for each in found["refunds"]
        ],
        "fulfillment": {key: fields[key] for key in sorted(TRACKING & fields.keys())},
        "placedAt": iso(found["placed"]),
        "updatedAt": iso(found["updated"]),
        "void": found["void"],
        "net": text(net(found)),
        "events": [
            {"timestamp": at, "event": name, "messageId": message, "source": source}
            for at, name, message, source in found["events"]
        ],
    }


def identities(
    who: Who, devices: dict[str, list[tuple[int, str]]], addresses: dict[Who, list[tuple[int, str]]]
) -> list[tuple[str, str, str | None]]:
    """A person's own id and the aliases that ever linked to it, each since its first link."""
    found: list[tuple[str, str, str | None]] = [(*who, None)]
    if who[0] == "uid":
        for alias, links in [*((("anonymousId", a), links) for a, links in devices.items()), *addresses.items()]:
            since = first(iso(t) for t, uid in links if uid == who[1])
            found += [(*alias, since)] if since else []
    return sorted(found)


def person(who: Who, history: list[Message], became: Message | None) -> dict[str, Any]:
    """The fields of a person, but for the figures of orders."""
    kind, value = who
    events = [message for message in history if message.kind in ("page", "track")]
    known = traits(history)
    address, _ = emails(history)
    if address is not None:
        known["email"] = address
    name = known.get("firstName") or first(m.sender.get("name") for m in reversed(history) if m.kind == "channel")
    from_campaign = first(campaign(call) for call in events) or {}
    visits = [cluster for cluster in clusters(history) if any(c.source_type in ("web", "mobile") for c in cluster)]
    phone = known.get("phone", value if kind == "phone" else None)
    return {
        "uid": value if kind != "anonymousId" or became else None,
        "anonymousId": value if kind == "anonymousId" else None,
        "email": address or (value if kind == "email" else None),
        "firstName": known.get("firstName"),
        "name": name,
        "phone": phone,
        "phoneE164": phone_address(phone, "US"),
        "createdAt": iso(history[0].t),
        "customerSince": iso(became.t) if became else None,
        "lastSeen": iso(history[-1].t),
        "visits": len(visits),
        "traits": known,
        "landingPageUrl": first(page_url(call) for call in events),
        "lastPageUrl": first(page_url(call) for call in reversed(events)),
        "source": from_campaign.get("source"),
        "medium": from_campaign.get("medium"),
        "campaign": from_campaign.get("name"),
    }
