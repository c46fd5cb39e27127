"""What the state must be, straight from semantics.md: sort all messages that count and fold them, one rule a function.

No batches, no arrival, no speed. Read it beside the sections named; `tests.process.dump` gives the same shape from the
store. What is checked elsewhere against tables of cases (amounts, addresses, devices, event names) is used from core.
"""

from collections import defaultdict
from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

from richpanel.core.device import device_type
from richpanel.core.ids import clean_id, email_address, phone_address
from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.timestamps import iso
from tests.process.reference_messages import Arrival, Message, Stamp, counting
from tests.process.reference_orders import figures, orders_by_owner, place, shown

GAP = 30 * 60 * 1000
SHARED = 20

Who = tuple[str, str]
"""("uid" | "anonymousId" | "email" | "phone", value): the identity by which a profile is known."""


# ----------------------------------------------------------------------------------------------------------- 3 People


def linked(links: list[tuple[int, str]], t: int) -> str | None:
    """The uid of the latest link at or before `t`, else of the earliest after it; nobody's if shared or unlinked.

    Where somebody was erased, a link to "" parts what was before from what comes after.
    """
    if len({uid for _, uid in links if uid}) > SHARED:
        return None
    parted = [at for at, uid in links if not uid]
    start, end = max((at for at in parted if at <= t), default=0), min((at for at in parted if at > t), default=1 << 62)
    links = [(at, uid) for at, uid in links if uid and start <= at < end]
    return next((uid for at, uid in reversed(links) if at <= t), links[0][1] if links else None)


def device_links(calls: list[Message], by_hand: list[Message]) -> dict[str, list[tuple[int, str]]]:
    """Identify, page and track messages that carry both ids, and links by hand, but those that were cut later."""
    undone = {(m.item["undoes"], m.stamp[2]) for m in by_hand if m.kind == "undo"}
    counting = [m for m in by_hand if m.kind != "undo" and (m.stamp[1], m.stamp[2]) not in undone]
    links: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for one in sorted([*calls, *counting], key=lambda message: message.stamp):
        if one.kind == "unlink":
            links[one.anonymous or ""] = [link for link in links[one.anonymous or ""] if link[1] != one.uid]
        elif one.uid and one.anonymous:
            links[one.anonymous].append((one.t, one.uid))
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
    if anonymous and (
        any(uid for _, uid in devices[anonymous]) or any(call.anonymous == anonymous and not call.uid for call in calls)
    ):
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


# ---------------------------------------------------------------------------------------------------------- the whole


class Shared(NamedTuple):
    """What people are found by."""

    histories: dict[Who, list[Message]]
    devices: dict[str, list[tuple[int, str]]]
    addresses: dict[Who, list[tuple[int, str]]]


Parted = Iterable[tuple[Who, int]]
"""Aliases that start afresh at an instant, since somebody whose they were was erased."""


def part(links: dict[Any, list[tuple[int, str]]], alias: Any, t: int) -> None:
    links[alias] = sorted([(t, ""), *links.get(alias, [])], key=lambda each: (each[0], each[1] != ""))


def find_people(arrivals: Iterable[Arrival], parted: Parted = ()) -> Shared:
    """Whose each message is; histories are in the order."""
    messages = counting(arrivals)
    by_hand = [message for message in messages if message.kind in MANUAL_TYPES]
    calls = [message for message in messages if message.kind not in (*MANUAL_TYPES, "channel")]
    devices = device_links(calls, by_hand)
    for (kind, value), t in parted:
        if kind == "anonymousId":
            part(devices, value, t)
    histories: dict[Who, list[Message]] = defaultdict(list)
    for call in calls:
        histories[owner_of_call(call, devices)].append(call)
    addresses = address_links(histories)
    for who, t in parted:
        if who[0] != "anonymousId":
            part(addresses, who, t)
    for message in messages:
        if message.kind == "channel":
            histories[owner_of_activity(message, calls, devices, addresses)].append(message)
    for history in histories.values():
        history.sort(key=lambda message: message.stamp)
    return Shared(histories, devices, addresses)


def owners(arrivals: Iterable[Arrival]) -> dict[tuple[str, str], Who]:
    """Whose each kept message is, by message id and source."""
    return {(m.stamp[1], m.stamp[2]): who for who, history in find_people(arrivals).histories.items() for m in history}


def fold(arrivals: Iterable[Arrival], parted: Parted = ()) -> dict[Who, dict[str, Any]]:
    """All people, as `tests.process.dump.dump` shows them."""
    histories, devices, addresses = find_people(arrivals, parted)
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
