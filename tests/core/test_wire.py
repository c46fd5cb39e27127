"""The wire both ways: golden files for every event of Segment's specs, and the exact way back as a property."""

import json
import re
from base64 import b64decode
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.events import SPEC, canonical, order_event
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.timestamps import iso
from richpanel.core.wire import BATCH_EVENTS, CARRIED, messages, payload, sealed, sealed_batch
from tests.core.wire_golden import FILES, FOLDER, made, read, written

T = 1_795_316_220_123
SENT_AT = T + 5_000
CALL = {"type": "track", "messageId": "m-1", "userId": "u-1", "anonymousId": "a-1"}


def back(event: Any) -> list[dict[str, Any]]:
    """What the other end reads: the event as bytes, sealed."""
    body = sealed(event, "key", None, "none", SENT_AT)
    return messages(decode_exact(b64decode(body["h"])))


def in_order(given: dict[str, Any]) -> bytes:
    """As JSON, to the last digit, whatever the order of its keys."""
    return encode_exact(dict(sorted(given.items())))


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_golden(file: Path) -> None:
    """`make golden` writes them anew."""
    assert file.read_bytes() == written(file)


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, names in SPEC.items() for name in names])
def test_every_event_of_the_specs_has_a_golden_file_and_comes_back(group: str, name: str) -> None:
    file = FOLDER / group / f"{slug(name)}.json"
    message = read(file)["message"]
    assert message["event"] == name
    (again,) = back(made(file))
    for key in ("type", "messageId", "userId", "anonymousId", "event", "properties", "timestamp"):
        assert again.get(key) == message.get(key), key


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_nothing_empty_is_sent(file: Path) -> None:
    """Richpanel's guide asks for it; what is carried for the way back is ours."""

    def empty(value: object) -> bool:
        if isinstance(value, dict):
            return any(empty(each) for key, each in value.items() if key != CARRIED)
        if isinstance(value, list):
            return any(map(empty, value))
        return value is None or value == ""

    assert not empty(made(file))


def test_the_mapping_of_an_order() -> None:
    properties = made(FOLDER / "ecommerce" / "order_completed.json")["properties"]
    assert CARRIED not in properties
    names = ("orderId", "orderDbKey", "amount", "currency", "status", "order_status", "coupons", "taxAmount")
    assert [properties[name] for name in names] == [
        *("A-1042", "A-1042", Decimal("45.30"), "EUR", "completed", "completed", ["AUTUMN"], Decimal("3.10"))
    ]
    assert properties["items"][0]["id"] == "prod-1042"
    assert properties["items"][0]["imageURL"] == ["https://shop.example/mug.jpg"]


def test_a_refund_leaves_the_orders_own_amount_and_items_alone() -> None:
    event = made(FOLDER / "ecommerce" / "order_refunded.json")
    assert event["event"] == "order"
    assert not {"amount", "items"} & event["properties"].keys()
    assert event["properties"]["refundedAmount"] == Decimal("14.90")


@pytest.mark.parametrize(
    ("event", "given", "status"),
    [
        ("Order Completed", None, "completed"),
        ("Order Updated", None, None),
        ("Order Refunded", None, "refunded"),
        ("Order Cancelled", None, "cancelled"),
        ("Order Updated", "On Hold", "On Hold"),
        ("Order Cancelled", "  ", "cancelled"),
        ("Order Completed", 5, "completed"),
    ],
)
def test_statuses(event: str, given: object, status: str | None) -> None:
    properties = {"order_id": "o", "order_status": given}
    sent = payload({**CALL, "event": event, "properties": properties}, T)["properties"]
    assert (sent.get("status"), sent.get("order_status")) == (status, status or given)
    (again,) = back(payload({**CALL, "event": event, "properties": properties}, T))
    assert (again["event"], again["properties"]) == (event, properties)


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        ({"total": "1.234,50 €"}, "1.234,50 €"),
        ({"total": Decimal("45.50")}, Decimal("45.50")),
        ({"total": 12}, 12),
        ({"revenue": "10.10", "shipping": Decimal("2.20"), "tax": 1}, Decimal("13.30")),
        ({"revenue": Decimal("0.1"), "shipping": Decimal("0.2")}, Decimal("0.3")),
        ({"total": "much", "revenue": 5}, 5),
        ({"total": "much"}, None),
        ({"shipping": 5}, None),
    ],
)
def test_amounts(given: dict[str, Any], amount: object) -> None:
    call = {**CALL, "event": "Order Completed", "properties": {"order_id": "o", **given}}
    assert payload(call, T)["properties"].get("amount") == amount
    assert in_order(back(payload(call, T))[0]["properties"]) == in_order({"order_id": "o", **given})


