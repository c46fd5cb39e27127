"""Our delivery to our own receiver: what another installation makes of Richpanel's wire is what we have.

A shop's calls go to one server; each is then read back through its API, put on the wire and posted to a second one, in
another order than it happened. Both must show the same people, sessions, orders and times.
"""

import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.timestamps import parse
from richpanel.core.wire import BATCH_EVENTS, payload, sealed, sealed_batch
from tests.server import KEY_SECONDS, Server, request, segment

STARTED = 1_790_000_000_000
MINUTE = 60_000
PEOPLE = 12
SEED = 20_261_128
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

Call = dict[str, Any]


@pytest.fixture
def near(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("near") / "data") as running:
        yield running


@pytest.fixture
def far(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("far") / "data") as running:
        yield running


class Story:
    """Makes a shop's calls, by type of source: people on their devices, some of whom log in, and their orders."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self.calls: dict[str, list[Call]] = {"web": [], "mobile": [], "server": []}

    def tell(self) -> dict[str, list[Call]]:
        for person in range(PEOPLE):
            self._person(f"gid://shopify/Customer/{person}", person)
        return self.calls

    def _call(self, source: str, minutes: float, **fields: Any) -> None:
        self._number += 1
        t = STARTED + round(minutes * MINUTE)
        self.calls[source].append({"messageId": f"call-{self._number:04d}", "timestamp": t, **fields})

    def _person(self, uid: str, person: int) -> None:
        choose, device = self._random.choice, {"anonymousId": f"device-{person}"}
        source = choose(["web", "mobile"])
        minutes = self._random.uniform(0, 600)
        for _ in range(self._random.randrange(2, 8)):  # Before anybody knows who it is.
            minutes += choose([0.5, 3, 29, 31, 200])
            self._visit(source, minutes, device)
        if person % 6 == 5:
            return  # Stays a visitor.
        ids = {"userId": uid, **device}
        traits = {
            **{"email": f"p{person}@example.com", "firstName": "Zoë", "last_name": "Lind", "points": 1204 + person},
            **{"address": {"street": "Hafenstr. 1", "city": "Hamburg", "postalCode": "20359", "country": "DE"}},
            **{"nickname": "", "tags": ["a", None], "ratio": 0.1, "vip": person % 2 == 0},
        }
        minutes += 1
        self._call(source, minutes, type="identify", traits=traits, **ids)
        for _ in range(self._random.randrange(2, 6)):
            minutes += choose([0.5, 3, 31, 500])
            self._visit(source, minutes, ids)
        self._call(source, minutes + 1, type="identify", traits={"points": None, "city": "Bremen"}, **ids)
        self._call("server", minutes + 2, type="page", userId=uid, properties={"email": f"new{person}@example.com"})
        self._call("server", minutes + 3, type="track", userId=uid, event="order", properties={"orderId": "no order"})
        for number in range(self._random.randrange(0, 4)):
            self._order(minutes + 60 * number, uid, f"A-{person}-{number}")

    def _visit(self, source: str, minutes: float, ids: dict[str, str]) -> None:
        kept = self._random.choice([{}, {"richpanel_session_id": f"visit-{round(minutes) // 400}"}])
        url = f"https://shop.example/{self._random.randrange(9)}"
        context: dict[str, Any] = {"page": {"url": url, "referrer": "https://news.example/", "title": "Mug"}}
        if source == "mobile":
            context |= {"device": {"type": "ios"}}
        else:
            context |= {"userAgent": BROWSER, "campaign": {"name": "autumn", "medium": "email"}}
        if self._random.random() < 0.5:
            self._call(
                source, minutes, type="page", name="Mug", properties={"url": url, **kept}, context=context, **ids
            )
        else:
            event = self._random.choice(["Product Viewed", "Product Added", "Clicked Login Button", "page_view"])
            properties = {"product_id": "p-1", "price": 14.9, "image_url": url, "category": "Kitchen", **kept}
            self._call(source, minutes, type="track", event=event, properties=properties, context=context, **ids)

    def _order(self, minutes: float, uid: str, number: str) -> None:
        items = [{"product_id": "p-1", "price": 14.9, "quantity": 2, "variant": "Blue"}, {"id": 7, "price": "9.50"}]
        money: dict[str, Any] = self._random.choice(
            [
                {"total": 39.3},
                {"total": "1.039,30"},
                {"revenue": 30.1, "shipping": 4.9, "tax": "4.3"},
                {"total": "much"},
            ]
        )
        order = {"order_id": number, "products": items, "currency": "usd", "coupon": "AUTUMN", **money}
        events: list[tuple[str, dict[str, Any]]] = [
            ("Checkout Started", {"order_id": number, "products": items}),
            ("Order Completed", {**order, "note": "ring twice", "shipping_method": "DHL"}),
            ("Order Updated", {"order_id": number, "orderStatus": "On Hold", "note": None, "amount": "by hand"}),
            ("order_updated", {"order_id": number, "order_status": "shipped", "tracking_number": 146, "discount": 2}),
            ("Order Updated", {"order_id": number, "delivery_status": "out for delivery", "trackingCompany": "DHL"}),
            ("Order Refunded", {"order_id": number, "total": 9.5, "products": items[1:], "order_status": "part"}),
            ("Order Refunded", {"order_id": number, "revenue": "0.40"}),
            ("Completed Order", {"order_id": number, "subtotal": 29.9, "shipping": None}),
            ("Order Cancelled", {"order_id": number, "total": 5, "products": []}),
        ]
        for late, (event, properties) in enumerate(events[: self._random.randrange(2, len(events) + 1)]):
            self._call("server", minutes + late // 2, type="track", userId=uid, event=event, properties=properties)


def tell(server: Server, calls: dict[str, list[Call]]) -> dict[str, str]:
    """Sends the calls to the server; gives the type of source by source id."""
    kinds = {}
    for kind, told in calls.items():
        source = server.add_source(kind, kind)
        kinds[source.id] = kind
        body = json.dumps({"writeKey": source.write_key, "batch": told}).encode()
        assert request("POST", f"{server.url}/v1/batch", body).status == 200
    server.wait_processed()
    return kinds


def on_the_wire(server: Server, kinds: dict[str, str], calls: dict[str, list[Call]]) -> list[dict[str, Any]]:
    """Each message as the server's trace has it, as a payload."""
    events = []
    for told in calls.values():
        for call in told:
            answer = server.api("GET", f"/messages/{segment(call['messageId'])}")
            (trace,) = decode_exact(answer.body)["data"]
            t = parse(trace["timestamp"])
            assert (trace["outcome"], t) == ("kept", call["timestamp"])
            events.append(payload(trace["body"], t or 0, source_type=kinds[trace["source"]]))
    return events


