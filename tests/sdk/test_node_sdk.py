"""Segment's Node SDKs: @segment/analytics-node and the legacy analytics-node, by their `host` option alone."""

import pytest

from tests.sdk.clients import NODE, NODE_LEGACY, Call, Client
from tests.sdk.network import LossyLine
from tests.server import Server, Source

GENERATIONS = pytest.mark.parametrize("client", [NODE, NODE_LEGACY], ids=["new", "legacy"])


@GENERATIONS
def test_every_call_arrives(server: Server, backend: Source, client: Client) -> None:
    uid = f"node-{client.version}"
    email = f"{uid}@shop.example"
    calls: list[Call] = [
        {"type": "identify", "userId": uid, "traits": {"email": email, "lastName": "Hopper", "vip": True}},
        {"type": "page", "userId": uid, "name": "Pricing", "category": "Shop", "properties": {"title": "Prices"}},
        {"type": "track", "userId": uid, "event": "Order Completed", "properties": {"order_id": uid, "total": "19.90"}},
        {"type": "screen", "userId": uid, "name": "Basket"},
        {"type": "group", "userId": uid, "groupId": "club", "traits": {"name": "The Club"}},
        {"type": "alias", "userId": uid, "previousId": f"{uid}-before"},
    ]
    ids = client.send(server.url, backend.write_key, calls)
    sent = {call["type"]: message_id for call, message_id in zip(calls, ids, strict=True)}

    server.wait_processed()
    customer = server.customer(uid)
    assert (customer["uid"], customer["email"], customer["lastName"]) == (uid, email, "Hopper")
    assert customer["traits"]["vip"] is True
    timeline = {entry["id"]: entry for entry in server.timeline(uid) if entry["type"] != "became_customer"}
    assert timeline.keys() == {sent["page"], sent["track"]}
    assert timeline[sent["page"]]["properties"]["title"] == "Prices"
    assert timeline[sent["track"]]["properties"]["total"] == "19.90"
    (order,) = server.get(f"/customers/{uid}/orders")["data"]
    assert (order["orderId"], order["total"]) == (uid, "19.90")

    for kind, message_id in sent.items():
        (trace,) = server.traces(message_id)
        assert (trace["type"], trace["source"]) == (kind, backend.id)
        assert trace["outcome"] == ("kept" if kind in {"identify", "page", "track"} else "unsupported")


@GENERATIONS
def test_numbers_as_ids(server: Server, backend: Source, client: Client) -> None:
    """The legacy SDK takes numbers and sends strings; the new one takes strings alone."""
    uid = "4210000000000001" if client is NODE else "4260000000000001"
    given = uid if client is NODE else int(uid)
    client.send(server.url, backend.write_key, [{"type": "identify", "userId": given, "traits": {"vip": False}}])
    server.wait_processed()
    assert server.customer(uid)["traits"]["vip"] is False


@GENERATIONS
def test_a_retry_after_a_lost_answer_doubles_nothing(server: Server, backend: Source, client: Client) -> None:
    uid = f"node-retry-{client.version}"
    call = {"type": "track", "userId": uid, "event": "Clicked", "properties": {"n": 1}}
    with LossyLine(server.url).open() as line:
        sent = client.send(line.url, backend.write_key, [call])
    assert [(ids, status) for ids, _, status in line.posts] == [(sent, 503), (sent, 200)]

    server.wait_processed()
    (trace,) = server.traces(sent[0])
    assert (trace["outcome"], trace["conflict"]) == ("kept", False)
    assert [entry["id"] for entry in server.timeline(uid, "visitors")] == sent


@GENERATIONS
def test_many_calls_in_many_batches(server: Server, backend: Source, client: Client) -> None:
    """Several requests at once, more than a page of the timeline, in the order of the shopper's clock."""
    uid = f"node-many-{client.version}"
    calls = [
        {
            "type": "track",
            "userId": uid,
            "event": "Clicked",
            "timestamp": f"2026-01-02T03:{n // 60:02}:{n % 60:02}.000Z",
            "properties": {"n": n},
        }
        for n in range(120)
    ]
    sent = client.send(server.url, backend.write_key, calls, flushAt=20)
    server.wait_processed()
    assert [entry["id"] for entry in server.timeline(uid, "visitors")] == sent[::-1]