def test_an_identify() -> None:
    event = made(FOLDER / "calls" / "identify.json")
    user = event["userProperties"]
    assert (user["uid"], user["lastName"], user["city"], user["plan"]) == ("u-1042", "Lind", "Hamburg", "gold")
    assert (event["sid"], event["properties"]) == ("visit-31", {})
    (again,) = back(event)
    traits = {**read(FOLDER / "calls" / "identify.json")["message"]["traits"]}
    traits["lastName"] = traits.pop("last_name")
    assert again["traits"] == traits


def test_removed_traits_are_removed_at_the_far_end() -> None:
    (again,) = back(made(FOLDER / "calls" / "identify_removing.json"))
    assert again["traits"] == {"newsletter": False, "phone": None, "nickname": ""}


def test_the_email_that_engage_needs() -> None:
    call = {"type": "identify", "userId": "u", "messageId": "m", "traits": {"vip": True}}
    assert payload(call, T, email="a@b.c")["userProperties"] == {"uid": "u", "vip": True, "email": "a@b.c"}
    own = {**call, "traits": {"email": "own@b.c"}}
    assert payload(own, T, email="a@b.c")["userProperties"]["email"] == "own@b.c"
    assert "userProperties" not in payload({**CALL, "userId": None, "event": "E"}, T, email="a@b.c")


def test_a_page_and_a_track_make_no_customer_at_the_far_end() -> None:
    """Their email stays where it was: an identify would make a customer of whoever it is."""
    context = {"traits": {"email": "a@b.c", "plan": "gold"}}
    for call in ({"type": "page"}, {"event": "E", "properties": {"email": "p@b.c"}}):
        (again,) = back(payload({**CALL, **call, "context": context}, T))
        assert again["type"] != "identify"
        assert again["context"]["traits"] == {"email": "a@b.c"}
        assert again["properties"] == call.get("properties", {})


@pytest.mark.parametrize(
    ("call", "name", "category", "properties"),
    [
        ({"name": "Home", "category": "Shop"}, "Home", "Shop", {}),
        ({"properties": {"name": "Home"}}, "Home", None, {"name": "Home"}),
        ({"name": "Home", "properties": {"name": "Other"}}, "Home", None, {"name": "Other"}),
        ({"name": "Home", "properties": {"name": None}}, "Home", None, {}),
        ({"properties": {"name": 5}}, None, None, {"name": 5}),
    ],
)
def test_names_of_pages(
    call: dict[str, Any], name: str | None, category: str | None, properties: dict[str, Any]
) -> None:
    (again,) = back(payload({**CALL, **call, "type": "page"}, T))
    assert (again.get("name"), again.get("category"), again["properties"]) == (name, category, properties)


@pytest.mark.parametrize(
    "event", ["order", "identify", "page_view", "view_product", "order_completed", "Order Canceled"]
)
def test_names_that_mean_something_else_on_the_wire(event: str) -> None:
    (again,) = back(payload({**CALL, "event": event, "properties": {"id": 5, "orderId": "x"}}, T))
    assert (again["type"], again["event"], again["properties"]) == ("track", event, {"id": 5, "orderId": "x"})


def test_a_property_called_like_ours() -> None:
    call = {**CALL, "event": "E", "properties": {CARRIED: {"event": "Order Completed"}, "a": 1}}
    (again,) = back(payload(call, T))
    assert (again["event"], again["properties"]) == ("E", call["properties"])


def test_without_the_way_back() -> None:
    event = payload({**CALL, "event": "Order Updated", "properties": {"order_id": "o", CARRIED: 1}}, T, exact=False)
    assert CARRIED not in event["properties"]


@pytest.mark.parametrize("blocked", ["null", "0000", "", None, "[object Object]"])
def test_blocked_ids_are_not_sent(blocked: object) -> None:
    event = payload({**CALL, "event": "E", "anonymousId": blocked, "properties": {"richpanel_session_id": blocked}}, T)
    assert "did" not in event
    assert "sid" not in event
    assert event["properties"] == {}


@pytest.mark.parametrize("kind", ["screen", "group", "alias", None])
def test_other_types_are_not_for_richpanel(kind: str | None) -> None:
    with pytest.raises(ValueError, match="not for Richpanel"):
        payload({**CALL, "type": kind}, T)


def test_key_time_and_signature_are_put_on_at_sending() -> None:
    event = payload({**CALL, "event": "E"}, T)
    assert b"key" not in encode_exact(event)
    body = sealed(event, "key", "secret", "md5", SENT_AT)
    assert body.keys() == {"s", "h", "event_type"}
    sent = json.loads(b64decode(body["h"]))
    assert (sent["appClientId"], sent["time"]) == ("key", {"originalTimestamp": T, "sentAt": SENT_AT})
    assert event["time"] == {"originalTimestamp": T}
    envelope = json.loads(b64decode(sealed_batch([event] * BATCH_EVENTS, "key", None, "sha256", SENT_AT)["hs"]))
    assert (envelope["event"], envelope["appClientId"]) == ("send_batch", "key")
    assert envelope["events"] == [sent] * 25


