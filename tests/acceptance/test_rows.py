"""The rows of the mission, one test each: HTTP in as an SDK sends it, REST out as an agent's tool reads it."""

import itertools
import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from richpanel.core.events import SPEC
from tests.server import Answer, Server, Source, request, segment

BEGINNING = datetime(2025, 10, 9, 8, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def at(minutes: float) -> str:
    """A time of day on which all of this happened."""
    return (BEGINNING + timedelta(minutes=minutes)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def call(kind: str, minutes: float = 0, **fields: Any) -> dict[str, Any]:
    """A call of an SDK, with an id of its own."""
    return {"type": kind, "messageId": f"row-{next(_numbers)}", "timestamp": at(minutes), **fields}


@pytest.fixture(scope="module")
def server(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real command on an empty data directory, on either set-up."""
    with Server(tmp_path_factory.mktemp("rows") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def shop(server: Server) -> "Shop":
    """A shop's website."""
    return Shop(server, server.add_source("Shop", "web"))


class Shop:
    """A source, and the hands to send with it."""

    def __init__(self, server: Server, source: Source) -> None:
        self.server = server
        self.source = source

    def post(self, path: str, body: object) -> Answer:
        """One request to the Tracking API."""
        key = b64encode(f"{self.source.write_key}:".encode()).decode()
        headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        return request("POST", f"{self.server.url}/v1/{path}", json.dumps(body).encode(), headers)

    def send(self, *calls: dict[str, Any], **batch: Any) -> None:
        """A batch of calls, accepted and applied."""
        answer = self.post("batch", {"batch": list(calls), **batch})
        assert (answer.status, answer.json()) == (200, {"success": True})
        self.server.wait_processed()

    def outcome(self, message: dict[str, Any]) -> tuple[str, str | None]:
        """What became of a message, and why."""
        (trace,) = self.server.traces(message["messageId"])
        return trace["outcome"], trace["code"]

    def sessions(self, uid: str) -> list[Any]:
        """A customer's sessions, oldest first."""
        listed = self.server.get(f"/customers/{segment(uid)}/sessions")["data"]
        assert isinstance(listed, list)
        return listed[::-1]

    def order(self, uid: str) -> Any:
        """A customer's only order."""
        (order,) = self.server.get(f"/customers/{segment(uid)}/orders")["data"]
        return order


def entries(timeline: list[Any]) -> list[tuple[str, str | None]]:
    """Type and name of the entries of a timeline, oldest first."""
    return [(entry["type"], entry["event"]) for entry in reversed(timeline)]


# ------------------------------------------------------------------------------------------------------- S3 Three types


def test_S3_exactly_page_identify_and_track_are_delivered(shop: Shop) -> None:
    uid = "s3"
    kept = [
        call("identify", 0, userId=uid),
        call("page", 1, userId=uid, name="Home"),
        call("track", 2, userId=uid, event="X"),
    ]
    others = [
        call("screen", 3, userId=uid, name="Start"),
        call("group", 4, userId=uid, groupId="club"),
        call("alias", 5, userId=uid, previousId="s3-before"),
    ]
    shop.send(*kept, *others)
    assert [shop.outcome(each) for each in kept] == [("kept", None)] * 3
    assert [shop.outcome(each) for each in others] == [("unsupported", "unsupported_event_type")] * 3
    assert entries(shop.server.timeline(uid)) == [
        ("became_customer", "Became a customer"),
        ("page", "Home"),
        ("track", "X"),
    ]
    listed = shop.server.get("/messages", outcome="unsupported", source=shop.source.id)["data"]
    assert {each["messageId"] for each in others} <= {row["messageId"] for row in listed}


# ----------------------------------------------------------------------------------------------- S4 Integrations object


@pytest.mark.parametrize(
    ("integrations", "kept"),
    [
        ({}, True),
        ({"All": True}, True),
        ({"Richpanel": True}, True),
        ({"Richpanel": False}, False),
        ({"All": False}, False),
        ({"all": False}, False),
        ({"All": False, "Richpanel": True}, True),
        ({"All": False, "Richpanel": {"sessionId": "1"}}, True),
        ({"All": True, "Richpanel": False}, False),
        ({"Mixpanel": False}, True),
    ],
)
@pytest.mark.parametrize("level", ["call", "batch", "both"])
def test_S4_the_integrations_object(shop: Shop, integrations: dict[str, Any], kept: bool, level: str) -> None:
    message = call("track", userId="s4", event="X")
    if level != "batch":
        message["integrations"] = integrations
    if level == "both":
        shop.send(message, integrations={"Richpanel": not kept} if "Richpanel" in integrations else {})
    else:
        shop.send(message, **({"integrations": integrations} if level == "batch" else {}))
    assert shop.outcome(message) == (("kept", None) if kept else ("filtered", "filtered_by_integrations_object"))


# ---------------------------------------------------------------------------------------------------------- S7 Visitors


def uids(server: Server, **query: str) -> set[str]:
    """Whom the Customers section lists."""
    return {row["uid"] for row in server.get("/customers", limit=500, **query)["data"]}


def test_S7_a_visitor_becomes_a_customer_with_the_history(shop: Shop) -> None:
    server, device = shop.server, "s7/device 1"
    shop.send(
        call("page", 0, anonymousId=device, name="Home"), call("track", 1, anonymousId=device, event="Product Added")
    )
    assert server.api("GET", f"/customers/{segment(device)}").status == 404
    visitor = server.get(f"/visitors/{segment(device)}")
    assert (visitor["anonymousId"], visitor["uid"], visitor["customerSince"]) == (device, None, None)
    assert device in {row["anonymousId"] for row in server.get("/visitors", limit=500)["data"]}
    assert entries(server.timeline(device, "visitors")) == [("page", "Home"), ("track", "Product Added")]
    assert device not in uids(server) | uids(server, q="s7")

    shop.send(call("identify", 2, anonymousId=device, userId="s7", traits={"email": "s7@x.example"}))
    assert entries(server.timeline("s7")) == [
        *(("page", "Home"), ("track", "Product Added"), ("became_customer", "Became a customer")),
    ]
    assert "s7" in uids(server) & uids(server, q="s7@x.example")
    customer = server.customer("s7")
    assert (customer["createdAt"], customer["customerSince"]) == (at(0), at(2))
    (linked,) = [each for each in customer["identities"] if each["type"] == "anonymousId"]
    assert (linked["value"], linked["linkedAt"], linked["source"]) == (device, at(2), shop.source.id)
    moved = server.api("GET", f"/visitors/{segment(device)}")
    assert (moved.status, moved.headers["location"]) == (308, "/api/v1/customers/s7")


def test_S7_channel_activity_makes_a_customer(shop: Shop) -> None:
    server, device = shop.server, "s7-device-2"
    shop.send(call("page", 0, anonymousId=device, name="Home"))
    letter = {"from": {"anonymousId": device, "name": "Ada"}, "body": "Hello", "timestamp": at(5), "id": "s7-letter"}
    assert server.api("POST", "/channels/chat/messages", letter).status == 202
    server.wait_processed()
    assert entries(server.timeline(device)) == [
        *(("page", "Home"), ("channel", "chat"), ("became_customer", "Became a customer")),
    ]
    assert server.customer(device)["name"] == "Ada"
    assert device in uids(server)


@pytest.mark.parametrize(
    ("channel", "sender", "uid"),
    [
        ("email", {"email": "S7-mail@X.example"}, "s7-mail@x.example"),
        ("chat", {"anonymousId": "s7-chat-device"}, "s7-chat-device"),
        ("sms", {"phone": "+1 415 555 0171"}, "+14155550171"),
        ("phone", {"phone": "(415) 555-0172"}, "+14155550172"),
        ("whatsapp", {"phone": "4915112345673"}, "+4915112345673"),
        ("facebook", {"handle": "70000000000007"}, "facebook:70000000000007"),
        ("instagram", {"handle": "@S7.ada"}, "instagram:s7.ada"),
    ],
)
def test_S7_each_channel_makes_a_customer(shop: Shop, channel: str, sender: dict[str, str], uid: str) -> None:
    """Who is not known is a customer by what the channel knows of them, until an identify carries it with a userId."""
    server, known = shop.server, f"s7-{channel}"
    letter = {"from": sender, "body": "Hello", "timestamp": at(5), "id": f"s7-by-{channel}"}
    assert server.api("POST", f"/channels/{channel}/messages", letter).status == 202
    server.wait_processed()
    assert server.customer(uid)["uid"] == uid
    assert uid in uids(server)

    ids = {key: value for key, value in (("anonymousId", uid),) if "phone" not in sender and "email" not in sender}
    traits = {key: value for key, value in sender.items() if key in ("phone", "email")}
    if channel == "whatsapp":
        traits = {"phone": uid}
    shop.send(call("identify", 9, userId=known, traits=traits, **ids))
    moved = server.api("GET", f"/customers/{segment(uid)}")
    assert (moved.status, moved.headers["location"]) == (308, f"/api/v1/customers/{known}")
    assert ("channel", channel) in entries(server.timeline(known))


def test_S7_a_letter_from_a_stranger_is_a_provisional_customer_until_known(shop: Shop) -> None:
    server = shop.server
    letter = {"from": {"email": "S7-stranger@X.example"}, "body": "Hello", "timestamp": at(5)}
    assert server.api("POST", "/channels/email/messages", letter).status == 202
    server.wait_processed()
    assert server.customer("s7-stranger@x.example")["uid"] == "s7-stranger@x.example"
    shop.send(call("identify", 9, userId="s7-known", traits={"email": "s7-stranger@x.example"}))
    moved = server.api("GET", f"/customers/{segment('s7-stranger@x.example')}")
    assert (moved.status, moved.headers["location"]) == (308, "/api/v1/customers/s7-known")
    assert entries(server.timeline("s7-known"))[0] == ("channel", "email")


def test_S7_who_was_never_identified_is_a_visitor_by_uid(shop: Shop) -> None:
    shop.send(call("page", 0, userId="s7-never", anonymousId="s7-device-3", name="Home"))
    assert shop.server.get("/visitors/s7-never")["uid"] == "s7-never"
    assert shop.server.api("GET", "/customers/s7-never").status == 404
    moved = shop.server.api("GET", "/visitors/s7-device-3/timeline")
    assert (moved.status, moved.headers["location"]) == (308, "/api/v1/visitors/s7-never/timeline")


# ---------------------------------------------------------------------------------------------------------- S8 Identify


def test_S8_identify_creates_and_updates_the_customer_of_a_uid(shop: Shop) -> None:
    uid = "gid://shopify/Customer/42"
    basics = {"email": "Ada@X.example", "firstName": "Ada", "lastName": "Lovelace", "phone": "(415) 555-0101"}
    shop.send(call("identify", 0, userId=uid, traits={**basics, "plan": "gold", "points": 12}))
    customer = shop.server.customer(uid)
    assert {key: customer[key] for key in basics} == basics
    assert (customer["uid"], customer["name"], customer["phoneE164"]) == (uid, "Ada Lovelace", "+14155550101")
    assert customer["traits"] == {**basics, "plan": "gold", "points": 12}

    shop.send(call("identify", 5, userId=uid, traits={"lastName": "King", "plan": None}))
    customer = shop.server.customer(uid)
    assert (customer["firstName"], customer["lastName"], customer["name"]) == ("Ada", "King", "Ada King")
    assert customer["traits"] == {**basics, "lastName": "King", "points": 12}
    shop.send(call("identify", 3, userId=uid, traits={"lastName": "Late", "city": "London"}))
    customer = shop.server.customer(uid)
    assert (customer["lastName"], customer["traits"]["city"]) == ("King", "London")


def test_S8_the_uid_is_required(shop: Shop) -> None:
    answer = shop.post("identify", {"traits": {"email": "nobody@x.example"}})
    assert (answer.status, answer.json()["code"]) == (400, "no_user_anon_id")
    anonymous = call("identify", anonymousId="s8-device", traits={"email": "anon@x.example", "firstName": "Eve"})
    shop.send(anonymous)
    assert shop.server.get("/visitors/s8-device")["traits"] == {"email": "anon@x.example", "firstName": "Eve"}
    assert shop.server.api("GET", "/customers/s8-device").status == 404


# --------------------------------------------------------------------------------------------------- S9 The three calls


def test_S9_the_three_calls_of_the_documents(shop: Shop) -> None:
    uid, device = "userId123", "507f191e-810c-4197-8a5e-a6b5f2d1c0de"
    ids = {"userId": uid, "anonymousId": device}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("identify", {"traits": {"email": "john.doe@segment.com", "richpanel_session_id": "abc123"}}),
        (
            "page",
            {
                "name": "Pricing",
                "properties": {
                    "title": "Segment Pricing",
                    "url": "https://segment.com/pricing",
                    "richpanel_session_id": "abc123",
                },
            },
        ),
        ("track", {"event": "Clicked Login Button", "properties": {"richpanel_session_id": "abc123"}}),
    ]
    for minutes, (kind, fields) in enumerate(calls):
        message = {**call(kind, minutes), **ids, **fields}
        del message["type"]  # The path names it.
        answer = shop.post(kind, message)
        assert (answer.status, answer.json()) == (200, {"success": True})
    shop.server.wait_processed()

    customer = shop.server.customer(uid)
    assert (customer["uid"], customer["email"]) == (uid, "john.doe@segment.com")
    assert customer["traits"] == {"email": "john.doe@segment.com"}
    timeline = shop.server.timeline(uid)
    assert entries(timeline) == [
        *(("became_customer", "Became a customer"), ("page", "Pricing"), ("track", "Clicked Login Button")),
    ]
    assert [entry["sessionId"] for entry in timeline] == ["abc123", "abc123", None]
    assert timeline[1]["properties"] == {"title": "Segment Pricing", "url": "https://segment.com/pricing"}
    (session,) = shop.sessions(uid)
    assert (session["sessionId"], session["events"], session["generated"]) == ("abc123", 2, False)


# ------------------------------------------------------------------------------------------------------------- S10 Page


def test_S10_page_calls_are_on_the_timeline(shop: Shop) -> None:
    uid = "s10"
    shop.send(
        call("identify", 0, userId=uid),
        call("page", 1, userId=uid, name="Pricing", properties={"title": "Prices", "price": 1.50}),
        call("page", 2, userId=uid),
    )
    latest, pricing, _ = shop.server.timeline(uid)
    assert (pricing["type"], pricing["event"], pricing["timestamp"]) == ("page", "Pricing", at(1))
    assert pricing["properties"] == {"title": "Prices", "price": 1.50}
    assert (latest["type"], latest["event"], latest["properties"]) == ("page", None, {})


# ---------------------------------------------------------------------------------------------------- S11, S12 Sessions


def test_S11_richpanel_session_id_clusters_events(shop: Shop) -> None:
    uid = "s11"
    tracks = [
        call("track", minutes, userId=uid, event="X", properties={"richpanel_session_id": key} if key else {})
        for minutes, key in [(0, "one"), (1, "two"), (2, None), (300, "one"), (301, "null")]
    ]
    shop.send(call("identify", 0, userId=uid), *tracks)
    sessions = shop.sessions(uid)
    given = [(each["sessionId"], each["events"], each["seconds"]) for each in sessions if not each["generated"]]
    assert given == [("one", 2, 18_000.0), ("two", 1, 0.0)]
    timeline = {entry["id"]: entry for entry in shop.server.timeline(uid)}
    assert [timeline[tracks[number]["messageId"]]["sessionId"] for number in (0, 1, 3)] == ["one", "two", "one"]
    assert timeline[tracks[0]["messageId"]]["properties"] == {}
    assert sum(each["generated"] for each in sessions) == 2


def test_S12_without_it_sessions_are_cut_by_30_minutes(shop: Shop) -> None:
    uid, just_under = "s12", 30 - 1 / 60_000
    first = [call("track", minutes, userId=uid, event="X") for minutes in (0, just_under, just_under + 30, 120)]
    shop.send(call("identify", 0, userId=uid), *first)
    sessions = shop.sessions(uid)
    assert [each["events"] for each in sessions] == [2, 1, 1]
    assert [each["startedAt"] for each in sessions] == [at(0), at(just_under + 30), at(120)]
    assert all(each["generated"] for each in sessions)
    assert len({each["sessionId"] for each in sessions}) == 3

    shop.send(call("page", 90, userId=uid, name="Late"), call("page", 91, userId=uid, name="Late"))
    joined = shop.sessions(uid)
    assert [(each["startedAt"], each["events"]) for each in joined] == [
        (at(0), 2),
        (at(just_under + 30), 1),
        (at(90), 3),
    ]
    shop.send(call("page", 75, userId=uid, name="Later"), call("page", 45, userId=uid, name="Latest"))
    (whole,) = shop.sessions(uid)
    assert (whole["sessionId"], whole["events"]) == (sessions[0]["sessionId"], 8)
    assert {entry["sessionId"] for entry in shop.server.timeline(uid)} == {whole["sessionId"], None}
    assert shop.server.customer(uid)["visits"] == 1


# -------------------------------------------------------------------------------------------------------- S13 The email


@pytest.mark.parametrize("kind", ["page", "track"])
@pytest.mark.parametrize("place", ["properties", "context"])
def test_S13_page_and_track_update_an_email_and_never_create_one(shop: Shop, kind: str, place: str) -> None:
    uid = f"s13-{kind}-{place}"
    email = {"email": "new@x.example"}
    message = {"userId": uid, "name": "N", "event": "E", place: {"traits": email} if place == "context" else email}
    shop.send(call(kind, 1, **message))
    assert shop.server.api("GET", f"/customers/{uid}").status == 404
    assert shop.server.get(f"/visitors/{uid}")["email"] is None
    shop.send(call("identify", 2, userId=uid, traits={"plan": "gold"}), call(kind, 3, **message))
    assert shop.server.customer(uid)["email"] is None
    shop.send(call("identify", 4, userId=uid, traits={"email": "old@x.example"}))
    assert shop.server.customer(uid)["email"] == "old@x.example"
    shop.send(call(kind, 5, **message))
    customer = shop.server.customer(uid)
    assert (customer["email"], customer["traits"]) == ("new@x.example", {"email": "new@x.example", "plan": "gold"})
    shop.send(call("identify", 6, userId=uid, traits={"email": None}), call(kind, 7, **message))
    assert shop.server.customer(uid)["email"] is None


# ---------------------------------------------------------------------------------------------- S14 Events of the specs


def test_S14_every_event_of_the_specs_is_accepted(shop: Shop) -> None:
    uid, names = "s14", [name for group in SPEC.values() for name in group]
    calls = [call("track", n, userId=uid, event=name, properties={"n": n}) for n, name in enumerate(names)]
    shop.send(call("identify", 0, userId=uid), *calls)
    tracked = [entry for entry in reversed(shop.server.timeline(uid)) if entry["type"] == "track"]
    assert [(entry["event"], entry["properties"]) for entry in tracked] == [
        (name, {"n": n}) for n, name in enumerate(names)
    ]
    assert len(names) > 80


def test_S14_order_status_drives_the_state_of_the_order(shop: Shop) -> None:
    uid = "s14-order"

    def happened(minutes: float, event: str, **properties: Any) -> tuple[str | None, bool, str]:
        shop.send(call("track", minutes, userId=uid, event=event, properties={"order_id": "1001", **properties}))
        order = shop.order(uid)
        assert order["orderId"] == "1001"
        return order["status"], order["void"], shop.server.customer(uid)["ltv"]

    shop.send(call("identify", 0, userId=uid))
    products = [{"sku": "1", "price": 20.5, "quantity": 2}]
    assert happened(1, "Order Completed", total=41, currency="USD", products=products) == ("completed", False, "41.00")
    assert happened(2, "Order Updated", order_status="in_transit", tracking_number="T1") == (
        "in_transit",
        False,
        "41.00",
    )
    assert happened(3, "Order Updated", total=40.5) == ("in_transit", False, "40.50")
    assert happened(4, "Order Refunded", total=10, order_status="partially refunded") == (
        *("partially refunded", False, "30.50"),
    )
    assert happened(5, "Order Refunded", total=30.5) == ("refunded", True, "0.00")
    assert happened(6, "Order Cancelled", order_status="re-opened") == ("re-opened", False, "0.00")
    assert happened(5.5, "Order Updated", order_status="too late") == ("re-opened", False, "0.00")
    assert happened(7, "Order Cancelled") == ("cancelled", True, "0.00")
    order = shop.order(uid)
    assert (order["total"], order["items"], order["fulfillment"]) == ("40.50", products, {"tracking_number": "T1"})
    assert [refund["amount"] for refund in order["refunds"]] == ["10.00", "30.50"]
    customer = shop.server.customer(uid)
    assert (customer["ordersCount"], customer["aov"]) == (1, None)
