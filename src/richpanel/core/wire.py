"""The wire: a Segment call as the event that Richpanel's tracking API takes, and back (facts of Richpanel 2 and 9.4).

`payload` makes what is stored and waits; `sealed` and `sealed_batch` put the key, the time of sending and the signature
on it when it is sent, so that no secret stands in a stored row. `messages` reads an event, ours or others', as calls.

Where the mapping loses something, the payload carries it in one custom property, `segmentOriginal`: the event's own
name, and what has to be set or taken out to get the call's properties or traits back. So what we send to another
installation comes out as the same customers, sessions and orders; Richpanel keeps the property like any other.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from richpanel.core.events import order_event
from richpanel.core.ids import BLOCKED_IDS, clean_id
from richpanel.core.message import MAX_MESSAGE_ID
from richpanel.core.signing import Mode, batch_body, single_body
from richpanel.core.timestamps import iso, parse
from richpanel.core.traits import SESSION_KEY
from richpanel.core.wire_names import IDENTIFY, ORDER_NAMES, PAGE, PRODUCT_EVENTS, Kind, event_of, wire_name
from richpanel.core.wire_orders import fulfillment_read, order_read, order_sent
from richpanel.core.wire_people import context_read, context_sent, own_traits, traits_read, traits_sent
from richpanel.core.wire_products import Fields, is_empty, product_read, product_sent, read_names, renamed

CARRIED: Final = "segmentOriginal"
BATCH_EVENTS: Final = 25
"""Events in a request: what Richpanel's developer guide asks for."""

_RENAMED: Final = {
    "view_category": {"list_id": "id", "category": "name"},
    "applied_coupon": {"coupon_id": "coupon_code"},
}
_READ: Final = {
    "view_category": {"id": "list_id", "name": "category", "categoryName": "category"},
    "applied_coupon": {"coupon_code": "coupon_id"},
}
_SUBSCRIPTIONS: Final = frozenset({"subscription", "subscription_status_update"})
_MAPPED: Final = {IDENTIFY, PAGE, "fulfillment", *ORDER_NAMES, *PRODUCT_EVENTS, *_SUBSCRIPTIONS, *_READ}
"""Names on the wire whose properties are not simply the call's."""
_KINDS: Final[dict[Any, Kind]] = {"identify": "identify", "page": "page", "track": "track"}
_SERVER: Final = "server"
_PLATFORMS: Final = ("web", "mobile", _SERVER)
"""What `platform` is in our own events: the type of the source."""
_IDENTIFY_ID: Final = ".identify"
_SHARED: Final = frozenset({"userId", "anonymousId", "timestamp", "channel", "context"})
_digested = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


# --------------------------------------------------------------------------------------------------------- going out


def payload(
    message: Fields,
    t: int,
    *,
    email: str | None = None,
    source_type: str | None = None,
    exact: bool = True,
    blocked: Collection[str] = BLOCKED_IDS,
) -> dict[str, Any]:
    """Give an identify, page or track call as an event without key and time of sending.

    `message` is the call as `money.decode_exact` reads it, with its `messageId` and with its batch's context merged in;
    `t` is its event time (ms UTC). `email` is the customer's, for an identify that names none (what Engage sends). With
    the source's type (web, mobile, server) that is told, and the device as the account shows it. Without `exact`
    nothing is carried for the way back.
    Raises ValueError for a call of another type.
    """
    kind = _kind(message)
    event = message.get("event") if kind == "track" else None
    name = wire_name(kind, event)
    inside = _object(message.get("traits" if kind == "identify" else "properties"))
    session = clean_id(inside.get(SESSION_KEY), blocked)
    given = {key: value for key, value in inside.items() if key != SESSION_KEY}
    user = {"uid": clean_id(message.get("userId"), blocked)}
    if kind == "identify":
        given = own_traits(given)
        user |= traits_sent(given)
        properties: dict[str, Any] = {}
    else:
        properties = _properties_sent(name, event, _named_page(message, given) if kind == "page" else given)
        properties.pop(CARRIED, None)
    if exact and (carried := _carried(message, name, user if kind == "identify" else properties, given)):
        properties[CARRIED] = carried
    if kind == "identify" and email:
        user.setdefault("email", email)
    made = {
        "event": name,
        "eventId": clean_id(message.get("messageId"), blocked),
        "did": clean_id(message.get("anonymousId"), blocked),
        "sid": session,
        "time": {"originalTimestamp": t},
        "platform": source_type if source_type in _PLATFORMS else None,
        "userProperties": {key: value for key, value in user.items() if not is_empty(value)} or None,
        "properties": properties,
        "context": context_sent(_object(message.get("context")), source_type) or None,
    }
    return {key: value for key, value in made.items() if value is not None}


