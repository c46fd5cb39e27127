"""Each client as it really sends, and what each needs to read in the answer (facts of Segment 1.2, 1.4 and 1.5)."""

import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.source.running import SUCCESS, Running, basic, chunks

AT = "2026-11-22T02:57:00.123Z"
CALL = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1", "timestamp": AT}


@dataclass(frozen=True)
class Client:
    """How one client sends: where, with which key, in which form; `batch` is what it sends beside the items."""

    path: str
    header: bool = False
    body_key: bool = False
    type: str = "application/json"
    zipped: bool = False
    chunked: bool = False
    batch: dict[str, Any] | None = field(default_factory=lambda: {"sentAt": AT})
    call: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


BROWSER_CALL: dict[str, Any] = {
    "userId": None,
    "anonymousId": "a-1",
    "sentAt": AT,
    "_metadata": {"bundled": ["Segment.io"]},
}
PYTHON_CALL: dict[str, Any] = {"anonymousId": None, "integrations": {}, "context": {}, "category": None}
CLIENTS = {
    "python 2.4.0": Client("/v1/batch", header=True, body_key=True, call=PYTHON_CALL),
    "python 2.4.0, gzip": Client("/v1/batch", header=True, body_key=True, zipped=True, call=PYTHON_CALL),
    "python 2.3.4": Client("/v1/batch", body_key=True, call=PYTHON_CALL),
    "node 3.1.0": Client("/v1/batch", header=True, body_key=True, call={"_metadata": {"nodeVersion": "20"}}),
    "node-legacy 6.2.0": Client("/v1/batch", header=True, batch={"timestamp": AT, "sentAt": AT}),
    "browser 1.84": Client(
        "/v1/t",
        header=True,
        body_key=True,
        type="text/plain",
        batch=None,
        call=BROWSER_CALL,
        headers={"X-Retry-Count": "2", "Origin": "https://shop.example"},
    ),
    "browser 1.84, batching": Client("/v1/b", header=True, body_key=True, type="text/plain", call=BROWSER_CALL),
    "browser 1.83": Client("/v1/t", body_key=True, type="text/plain", batch=None, call=BROWSER_CALL),
    "browser 1.83, batching": Client("/v1/b", body_key=True, type="text/plain", call=BROWSER_CALL),
    "kotlin": Client("/v1/b", body_key=True, type="text/plain", zipped=True, chunked=True),
    "swift": Client("/v1/b", body_key=True, type="application/json; charset=utf-8"),
    "react-native": Client("/v1/b", body_key=True, type="application/json; charset=utf-8"),
    "ios-legacy": Client("/v1/batch", body_key=True, zipped=True),
    "android-legacy": Client("/v1/import", body_key=True, zipped=True, chunked=True),
    "go v3": Client("/v1/batch", header=True, batch={"messageId": "b-1", "sentAt": AT, "context": {"app": {}}}),
    "php": Client("/v1/batch", header=True),
    "php, gzip": Client("/v1/batch", header=True, zipped=True),
    "ruby": Client("/v1/import", header=True),
    "java": Client("/v1/import/", header=True, body_key=True, batch={"sentAt": AT, "context": {"a": 1}, "sequence": 4}),
    "by hand": Client("/v1/track", body_key=True, type="", batch=None),
    "by hand, no type at all": Client("/v1/track", header=True, type="", batch=None),
}


def request_of(client: Client, key: str) -> tuple[bytes, dict[str, Any]]:
    """A client's request as it goes over the wire, and the call that is in it."""
    call = {**CALL, **client.call}
    content: dict[str, Any] = call if client.batch is None else {"batch": [call], **client.batch}
    if client.body_key:
        content = {**content, "writeKey": key}
    body = json.dumps(content).encode()
    headers = {"Host": "track.example", **client.headers, **(basic(key) if client.header else {})}
    if client.type:
        headers["Content-Type"] = client.type
    if client.zipped:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    if client.chunked:
        body, headers["Transfer-Encoding"] = chunks(body[:50], body[50:]) + b"0\r\n\r\n", "chunked"
    else:
        headers["Content-Length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {client.path} HTTP/1.1\r\n{lines}\r\n".encode() + body, content if client.batch is None else call


@pytest.mark.parametrize("name", CLIENTS)
async def test_a_call_of_each_client(door: Running, name: str) -> None:
    source = door.add()
    raw, call = request_of(CLIENTS[name], source.write_keys[0])
    answer = await door.send(raw)
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, SUCCESS, "application/json")
    assert door.bodies(source) == [call]
    meta = door.record(source).meta
    assert meta.door == ("import" if "import" in CLIENTS[name].path else "tracking")
    assert meta.sentAt == (AT if CLIENTS[name].batch else None)


