"""Richpanel's own clients pointed at a server: what their events become (facts of Richpanel 2, 3)."""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import KEY_SECONDS, Server, request

PLACED = 1_790_000_000_000
"""When the order was placed, ms UTC."""


@pytest.fixture
def server(installation: str, tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


class Shop:
    """A shop whose plugin has a connector's key and secret."""

    def __init__(self, server: Server) -> None:
        made = server.api("POST", "/connectors", {"name": "Shop"}).json()
        self.server, self.key, self._secret = server, made["apiKey"], made["apiSecret"]
        deadline = time.monotonic() + KEY_SECONDS
        while self.post("/v2/t", "h", {"event": "E"}) == 401:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def post(self, path: str, field: str, content: dict[str, Any], sign: Callable[[bytes], str] | None = None) -> int:
        """The status of an answer."""
        text = base64.b64encode(json.dumps({"appClientId": self.key, **content}).encode()).decode()
        body = {field: text}
        if sign is not None:
            body["s"] = sign((text + self._secret).encode())
        return request("POST", self.server.url + path, json.dumps(body).encode()).status


def md5(signed: bytes) -> str:
    return hashlib.md5(signed).hexdigest()


def sha256(signed: bytes) -> str:
    return hashlib.sha256(signed).hexdigest()


def test_the_browser_tracker_and_then_an_identify(server: Server) -> None:
    """A visitor becomes a customer with what they did before; the tracker sends times, ids and a session of its own."""
    shop = Shop(server)
    context = {"page": {"url": "https://shop.example/mug", "title": "Mug"}, "userAgent": "Mozilla/5.0 (X11; Linux)"}
    around = {"did": "device-1", "sid": "visit-1", "version": "2.0.0.j", "context": context}
    viewed = {"event": "view_product", "properties": {"id": "p-1", "name": "Mug"}, "userProperties": None}
    assert shop.post("/v3/t", "h", {**around, **viewed, "eventId": "e-1", "time": {"sentAt": PLACED}}) == 200
    user = {"uid": "ada@example.com", "email": "ada@example.com", "firstName": "Ada"}
    known = {"event": "identify", "properties": {}, "userProperties": user, "eventId": "e-2"}
    assert shop.post("/v3/t", "h", {**around, **known, "time": {"sentAt": PLACED + 1000}}) == 200
    server.wait_processed()
    customer = server.customer("ada@example.com")
    assert (customer["firstName"], customer["visits"]) == ("Ada", 1)
    (entry,) = [entry for entry in server.timeline("ada@example.com") if entry["type"] == "track"]
    assert (entry["id"], entry["event"], entry["sessionId"]) == ("e-1", "Product Viewed", "visit-1")
    assert entry["properties"] == {"product_id": "p-1", "name": "Mug"}
    assert entry["timestamp"] == "2026-09-21T14:13:20.000Z"


def test_woocommerce_places_an_order_and_changes_its_status(server: Server) -> None:
    """Snake case, no device, signed by MD5, and who the customer is in each event."""
    shop = Shop(server)
    user = {"uid": "ada@example.com", "email": "ada@example.com", "firstName": "Ada", "sourceId": 5}
    order = {
        **{"order_id": 1001, "order_db_key": 1001, "amount": 45.5, "tax_amount": "3.10", "shipping_amount": 4.9},
        **{"items": [{"id": 7, "name": "Mug", "price": 20.0, "quantity": 2, "image_url": ["https://shop.example/7"]}]},
        **{"coupons": ["AUTUMN", "TEA"], "payment_method": "card", "context": "new", "status": "processing"},
    }
    events = [
        {"event": "order", "properties": order, "time": {"originalTimestamp": PLACED, "sentAt": PLACED + 5}},
        {
            "event": "order_status_update",
            "properties": {**order, "context": "status_change", "old_status": "processing", "status": "on-hold"},
            "time": {"originalTimestamp": PLACED + 60_000, "sentAt": PLACED + 60_005},
        },
    ]
    for event in reversed(events):
        assert shop.post("/v2/t", "h", {"did": None, "sid": None, "userProperties": user, **event}, md5) == 200
    server.wait_processed()
    (shown,) = server.get("/customers/ada%40example.com/orders")["data"]
    assert (shown["orderId"], shown["status"], shown["total"]) == ("1001", "on-hold", "45.50")
    assert (shown["properties"]["tax"], shown["properties"]["shipping"]) == ("3.10", "4.90")
    assert shown["properties"]["coupons"] == ["AUTUMN", "TEA"]
    assert [(item["product_id"], item["image_url"]) for item in shown["items"]] == [(7, "https://shop.example/7")]
    customer = server.customer("ada@example.com")
    assert (customer["ordersCount"], customer["visits"], customer["traits"]["sourceId"]) == (1, 0, 5)
    assert [entry["event"] for entry in server.timeline("ada@example.com") if entry["type"] == "track"] == [
        *("Order Updated", "Order Completed")
    ]


def test_magento_sends_an_order_again_on_every_change(server: Server) -> None:
    """Without ids, always with the time at which it was placed: the last sent counts, and twice the same is one."""
    shop = Shop(server)
    parcel = {"id": "s-1", "status": "in transit", "tracking": [{"trackingNumber": "JD0146", "trackingCompany": "DHL"}]}
    changes: list[dict[str, Any]] = [
        {"order_status": "Pending", "amount": 45.5},
        {"order_status": "Processing", "amount": 41},
        {"order_status": "Complete", "amount": 41, "fulfillment": [parcel], "totalRefundedAmount": 0},
    ]
    events = [
        {
            "event": "order",
            "userProperties": {"uid": "bo@example.com", "email": "bo@example.com", "first_name": "Bo"},
            "properties": {"orderId": "2002", "orderDBKey": 12, "items": [], **change},
            "time": {"originalTimestamp": PLACED, "sentAt": PLACED + 1000 * number},
        }
        for number, change in enumerate(changes)
    ]
    for batch in ([events[2], events[0]], [events[1]], [events[0]]):
        assert shop.post("/v2/bt", "hs", {"event": "send_batch", "events": batch, "platform": "M"}, sha256) == 200
    server.wait_processed()
    (order,) = server.get("/customers/bo%40example.com/orders")["data"]
    assert (order["orderId"], order["status"], order["total"]) == ("2002", "Complete", "41.00")
    assert order["fulfillment"] == {
        **{"tracking_number": "JD0146", "tracking_company": "DHL", "delivery_status": "in transit"}
    }
    assert order["placedAt"] == "2026-09-21T14:13:20.000Z"
    assert server.customer("bo@example.com")["firstName"] == "Bo"
    assert len([entry for entry in server.timeline("bo@example.com") if entry["type"] == "track"]) == 3


def test_a_signature_by_another_secret_is_refused(server: Server) -> None:
    shop = Shop(server)
    event = {"event": "search", "did": "d-1", "properties": {"query": "mug"}}
    assert shop.post("/v2/t", "h", event, lambda signed: md5(signed + b"!")) == 401
    assert shop.post("/v2/t", "h", event, md5) == shop.post("/v2/t", "h", event, sha256) == 200
    server.wait_processed()
    assert len(server.get("/messages", type="track")["data"]) == 1