def sealed(event: Fields, api_key: str, api_secret: str | None, mode: Mode, sent_at: int) -> dict[str, Any]:
    """Give the body of `POST /v2/t` for a payload. `sent_at` is ms UTC."""
    return single_body(_addressed(event, api_key, sent_at), mode, api_secret)


def sealed_batch(
    events: Sequence[Fields], api_key: str, api_secret: str | None, mode: Mode, sent_at: int
) -> dict[str, Any]:
    """Give the body of `POST /v2/bt` for payloads, `BATCH_EVENTS` at the most. `sent_at` is ms UTC."""
    addressed = [_addressed(event, api_key, sent_at) for event in events]
    return batch_body({"event": "send_batch", "appClientId": api_key, "events": addressed}, mode, api_secret)


def _addressed(event: Fields, api_key: str, sent_at: int) -> dict[str, Any]:
    return {**event, "appClientId": api_key, "time": {**event["time"], "sentAt": sent_at}}


def _kind(message: Fields) -> Kind:
    kind: Kind | None = _KINDS.get(message.get("type"))
    if kind is None:
        raise ValueError(f"a call of type {message.get('type')!r} is not for Richpanel")
    return kind


def _object(value: object) -> Fields:
    return value if isinstance(value, Mapping) else {}


def _named_page(message: Fields, given: Fields) -> dict[str, Any]:
    """Put a page's name and category where Richpanel reads them; libraries mostly send them there, too."""
    return {**given, **{key: message[key] for key in ("name", "category") if not is_empty(message.get(key))}}


def _properties_sent(name: str, event: str | None, given: Fields) -> dict[str, Any]:
    kind = order_event(event) if event else None
    if kind is not None:
        return order_sent(kind, given)
    if name in PRODUCT_EVENTS:
        return product_sent(given)
    return renamed(given, _RENAMED.get(name, {}))


def _carried(message: Fields, name: str, sent: Fields, given: Fields) -> dict[str, Any]:
    """Give what the way back needs to be told: the event's name, and where its result would differ.

    Where an empty value means nothing, in a page or an event that is no order's, it may be lost.
    """
    carried: dict[str, Any] = {}
    event = message.get("event") if message["type"] == "track" else None
    if event_of(name) != (message["type"], event):
        carried["event"] = event
    if name not in _MAPPED and CARRIED not in given:
        return carried
    kind = order_event(event) if event else None
    if message["type"] == "identify":
        back, wanted = traits_read(sent), given
    else:
        back = _properties_read(name, event, sent)
        wanted = {key: value for key, value in given.items() if kind or not is_empty(value)}
    changed = {key: value for key, value in wanted.items() if key not in back or back[key] != value}
    extra = sorted(back.keys() - wanted.keys())
    return carried | ({"set": changed} if changed else {}) | ({"unset": extra} if extra else {})


# --------------------------------------------------------------------------------------------------------- coming in