@pytest.mark.parametrize("name", CLIENTS)
async def test_an_unknown_key_of_each_client(door: Running, name: str) -> None:
    raw, _ = request_of(CLIENTS[name], "0" * 32)
    answer = await door.send(raw)
    assert (answer.status, answer.code) == (401, "invalid_write_key")


CREDENTIALS = [
    ("basic", lambda key: basic(key), False),
    ("basic without a colon", lambda key: basic(key, colon=""), False),
    ("basic with a password", lambda key: basic(key, colon=":password"), False),
    (
        "basic in other letters",
        lambda key: {"Authorization": basic(key)["Authorization"].replace("Basic", "bASIC")},
        False,
    ),
    ("body", lambda _: {}, True),
    ("both", basic, True),
    ("bearer and body", lambda _: {"Authorization": "Bearer ey.J.x"}, True),
    ("unknown basic, known body", lambda _: basic("unknown"), True),
    ("broken basic, known body", lambda _: {"Authorization": "Basic ***"}, True),
    ("empty basic, known body", lambda _: basic(""), True),
    ("another scheme, known body", lambda _: {"Authorization": "Digest a=b"}, True),
]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize(
    ("headers", "in_body"), [case[1:] for case in CREDENTIALS], ids=[case[0] for case in CREDENTIALS]
)
async def test_every_form_of_credentials(door: Running, headers: Any, in_body: bool, path: str) -> None:
    source = door.add()
    key = source.write_keys[0]
    content: dict[str, Any] = CALL if path == "/v1/track" else {"batch": [CALL]}
    answer = await door.post(path, {**content, **({"writeKey": key} if in_body else {})}, headers=headers(key))
    assert answer.code is None
    assert len(door.bodies(source)) == 1


async def test_of_two_keys_basic_counts(door: Running) -> None:
    one, other = door.add(), door.add()
    await door.post("/v1/batch", {"batch": [CALL], "writeKey": other.write_keys[0]}, one)
    await door.post("/v1/track", {**CALL, "writeKey": other.write_keys[0]}, one)
    assert (len(door.bodies(one)), door.bodies(other)) == (2, [])


async def test_a_token_needs_a_key_in_the_body(door: Running) -> None:
    answer = await door.post("/v1/track", CALL, headers={"Authorization": "Bearer " + "0" * 32})
    assert (answer.status, answer.code) == (401, "invalid_write_key")


async def test_a_source_may_have_several_keys(door: Running) -> None:
    old = door.add()
    door.sources[-1] = type(old)(old.id, old.name, old.type, True, (*old.write_keys, "f" * 32))
    door.keys.replace(door.sources)
    for key in door.sources[-1].write_keys:
        assert (await door.post("/v1/track", CALL, headers=basic(key))).code is None
    assert len(door.bodies(old)) == 2


@pytest.mark.parametrize(
    ("content", "status"),
    [({**CALL}, 200), ({"event": "E"}, 400), (b"{", 400), (b"", 400), ({"batch": []}, 400)],
)
async def test_what_clients_read_in_an_answer(door: Running, content: Any, status: int) -> None:
    """Ruby parses every answer and wants no `error` in it; older python reads `code` and `message` of an error.

    php knows 200 alone; node takes a redirect for success; go tries anything from 300 again.
    """
    answer = await door.post("/v1/track", content, door.add())
    parsed = json.loads(answer.body)
    assert answer.status == status
    assert "error" not in parsed
    if status == 200:
        assert parsed == {"success": True}
    else:
        assert (parsed["success"], type(parsed["code"]), type(parsed["message"])) == (False, str, str)
