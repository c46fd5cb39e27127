"""The partner endpoint as real Segment uses it (facts of Richpanel 9.2): 200, 400, 401, 501."""

import base64
import json
from typing import Any

import pytest

from tests.source.running import SUCCESS, Running, basic, track

AT = "2026-11-22T02:57:00.123Z"
MESSAGE = {
    "anonymousId": "a-1",
    "channel": "client",
    "context": {"ip": "203.0.113.9", "library": {"name": "analytics.js"}},
    "event": "Order Completed",
    "integrations": {},
    "messageId": "ajs-1",
    "originalTimestamp": AT,
    "projectId": "p-1",
    "properties": {"order_id": "o-1", "total": 12.50},
    "receivedAt": AT,
    "sentAt": AT,
    "timestamp": AT,
    "type": "track",
    "userId": "u-1",
    "version": 2,
}
SETTINGS = {"X-Segment-Settings": base64.b64encode(b'{"apiSecret":"s"}').decode(), "User-Agent": "Segment.io/1.0"}


@pytest.mark.parametrize("path", ["/segment", "/segment/"])
@pytest.mark.parametrize("kind", ["track", "identify", "page"])
async def test_supported_calls(door: Running, kind: str, path: str) -> None:
    connector = door.add("segment")
    answer = await door.post(path, {**MESSAGE, "type": kind}, connector, headers=SETTINGS)
    assert (answer.status, answer.body) == (200, SUCCESS)
    meta = door.record(connector).meta
    assert (meta.door, meta.type, meta.sentAt, meta.ip) == ("segment", None, None, None)
    assert door.bodies(connector) == [{**MESSAGE, "type": kind}]


@pytest.mark.parametrize("kind", ["screen", "group", "alias", "delete"])
async def test_unsupported_calls(door: Running, kind: str) -> None:
    """Segment hears 501 and drops it; here it is found among the discards."""
    connector = door.add("segment")
    message = {**MESSAGE, "type": kind, "groupId": "g", "previousId": "p"}
    answer = await door.post("/segment", message, connector)
    assert (answer.status, answer.code) == (501, "unsupported_call")
    assert door.discards(connector) == [("unsupported_call", json.dumps(message).encode())]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[]", "not_an_object"),
        (b"{}", "type_unknown"),
        (b'{"type":"track","userId":"u"}', "event_not_defined"),
        (b'{"type":"video","userId":"u"}', "type_unknown"),
        (b'{"type":5,"userId":"u"}', "type_unknown"),
        (b'{"type":"track","event":"E"}', "no_user_anon_id"),
        (b'{"type":"track","event":"E","userId":"u","properties":5}', "properties_not_object"),
        (b'{"type":"track","event":"E","userId":"u","properties":{"a":1e999}}', "number_out_of_range"),
        (b'{"type":"track","event":"\xff","userId":"u"}', "invalid_utf8"),
        (b'{"type":"track","event":"E","user_id":"u","x":' + b"[" * 5000 + b"]" * 5000 + b"}", "too_deep"),
    ],
)
async def test_malformed_calls(door: Running, body: bytes, code: str) -> None:
    connector = door.add("segment")
    answer = await door.post("/segment", body, connector)
    assert (answer.status, answer.code) == (400, code)
    assert [found for found, _ in door.discards(connector)] == [code]


async def test_keys(door: Running) -> None:
    """The API Key of a connector opens it, no write key; and the other way round."""
    connector, website = door.add("segment"), door.add()
    for headers in ({}, basic(""), basic("unknown"), basic(website.write_keys[0]), {"Authorization": "Bearer x"}):
        answer = await door.post("/segment", MESSAGE, headers=headers)
        assert (answer.status, answer.code) == (401, "invalid_api_key")
    assert (await door.post("/segment", {**MESSAGE, "writeKey": connector.write_keys[0]})).status == 401
    answer = await door.post("/v1/track", MESSAGE, connector)
    assert (answer.status, answer.code) == (401, "invalid_write_key")
    assert door.records(connector) == door.records(website) == []


async def test_a_disabled_connector(door: Running) -> None:
    answer = await door.post("/segment", MESSAGE, door.add("segment", enabled=False))
    assert (answer.status, answer.code) == (403, "source_disabled")


async def test_a_rate_is_for_a_connector_too(door: Running) -> None:
    connector = door.add("segment", rate_limit=1)
    assert [(await door.post("/segment", MESSAGE, connector)).status for _ in range(2)] == [200, 429]


async def test_the_settings_header_is_not_read_but_bounded(door: Running) -> None:
    connector = door.add("segment")
    assert (await door.post("/segment", MESSAGE, connector, headers={"X-Segment-Settings": "***"})).code is None
    answer = await door.post("/segment", MESSAGE, connector, headers={"X-Segment-Settings": "x" * 20_000})
    assert (answer.status, answer.code) == (400, "invalid_value")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"user_id": "u", "message_id": "m"}, {"userId": "u", "messageId": "m"}),
        ({"UserId": "u", "MESSAGEID": "m"}, {"userId": "u", "messageId": "m"}),
        ({"anonymous-id": "a", "original_timestamp": AT}, {"anonymousId": "a", "originalTimestamp": AT}),
        ({"userId": "u", "user_id": "other"}, {"userId": "u", "user_id": "other"}),
        ({"userId": "u", "Some_Field": 1.50}, {"userId": "u", "Some_Field": 1.50}),
    ],
)
async def test_any_casing_of_the_fields(door: Running, sent: dict[str, Any], kept: dict[str, Any]) -> None:
    connector = door.add("segment")
    properties = {"User_Id": "stays", "n": 1}
    call = {"Type": "page", "Properties": properties, **sent}
    assert (await door.post("/segment", call, connector)).code is None
    assert door.bodies(connector) == [{"type": "page", "properties": properties, **kept}]


async def test_the_exact_bytes_are_kept_where_the_casing_is_right(door: Running) -> None:
    connector = door.add("segment")
    body = b'{ "type":"track", "event":"E","userId":"u", "properties":{"n":1.50} }'
    await door.post("/segment", body, connector)
    assert [item.body for item in door.record(connector).items] == [body]


async def test_a_call_without_an_id_gets_one(door: Running) -> None:
    connector = door.add("segment")
    await door.post("/segment", track(messageId=None), connector)
    assert list(door.record(connector).meta.ids) == [0]