def messages(event: Fields) -> list[dict[str, Any]]:
    """Read an event as calls: itself, and before it an identify where it tells who the user is.

    `event` is as `money.decode_exact` reads it. Values of a wrong type are passed on: the door says what is wrong.
    The calls' ids are the event's, or derived from it: the same event gives the same calls.
    """
    name = event.get("event")
    kind, known = event_of(name) if isinstance(name, str) else ("track", name)
    properties = event.get("properties")
    inside = dict(_object(properties))
    carried = _object(inside.pop(CARRIED, None))
    if "event" in carried:
        kind, known = "track", carried["event"]
    user = event.get("userProperties", event.get("user_properties"))
    if kind == "identify" and not carried and inside:  # The Android SDK's way.
        user = {**inside, **_object(user)}
    traits = traits_read(_object(user))
    call: dict[str, Any] = {"type": kind, **_around(event, _object(user))}
    session = clean_id(event.get("sid"))
    if kind == "identify":
        traits = _restored(traits, carried)
        return [call | {"traits": traits | ({SESSION_KEY: session} if session else {})}]
    if kind == "track":
        call["event"] = known
        read = _properties_read(str(name), known if isinstance(known, str) else None, inside)
    else:
        read = inside
        call |= {key: read[key] for key in ("name", "category") if isinstance(read.get(key), str) and read[key]}
    read = _restored(read, carried)
    if session:
        read[SESSION_KEY] = session
    call["properties"] = properties if properties is not None and not isinstance(properties, Mapping) else read
    return [_introduction(call, traits), call] if traits else [call]


def _properties_read(name: str, event: str | None, given: Fields) -> dict[str, Any]:
    kind = order_event(event) if event else None
    if name == "fulfillment":
        return fulfillment_read(given)
    if name in ORDER_NAMES and kind is not None:
        return order_read(kind, given)
    if name in PRODUCT_EVENTS:
        return product_read(given)
    if name in _SUBSCRIPTIONS:
        return read_names(given, {"orderId": "order_id"})
    return read_names(given, _READ.get(name, {}))


def _restored(read: dict[str, Any], carried: Fields) -> dict[str, Any]:
    """Undo what the mapping lost, as `_carried` tells it."""
    unset = carried.get("unset")
    for key in unset if isinstance(unset, list) else ():
        read.pop(key, None) if isinstance(key, str) else None
    return read | dict(_object(carried.get("set")))


def _around(event: Fields, user: Fields) -> dict[str, Any]:
    """Read what every call has: its ids, its time and its context."""
    time = _object(event.get("time"))
    given = time.get("originalTimestamp")
    if given is None:
        given = time.get("sentAt")
    at = parse(given)
    around = {
        "messageId": _message_id(event, parse(time.get("sentAt")) or 0),
        "userId": user.get("uid"),
        "anonymousId": event.get("did"),
        "timestamp": given if at is None else iso(at),
        "channel": _SERVER if _is_servers(event) else None,
        "context": context_read(_object(event.get("context"))) or None,
    }
    return {key: value for key, value in around.items() if value is not None}


def _is_servers(event: Fields) -> bool:
    """Tell whether a server sent this: the plugins' events from within a shop have no device, the browser's do."""
    platform = event.get("platform")
    if platform in _PLATFORMS:
        return bool(platform == _SERVER)
    return is_empty(event.get("did")) and is_empty(event.get("sid"))


def _message_id(event: Fields, sent_at: int) -> Any:
    """Give the event's id, or one made from what it says.

    Plugins send an order again whenever it changes, always with the time at which it was placed and without an id. Such
    events share their time, so their ids decide which is the newest: they begin with the time of sending.
    """
    given = clean_id(event.get("eventId"))
    if given is not None:
        return given
    told = {key: value for key, value in event.items() if key not in ("appClientId", "eventId")}
    return f"rp-{sent_at:015d}-{sha256(_digested(told)).hexdigest()[:32]}"


def _introduction(call: Fields, traits: Fields) -> dict[str, Any]:
    """Make the identify call that an event holds beside what it tells."""
    own = {key: value for key, value in call.items() if key in _SHARED}
    given = str(call["messageId"]) + _IDENTIFY_ID
    if len(given) > MAX_MESSAGE_ID:
        given = f"rp-{sha256(given.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}{_IDENTIFY_ID}"
    return {"type": IDENTIFY, "messageId": given, **own, "traits": traits}
