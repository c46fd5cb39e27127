"""segment-analytics-python, both generations, posting to the server by its `host` option alone."""

import pytest

from tests.sdk.clients import PYTHON, PYTHON_OLDER, Call, Client
from tests.sdk.network import LossyLine
from tests.server import Server, Source

GENERATIONS = pytest.mark.parametrize("client", [PYTHON, PYTHON_OLDER], ids=lambda client: client.version)
WAYS = pytest.mark.parametrize(
    "options",
    [{}, {"gzip": True}, {"sync_mode": True}, {"gzip": True, "sync_mode": True}],
    ids=["batches", "batches-gzip", "sync", "sync-gzip"],
)


@GENERATIONS
@WAYS
def test_every_call_arrives(server: Server, backend: Source, client: Client, options: dict[str, bool]) -> None:
    uid = f"python-{client.version}-{'-'.join(options)}"
    email = f"{uid}@shop.example"
    calls: list[Call] = [
        {"type": "identify", "userId": uid, "traits": {"email": email, "firstName": "Grace", "points": 12.50}},
        {"type": "page", "userId": uid, "name": "Pricing", "properties": {"title": "Prices"}},
        {"type": "track", "userId": uid, "event": "Order Completed", "properties": {"order_id": uid, "total": 20}},
        {"type": "screen", "userId": uid, "name": "Basket"},
        {"type": "group", "userId": uid, "groupId": "club", "traits": {"name": "The Club"}},
        {"type": "alias", "userId": uid, "previousId": f"{uid}-before"},
    ]
    ids = client.send(server.url, backend.write_key, calls, **options)
    sent = {call["type"]: message_id for call, message_id in zip(calls, ids, strict=True)}

    server.wait_processed()
    customer = server.customer(uid)
    assert (customer["uid"], customer["email"], customer["firstName"]) == (uid, email, "Grace")
    assert customer["traits"]["points"] == 12.5
    timeline = {entry["id"]: entry for entry in server.timeline(uid) if entry["type"] != "became_customer"}
    assert timeline.keys() == {sent["page"], sent["track"]}
    page, track = timeline[sent["page"]], timeline[sent["track"]]
    assert (page["type"], page["event"], page["properties"]["title"]) == ("page", "Pricing", "Prices")
    assert (track["type"], track["event"], track["properties"]["total"]) == ("track", "Order Completed", 20)

    for kind, message_id in sent.items():
        (trace,) = server.traces(message_id)
        assert (trace["type"], trace["source"]) == (kind, backend.id)
        assert trace["outcome"] == ("kept" if kind in {"identify", "page", "track"} else "unsupported")
        assert trace["body"]["messageId"] == message_id


@GENERATIONS
def test_a_retry_after_a_lost_answer_doubles_nothing(server: Server, backend: Source, client: Client) -> None:
    """The SDK keeps the message ids of what it sends again, and the server counts each once."""
    uid = f"python-retry-{client.version}"
    calls: list[Call] = [{"type": "identify", "userId": uid, "traits": {"plan": "free"}}]
    calls += [{"type": "track", "userId": uid, "event": "Clicked", "properties": {"n": n}} for n in range(5)]
    with LossyLine(server.url).open() as line:
        sent = client.send(line.url, backend.write_key, calls)
    assert [(ids, status) for ids, _, status in line.posts] == [(sent, 503), (sent, 200)]

    server.wait_processed()
    clicks = [entry["properties"]["n"] for entry in server.timeline(uid) if entry["type"] == "track"]
    assert sorted(clicks) == [0, 1, 2, 3, 4]
    for message_id in sent:
        (trace,) = server.traces(message_id)
        assert (trace["outcome"], trace["conflict"]) == ("kept", False)


@GENERATIONS
def test_numbers_as_ids(server: Server, backend: Source, client: Client) -> None:
    uid = client.version.replace(".", "")
    client.send(server.url, backend.write_key, [{"type": "identify", "userId": int(uid), "traits": {"plan": "free"}}])
    server.wait_processed()
    assert server.customer(uid)["uid"] == uid


@GENERATIONS
def test_an_unknown_write_key_is_an_error_that_the_sdk_reports(server: Server, client: Client) -> None:
    call = {"type": "track", "userId": "nobody", "event": "Clicked", "messageId": "with-an-unknown-key"}
    with pytest.raises(AssertionError, match="401"):
        client.send(server.url, "0" * 32, [call])
    server.wait_processed()
    assert server.get("/messages", uid="nobody")["data"] == []