# ------------------------------------------------------------------------------------------------- others' events


def test_an_event_that_tells_who_the_user_is() -> None:
    event = {
        "event": "view_product",
        "did": "d-1",
        "sid": "s-1",
        "eventId": "e-1",
        "time": {"sentAt": SENT_AT, "originalTimestamp": T},
        "userProperties": {"uid": "a@b.c", "email": "a@b.c", "firstName": "Ada", "city": "Rome"},
        "properties": {"id": 12, "name": "Mug", "image_url": ["i"], "categories": [{"id": 3, "name": "Cups"}]},
        "context": {"ip": {"networkIP": "203.0.113.9"}, "userAgent": "UA", "browser": {"lang": "en", "name": "X"}},
    }
    identify, track = messages(event)
    around = {"userId": "a@b.c", "anonymousId": "d-1", "timestamp": iso(T)}
    context = {"ip": "203.0.113.9", "userAgent": "UA", "locale": "en", "browser": {"lang": "en", "name": "X"}}
    assert identify == {
        **{"type": "identify", "messageId": "e-1.identify", **around, "context": context},
        "traits": {"email": "a@b.c", "firstName": "Ada", "city": "Rome"},
    }
    assert track == {
        **{"type": "track", "messageId": "e-1", "event": "Product Viewed", **around, "context": context},
        "properties": {
            **{"product_id": 12, "name": "Mug", "image_url": "i", "category": "Cups"},
            **{"categories": [{"id": 3, "name": "Cups"}], "richpanel_session_id": "s-1"},
        },
    }


def test_an_event_without_an_id_gets_the_same_one_each_time() -> None:
    event = {"event": "search", "userProperties": {"uid": "u"}, "properties": {"query": "q"}, "time": {"sentAt": 5e11}}
    (first,), (second,) = messages(event), messages({**event, "appClientId": "other key"})
    assert first["messageId"] == second["messageId"]
    assert len(first["messageId"]) <= 100
    (other,) = messages({**event, "properties": {"query": "r"}})
    assert other["messageId"] != first["messageId"]


def test_orders_that_are_sent_again_with_the_same_time_stand_in_the_order_of_sending() -> None:
    """The Magento module's events carry the time at which the order was placed, and no id."""
    order = {"event": "order", "userProperties": {"uid": "u"}, "properties": {"order_id": "7"}}
    ids = [messages({**order, "time": {"originalTimestamp": T, "sentAt": at}})[0]["messageId"] for at in (T, T + 1)]
    assert ids == sorted(ids)
    assert ids[0] != ids[1]


def test_a_long_id_leaves_room_for_the_identify() -> None:
    identify, track = messages({"event": "E", "eventId": "x" * 100, "userProperties": {"uid": "u", "plan": "gold"}})
    assert track["messageId"] == "x" * 100
    assert len(identify["messageId"]) <= 100
    assert messages({"event": "E", "eventId": "x" * 100, "userProperties": {"uid": "u", "plan": "gold"}})[0] == identify


@pytest.mark.parametrize(
    "event",
    [
        {"event": "identify", "properties": {}, "userProperties": {"uid": "u", "plan": "gold"}},
        {"event": "identify", "properties": None, "user_properties": {"uid": "u", "plan": "gold"}},
        {"event": "identify", "properties": {"uid": "u", "plan": "gold"}},
    ],
)
def test_identify_as_each_client_sends_it(event: dict[str, Any]) -> None:
    (call,) = messages(event)
    assert (call["type"], call["traits"]) == ("identify", {"plan": "gold"})
    assert call["userId"] == "u"


@pytest.mark.parametrize(
    ("around", "channel"),
    [
        ({"did": "d"}, None),
        ({"sid": "s"}, None),
        ({"did": None, "sid": None}, "server"),
        ({"did": None, "platform": "WordPress 6 / WooCommerce 8"}, "server"),
        ({"did": "d", "platform": "server"}, "server"),
        ({"platform": "web"}, None),
        ({"platform": "mobile"}, None),
    ],
)
def test_whose_events_are_a_servers(around: dict[str, Any], channel: str | None) -> None:
    identify, track = messages({"event": "E", "userProperties": {"uid": "u", "plan": "gold"}, **around})
    assert identify.get("channel") == track.get("channel") == channel


@pytest.mark.parametrize("source_type", ["web", "mobile", "server", "segment", None])
def test_the_type_of_the_source_is_told(source_type: str | None) -> None:
    event = payload({**CALL, "event": "E"}, T, source_type=source_type)
    assert event.get("platform") == (source_type if source_type != "segment" else None)
    assert back(event)[0].get("channel") == ("server" if source_type == "server" else None)