def wait_for_key(server: Server, key: str) -> None:
    """Waits until an API Key works: within a second, says contract.md. An event of nobody is refused, too, as 400."""
    deadline = time.monotonic() + KEY_SECONDS
    while request("POST", f"{server.url}/v2/t", encode_exact(sealed({"time": {}}, key, None, "none", 0))).status == 401:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def post(server: Server, events: Sequence[dict[str, Any]]) -> None:
    """Posts payloads as clients of Richpanel's do: some in batches, some alone, some twice, signed in every way."""
    made = server.api("POST", "/connectors", {"name": "Shop"}).json()
    key, secret = made["apiKey"], made["apiSecret"]
    wait_for_key(server, key)
    batches = [events[at : at + BATCH_EVENTS] for at in range(0, len(events), BATCH_EVENTS)]
    bodies = [("/v2/bt", sealed_batch(batch, key, secret, "sha256", STARTED)) for batch in batches[:-1]]
    bodies += [("/v2/t", sealed(event, key, secret, "md5", STARTED)) for event in batches[-1]]
    bodies += [("/v3/t", sealed(event, key, secret, "none", STARTED)) for event in events[:3]]
    for path, body in bodies:
        answer = request("POST", server.url + path, encode_exact(body))
        assert (answer.status, answer.body) == (200, b'{"success":true}')
    server.wait_processed()


def shown(server: Server, kind: str) -> dict[str, Any]:
    """All that a server shows of people, but for the ids of sources and of sessions that it made up itself."""
    found = {}
    for row in server.get(f"/{kind}", limit=500)["data"]:
        key = row["uid"] if kind == "customers" else row["anonymousId"]
        path = f"/{kind}/{segment(key)}"
        person = {"person": without(without(server.get(path), "id"), "source")}
        person["person"]["identities"].sort(key=json.dumps)  # Listed as they came to be known.
        timeline = server.timeline(key, kind)
        if kind == "customers":
            sessions = server.get(f"{path}/sessions", limit=500)["data"]
            own = {session["sessionId"] for session in sessions if session["generated"]}
            person["sessions"] = [without(each, "sessionId") if each["generated"] else each for each in sessions]
            person["orders"] = without(server.get(f"{path}/orders", limit=500)["data"], "source")
        else:
            own = {entry["sessionId"] for entry in timeline if str(entry.get("sessionId")).startswith("ses_")}
        person["timeline"] = [
            {key: "generated" if key == "sessionId" and value in own else value for key, value in entry.items()}
            for entry in without(timeline, "source")
        ]
        found[key] = person
    return found


def without(value: Any, key: str) -> Any:
    """A value without a key, wherever it stands."""
    if isinstance(value, dict):
        return {name: without(each, key) for name, each in value.items() if name != key}
    return [without(each, key) for each in value] if isinstance(value, list) else value


def differences(here: Any, there: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Where two answers differ, and how."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in {**here, **there}:
            yield from differences(here.get(key), there.get(key), *path, key)
    elif isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        for number, (one, other) in enumerate(zip(here, there, strict=True)):
            yield from differences(one, other, *path, number)
    elif here != there:
        yield (*path, here, there)


def test_the_far_end_has_what_the_near_end_has(near: Server, far: Server) -> None:
    calls = Story(SEED).tell()
    events = on_the_wire(near, tell(near, calls), calls)
    random.Random(SEED).shuffle(events)
    post(far, events)
    for kind in ("customers", "visitors"):
        here, there = shown(near, kind), shown(far, kind)
        assert len(here) >= 2
        found = list(differences(here, there))
        assert not found, "\n".join(map(str, found[:50]))
    assert any(person["orders"] for person in shown(near, "customers").values())
