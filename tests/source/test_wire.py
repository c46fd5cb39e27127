"""Richpanel's tracking API as its plugins and its tracker use it (facts of Richpanel 1.1, 2, 3.3)."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from richpanel.source.keys import Source
from tests.source.running import SUCCESS, Answer, Running

SECRET = "api-secret"
T = 1_763_900_000_123
EVENT = {
    "event": "view_product",
    "eventId": "e-1",
    "did": "d-1",
    "sid": "s-1",
    "time": {"sentAt": T},
    "userProperties": {"uid": "u-1"},
    "properties": {"id": "p-1", "price": 9.5},
}
KEPT = {
    "type": "track",
    "messageId": "e-1",
    "userId": "u-1",
    "anonymousId": "d-1",
    "timestamp": "2025-11-23T12:13:20.123Z",
    "event": "Product Viewed",
    "properties": {"product_id": "p-1", "price": 9.5, "richpanel_session_id": "s-1"},
}


def b64(content: object) -> str:
    return base64.b64encode(content if isinstance(content, bytes) else json.dumps(content).encode()).decode()


def connector(door: Running, **more: Any) -> Source:
    """A connector whose API Secret is SECRET, sealed by turning it round."""
    door.keys.open_secret = lambda sealed: sealed[::-1] if sealed.isascii() else None
    return door.add("segment", sealed_secrets=(SECRET[::-1],), **more)


async def single(door: Running, source: Source, event: object, path: str = "/v2/t", **more: Any) -> Answer:
    if isinstance(event, dict):
        event = {"appClientId": source.write_keys[0], **event}
    return await door.post(path, {"h": b64(event), **more})


@pytest.mark.parametrize("path", ["/v2/t", "/v3/t", "/v2/t/"])
async def test_one_event(door: Running, path: str) -> None:
    source = connector(door)
    answer = await single(door, source, EVENT, path)
    assert (answer.status, answer.body) == (200, SUCCESS)
    assert answer.headers["access-control-allow-origin"] == "*"
    meta = door.record(source).meta
    assert (meta.door, meta.type, meta.ip, meta.ids) == ("richpanel", None, None, {})
    assert door.bodies(source) == [KEPT]


async def test_a_batch(door: Running) -> None:
    """The developer guide names the key on the envelope and on each event, the Magento module on the envelope alone."""
    source = connector(door)
    for key in ({}, {"appClientId": source.write_keys[0]}):
        events = [{**EVENT, "eventId": f"e-{number}", **key} for number in range(25)]
        envelope = {"event": "send_batch", "appClientId": source.write_keys[0], "events": events, "platform": "M"}
        assert (await door.post("/v2/bt", {"hs": b64(envelope)})).code is None
    assert [body["messageId"] for body in door.bodies(source)] == [f"e-{number}" for number in range(25)] * 2
    envelope = {"events": [{**EVENT, "appClientId": source.write_keys[0]}]}
    assert (await door.post("/v2/bt", {"hs": b64(envelope)})).code is None


async def test_an_event_with_traits_is_two_calls(door: Running) -> None:
    source = connector(door)
    user = {"uid": "a@b.c", "email": "a@b.c", "firstName": "Ada"}
    assert (await single(door, source, {**EVENT, "userProperties": user})).code is None
    identify, track = door.bodies(source)
    assert (identify["type"], identify["messageId"], identify["userId"]) == ("identify", "e-1.identify", "a@b.c")
    assert identify["traits"] == {"email": "a@b.c", "firstName": "Ada"}
    assert (track["type"], track["messageId"], track["userId"]) == ("track", "e-1", "a@b.c")


async def test_numbers_keep_their_digits(door: Running) -> None:
    source = connector(door)
    order = b'{"appClientId":"%s","event":"order","userProperties":{"uid":"u"},"properties":{"amount":45.50}}'
    await single(door, source, order % source.write_keys[0].encode())
    assert b'"total":45.50' in door.record(source).items[0].body


MODES: list[Callable[[bytes], str]] = [
    lambda signed: hashlib.md5(signed).hexdigest(),
    lambda signed: hashlib.sha256(signed).hexdigest(),
]


@pytest.mark.parametrize("mode", MODES, ids=["md5", "sha256"])
async def test_signatures(door: Running, mode: Callable[[bytes], str]) -> None:
    source = connector(door)
    text = b64({**EVENT, "appClientId": source.write_keys[0]})
    good, wrong = (mode(text.encode() + secret.encode()) for secret in (SECRET, "another"))
    assert (await door.post("/v2/t", {"s": good, "h": text, "event_type": "track"})).code is None
    bad: list[Any] = [wrong, good[:-1], "", 5, {}, good[::-1]]
    for signature in bad:
        answer = await door.post("/v2/t", {"s": signature, "h": text})
        assert (answer.status, answer.code) == (401, "invalid_signature")
    envelope = b64({"appClientId": source.write_keys[0], "events": [{**EVENT, "eventId": "e-2"}]})
    assert (await door.post("/v2/bt", {"s": good, "hs": envelope})).code == "invalid_signature"
    good = mode(envelope.encode() + SECRET.encode())
    assert (await door.post("/v2/bt", {"s": good, "hs": envelope, "event_type": "send_batch"})).code is None
    assert [body["messageId"] for body in door.bodies(source)] == ["e-1", "e-2"]
    assert door.discards(source) == []


async def test_a_secret_that_cannot_be_read_verifies_nothing(door: Running) -> None:
    source = connector(door)
    door.keys.open_secret = lambda _sealed: None
    signature = hashlib.sha256(b64({}).encode()).hexdigest()
    assert (await single(door, source, EVENT, s=signature)).code == "invalid_signature"


async def test_several_secrets_in_force(door: Running) -> None:
    connector(door)
    source = door.add("segment", sealed_secrets=("dlo", "é", "wen"))
    text = b64({**EVENT, "appClientId": source.write_keys[0]})
    for secret in ("old", "new"):
        signature = hashlib.md5((text + secret).encode()).hexdigest()
        assert (await door.post("/v3/t", {"s": signature, "h": text})).code is None


async def test_keys(door: Running) -> None:
    source, website = connector(door), door.add()
    for key in (website.write_keys[0], "unknown", "", None, 5, [source.write_keys[0]], "x" * 5000):
        answer = await single(door, source, {**EVENT, "appClientId": key})
        assert (answer.status, answer.code) == (401, "invalid_api_key")
    answer = await door.post("/v2/t", {"h": b64(EVENT)}, source)  # Basic credentials are not this API's.
    assert answer.code == "invalid_api_key"
    assert door.records(source) == door.records(website) == []


async def test_a_disabled_connector(door: Running) -> None:
    answer = await single(door, connector(door, enabled=False), EVENT)
    assert (answer.status, answer.code) == (403, "source_disabled")


async def test_a_rate_is_for_plugins_too(door: Running) -> None:
    source = connector(door, rate_limit=1)
    answers = [await single(door, source, EVENT) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert int(answers[1].headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_payload"),
        (b"{}", "invalid_payload"),
        (b'{"h":5}', "invalid_payload"),
        (b'{"h":"***"}', "invalid_payload"),
        (b'{"h":"\xff"}', "invalid_utf8"),
        (json.dumps({"h": b64(b"{")}).encode(), "invalid_json"),
        (json.dumps({"h": b64(b'{"a":"\xff"}')}).encode(), "invalid_utf8"),
        (json.dumps({"h": b64(b"[" * 5000 + b"]" * 5000)}).encode(), "too_deep"),
        (json.dumps({"hs": b64([])}).encode(), "invalid_payload"),
        (json.dumps({"hs": b64({"events": {}})}).encode(), "invalid_payload"),
    ],
)
async def test_bodies_that_nobody_can_read(door: Running, body: bytes, code: str) -> None:
    answer = await door.post("/v2/t", body)
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"event": None}, "event_not_defined"),
        ({"event": ""}, "event_not_defined"),
        ({"event": 5}, "event_not_string"),
        ({"userProperties": None, "did": None}, "no_user_anon_id"),
        ({"userProperties": {"uid": "null"}, "did": "0000"}, "no_user_anon_id"),
        ({"userProperties": {"uid": {}}}, "id_not_string"),
        ({"properties": "p"}, "properties_not_object"),
        ({"eventId": "x" * 101}, "message_id_too_long"),
        ({"properties": {"x": "x" * 40_000}}, "message_too_large"),
    ],
)
async def test_an_event_that_is_wrong(door: Running, wrong: dict[str, Any], code: str) -> None:
    """Refused alone, and among others a discard."""
    source = connector(door)
    answer = await single(door, source, {**EVENT, **wrong})
    assert (answer.status, answer.code) == (400, code)
    envelope = {"appClientId": source.write_keys[0], "events": [{**EVENT, **wrong}, {**EVENT, "eventId": "e-2"}]}
    assert (await door.post("/v2/bt", {"hs": b64(envelope)})).code is None
    assert [body["messageId"] for body in door.bodies(source)] == ["e-2"]
    assert [found for found, _ in door.discards(source)] == [code] * 2


async def test_what_is_no_event(door: Running) -> None:
    source = connector(door)
    events: list[Any] = [5, None, [], EVENT]
    envelope = {"appClientId": source.write_keys[0], "events": events}
    assert (await door.post("/v2/bt", {"hs": b64(envelope)})).code is None
    assert [code for code, _ in door.discards(source)] == ["not_an_object"] * 3
    assert len(door.bodies(source)) == 1


async def test_an_empty_batch(door: Running) -> None:
    source = connector(door)
    assert (await door.post("/v2/bt", {"hs": b64({"appClientId": source.write_keys[0], "events": []})})).code is None
    assert [code for code, _ in door.discards(source)] == ["empty_batch"]


async def test_too_many_events(door: Running) -> None:
    source = connector(door)
    envelope = {"appClientId": source.write_keys[0], "events": [{"event": "E", "did": "d"}] * 2501}
    assert (await door.post("/v2/bt", {"hs": b64(envelope)})).code == "too_many_items"


async def test_half_a_character(door: Running) -> None:
    """JavaScript cuts a text within an emoji."""
    source = connector(door)
    event = b'{"appClientId":"%s","event":"search","did":"d","properties":{"query":"mug \\ud83d"}}'
    assert (await single(door, source, event % source.write_keys[0].encode())).code is None
    assert door.bodies(source)[0]["properties"] == {"query": "mug �"}


async def test_a_number_out_of_range(door: Running) -> None:
    source = connector(door)
    event = b'{"appClientId":"%s","event":"E","did":"d","properties":{"n":1e999}}' % source.write_keys[0].encode()
    assert (await single(door, source, event)).code == "number_out_of_range"
    huge = b'{"appClientId":"%s","event":"E","did":"d","properties":{"n":%s}}'
    assert (await single(door, source, huge % (source.write_keys[0].encode(), b"9" * 30))).code is None
    assert b'"n":' + b"9" * 30 in door.records(source)[-1].items[0].body


async def test_deep_nesting_is_found_inside(door: Running) -> None:
    source = connector(door)
    deep = b'{"appClientId":"%s","event":"E","did":"d","properties":{"n":%s}}'
    answer = await single(door, source, deep % (source.write_keys[0].encode(), b"[" * 600 + b"]" * 600))
    assert (answer.status, answer.code) == (400, "too_deep")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", ""])
async def test_as_each_client_sends_it(door: Running, kind: str) -> None:
    source = connector(door)
    headers = {"Content-Type": kind, "X-Requested-With": "XMLHttpRequest", "Origin": "https://shop.example"}
    body = {"h": b64({**EVENT, "appClientId": source.write_keys[0]})}
    assert (await door.post("/v3/t", body, headers=headers, zipped=not kind)).code is None


async def test_a_browser_may(door: Running) -> None:
    asked = {"Access-Control-Request-Headers": "content-type,x-requested-with", "Origin": "https://shop.example"}
    answer = await door.request("OPTIONS", "/v3/t", headers=asked)
    assert (answer.status, answer.headers["access-control-allow-headers"]) == (200, "content-type,x-requested-with")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert (await door.request("GET", "/v2/t")).status == 405
    for path in ("/v2/s", "/v2/j/KEY", "/v3/bt", "/v2/"):
        assert (await door.request("POST", path)).code == "not_found"