@pytest.mark.parametrize(
    ("time", "timestamp"),
    [
        ({"originalTimestamp": T, "sentAt": SENT_AT}, iso(T)),
        ({"sentAt": SENT_AT}, iso(SENT_AT)),
        ({"originalTimestamp": "2026-11-22T02:57:00.123Z"}, iso(T)),
        ({"originalTimestamp": "yesterday"}, "yesterday"),
        ({"originalTimestamp": None, "sentAt": SENT_AT}, iso(SENT_AT)),
        ({}, None),
        (None, None),
    ],
)
def test_times_are_taken_as_they_are(time: object, timestamp: object) -> None:
    assert messages({"event": "E", "time": time})[0].get("timestamp") == timestamp


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": 5},
        {"event": "E", "properties": "p", "userProperties": "u", "context": 1, "time": 2, "did": {}, "sid": []},
        {"event": "order", "properties": [1], "userProperties": {"uid": [1]}},
        {"event": "order", "properties": {"items": [1, None], "fulfillment": [1], CARRIED: "x"}},
        {"event": "E", "properties": {CARRIED: {"event": 5, "set": 3, "unset": [1, "a"]}}},
        {"event": "fulfillment", "properties": None},
    ],
)
def test_nonsense_is_passed_on_for_the_door_to_judge(event: dict[str, Any]) -> None:
    assert [call["type"] for call in messages(event)] == ["track"]


# ---------------------------------------------------------------------------------------------------- the property

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**6), max_value=10**6, places=2),
    st.sampled_from(["", "completed", "A-1", "12.50", "EUR", "a@b.c", "no address"]),
    st.text(max_size=8),
)
_items = st.dictionaries(
    st.sampled_from(["product_id", "id", "variant", "optionId", "price", "image_url", "imageURL", "x"]), _scalars
)
_values = st.one_of(_scalars, st.lists(_scalars, max_size=3), _items)
_KEYS = (
    *("order_id", "orderId", "id", "total", "revenue", "shipping", "tax", "subtotal", "discount", "coupon", "coupons"),
    *("currency", "order_status", "orderStatus", "status", "amount", "items", "products", "tracking_number", "name"),
    *("trackingNumber", "delivery_status", "fulfillment", "shipping_method", "orderName", "orderDbKey", "category"),
    *("old_status", "new_status", "segmentOriginal", "refundedAmount", "product_id", "variant", "image_url", "email"),
    *("list_id", "coupon_id", "coupon_code", "categories", "query", "shop's own"),
)
_properties = st.dictionaries(st.sampled_from(_KEYS), st.one_of(_values, st.lists(_items, max_size=2)), max_size=10)
_EVENTS = ("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled", "Completed Order", "order")
_OTHERS = ("Product Viewed", "Product List Viewed", "Coupon Applied", "Cart Viewed", "E", "identify", "page_view")
_traits = st.dictionaries(
    st.sampled_from(
        [*("email", "first_name", "firstName", "name", "address", "city", "state", "country", "billingAddress"), "uid"]
    ),
    st.one_of(_values, st.dictionaries(st.sampled_from(["street", "city", "postalCode", "zip"]), _scalars)),
)


@given(st.sampled_from(_EVENTS), _properties)
def test_any_order_comes_back_to_the_last_digit(event: str, properties: dict[str, Any]) -> None:
    (again,) = back(payload({**CALL, "event": event, "properties": properties}, T))
    assert again["event"] == event
    wanted = {key: value for key, value in properties.items() if order_event(event) or value not in (None, "")}
    assert in_order(again["properties"]) == in_order(wanted)


@given(st.sampled_from(_OTHERS), _properties)
def test_any_other_event_comes_back(event: str, properties: dict[str, Any]) -> None:
    (again,) = back(payload({**CALL, "event": event, "properties": properties}, T))
    assert again["event"] == event
    wanted = {key: value for key, value in properties.items() if value is not None and value != ""}
    assert in_order(again["properties"]) == in_order(wanted)


@given(_traits)
def test_any_traits_come_back(traits: dict[str, Any]) -> None:
    (again,) = back(payload({"type": "identify", "userId": "u", "messageId": "m", "traits": traits}, T))
    wanted = dict(traits)
    if "first_name" in wanted:
        wanted.setdefault("firstName", wanted["first_name"])
        del wanted["first_name"]
    if "email" in wanted and wanted["email"] is not None:
        email = wanted["email"]
        if not (isinstance(email, str) and "@" in email and email.strip()):
            del wanted["email"]
    assert in_order(again["traits"]) == in_order(wanted)


def test_the_examples_are_spelled_as_the_spec_has_them() -> None:
    names = {read(file)["message"].get("event") for file in FILES if file.parent.name != "calls"}
    assert all(canonical(name) == name for name in names)
