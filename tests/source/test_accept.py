"""What is kept, what becomes of the rest, and what each is told (`semantics.md` 2, facts of Segment 1.3)."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from richpanel.core.codes import Code
from richpanel.core.record import MAX_DISCARD_BYTES
from tests.source.running import Running, basic, track

BAD_CALLS = [
    ("track", {"event": "E"}, "no_user_anon_id"),
    ("identify", {"userId": None, "anonymousId": None}, "no_user_anon_id"),
    ("track", {"userId": "u"}, "event_not_defined"),
    ("track", {"userId": "u", "event": ""}, "event_not_defined"),
    ("track", {"userId": "u", "event": 7}, "event_not_string"),
    ("track", {"userId": "u", "event": ["E"]}, "event_not_string"),
    ("page", {"userId": "u", "name": ""}, "name_not_string"),
    ("page", {"userId": "u", "name": {}}, "name_not_string"),
    ("screen", {"userId": "u", "category": 1}, "category_not_string"),
    ("screen", {"userId": "u", "category": ""}, "category_not_string"),
    ("alias", {"userId": "u"}, "id_required"),
    ("alias", {"previousId": "a"}, "id_required"),
    ("group", {"userId": "u"}, "id_required"),
    ("group", {"groupId": "g"}, "no_user_anon_id"),
    ("identify", {"userId": 1.5}, "id_not_string"),
    ("identify", {"userId": True}, "id_not_string"),
    ("identify", {"userId": "u", "anonymousId": {}}, "id_not_string"),
    ("identify", {"userId": "u", "messageId": []}, "id_not_string"),
    ("alias", {"userId": "u", "previousId": False}, "id_not_string"),
    ("group", {"userId": "u", "groupId": 0.5}, "id_not_string"),
    ("identify", {"userId": "u", "messageId": "m" * 101}, "message_id_too_long"),
    ("identify", {"userId": "u", "traits": []}, "traits_not_object"),
    ("track", {"userId": "u", "event": "E", "properties": "p"}, "properties_not_object"),
    ("page", {"userId": "u", "context": 1}, "context_not_object"),
    ("page", {"userId": "u", "integrations": [1]}, "integrations_not_object"),
    ("track", [], "not_an_object"),
    ("track", "text", "not_an_object"),
    ("track", None, "not_an_object"),
]
BLOCKED = ["", " ", "null", "undefined", "none", "nan", "anonymous", "guest", "0", "000000", "---", "0-0", "-1"]
BLOCKED += ["[object Object]", "NULL", "Undefined", "[OBJECT OBJECT]", " guest "]


@pytest.mark.parametrize(("kind", "call", "code"), BAD_CALLS)
async def test_a_bad_single_call(door: Running, kind: str, call: Any, code: str) -> None:
    """It is told at once, and an engineer finds it among the discards."""
    source = door.add()
    answer = await door.post(f"/v1/{kind}", call, source)
    assert (answer.status, answer.code) == (400, code)
    assert door.discards(source) == [(code, json.dumps(call).encode())]
    assert (await door.post("/v1/track", track(), source)).code is None
    assert door.bodies(source) == [track()]


async def test_bad_items_do_not_harm_a_batch(door: Running) -> None:
    source = door.add()
    bad = [{"type": kind, **call} if isinstance(call, dict) else call for kind, call, _ in BAD_CALLS]
    bad += [{"type": "delete", "userId": "u"}, {"userId": "u"}, {"type": 5}]
    codes = [code for _, _, code in BAD_CALLS] + ["type_unknown"] * 3
    good = [track(messageId=f"m-{n}") for n in range(len(bad))]
    batch = [item for pair in zip(good, bad, strict=True) for item in pair]
    assert (await door.post("/v1/batch", {"batch": batch}, source)).code is None
    assert door.bodies(source) == good
    assert door.discards(source) == [(code, json.dumps(item).encode()) for code, item in zip(codes, bad, strict=True)]


async def test_a_batch_of_bad_items_only(door: Running) -> None:
    source = door.add()
    assert (await door.post("/v1/batch", {"batch": [{}, 1]}, source)).code is None
    assert (door.bodies(source), [code for code, _ in door.discards(source)]) == ([], ["type_unknown", "not_an_object"])


async def test_an_empty_batch(door: Running) -> None:
    source = door.add()
    assert (await door.post("/v1/batch", {"batch": []}, source)).code is None
    assert door.discards(source) == [("empty_batch", b'{"batch": []}')]


async def test_a_discard_can_be_looked_up_by_its_id(door: Running) -> None:
    source = door.add()
    batch = [
        {"type": "track", "messageId": "lost"},
        {"type": "track", "messageId": 77},
        {"type": "x", "messageId": "null"},
    ]
    await door.post(
        "/v1/batch", {"batch": [*batch, {**track(messageId="huge"), "properties": {"a": "b" * 33_000}}]}, source
    )
    kept = door.record(source)
    assert [discard.messageId for discard in kept.meta.discards] == ["lost", "77", None, "huge"]


@pytest.mark.parametrize("count", [1, 20])
async def test_an_oversize_item(door: Running, count: int) -> None:
    """32,768 bytes of its JSON are the most; of more, the beginning is kept as a discard."""
    source = door.add()

    def sized(size: int) -> dict[str, Any]:
        call = track(properties={"text": ""})
        call["properties"]["text"] = "x" * (size - len(json.dumps(call)))
        return call

    fits, over = sized(32_768), sized(32_769)
    small = [track(messageId=f"s-{n}") for n in range(count)]
    assert (await door.post("/v1/batch", {"batch": [*small, fits, over]}, source)).code is None
    kept = door.record(source)
    assert door.bodies(source) == [*small, fits]
    ((discard, item),) = kept.discarded
    assert (discard.code, discard.size) == (Code.MESSAGE_TOO_LARGE, 32_769)
    assert item.body == json.dumps(over).encode()[:MAX_DISCARD_BYTES]


async def test_an_oversize_single_call(door: Running) -> None:
    source = door.add()
    call = track(properties={"text": "x" * 32_768})
    answer = await door.post("/v1/track", call, source)
    assert (answer.status, answer.code) == (400, "message_too_large")
    assert door.discards(source) == [("message_too_large", json.dumps(call).encode()[:MAX_DISCARD_BYTES])]


async def test_the_number_of_items(door: Running) -> None:
    source = door.add()
    item = {"type": "page", "userId": "u"}
    assert (await door.post("/v1/batch", {"batch": [item] * 2_500}, source)).code is None
    answer = await door.post("/v1/batch", {"batch": [item] * 2_501}, source)
    assert (answer.status, answer.code) == (400, "too_many_items")
    assert len(door.bodies(source)) == 2_500
    assert [code for code, _ in door.discards(source)] == ["too_many_items"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"[", "invalid_batch"),
        (b'{"batch": [{]}', "invalid_json"),
        (b'{"batch": [] } more', "invalid_json"),
        (b"[]", "invalid_batch"),
        (b"{}", "invalid_batch"),
        (b'{"batch": {}}', "invalid_batch"),
        (b'{"batch": null}', "invalid_batch"),
        (b'{"batch": [], "writeKey": 5}', "invalid_batch"),
        (b'{"batch": [], "sentAt": 1e999}', "number_out_of_range"),
        (b'{"batch": [], "sentAt": "\xff"}', "invalid_utf8"),
        (b'{"batch": [], "context": 5}', "context_not_object"),
        (b'{"batch": [], "context": "{}"}', "context_not_object"),
        (b'{"batch": [], "integrations": []}', "integrations_not_object"),
        (b'{"batch": [], "context": {"a": 1e999}}', "number_out_of_range"),
        (b'{"batch": [], "context": {"a": "\xff"}}', "invalid_utf8"),
        (b'{"batch": [], "context": {"a": "' + b"x" * 32_768 + b'"}}', "message_too_large"),
        (b'{"batch": [], "context": {"a": ' + b"[" * 600 + b"]" * 600 + b"}}", "too_deep"),
        (b'{"batch": [], "context": {"a": ' + b"[" * 2000 + b"]" * 2000 + b"}}", "too_deep"),
        (b'{"batch":' + b"[" * 100_000, "too_deep"),
        (b'{"batch":[' + b"[" * 100_000 + b"]" * 100_001, "invalid_json"),
    ],
)
async def test_a_batch_that_nobody_can_read(door: Running, body: bytes, code: str) -> None:
    source = door.add()
    answer = await door.post("/v1/batch", body, source)
    assert (answer.status, answer.code) == (400, code)
    assert door.discards(source) == [(code, body[:MAX_DISCARD_BYTES])]


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch", "/v1/import"])
async def test_an_unknown_key(door: Running, path: str) -> None:
    """Nothing is stored."""
    before = len(door.records())
    content = {**track(), "batch": [track()]}
    for headers, key in [({}, None), ({}, "unknown"), (basic("unknown"), None), (basic("no"), "no"), ({}, 5)]:
        answer = await door.post(path, {**content, "writeKey": key}, headers=headers)
        assert (answer.status, answer.code) == (401, "invalid_write_key")
    assert len(door.records()) == before


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, b"{", 400, "invalid_json"),
        ({}, b'{"writeKey": "x", ', 400, "invalid_json"),
        (basic("unknown"), b"{", 401, "invalid_write_key"),
        ({}, b"[]", 401, "invalid_write_key"),
        ({}, b'{"userId": 1.5, "writeKey": "x"}', 401, "invalid_write_key"),
    ],
)
async def test_a_bad_body_of_nobody_known(
    door: Running, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    before = len(door.records())
    answer = await door.post("/v1/track", body, headers=headers)
    assert (answer.status, answer.code) == (status, code)
    assert len(door.records()) == before


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize("content", [{**track(), "batch": [track()]}, {}])
async def test_a_disabled_source(door: Running, path: str, content: dict[str, Any]) -> None:
    source = door.add(enabled=False)
    for answer in (
        await door.post(path, content, source),
        await door.post(path, {**content, "writeKey": source.write_keys[0]}),
    ):
        assert (answer.status, answer.code) == (403, "source_disabled")
    assert door.records(source) == []


# ----------------------------------------------------------------------------------------------------------- ids


@pytest.mark.parametrize("blocked", [*BLOCKED, None, 0, -1])
async def test_blocked_ids_count_as_absent(door: Running, blocked: object) -> None:
    source = door.add()
    answer = await door.post("/v1/track", {"event": "E", "userId": blocked, "anonymousId": blocked}, source)
    assert (answer.status, answer.code) == (400, "no_user_anon_id")
    assert (await door.post("/v1/track", {"event": "E", "userId": blocked, "anonymousId": "a"}, source)).code is None
    assert (await door.post("/v1/group", {"userId": "u", "groupId": blocked}, source)).code == "id_required"
    assert (await door.post("/v1/alias", {"userId": "u", "previousId": blocked}, source)).code == "id_required"


@pytest.mark.parametrize("size", [1, 40])
async def test_messages_without_an_id_get_one(door: Running, size: int) -> None:
    source = door.add()
    given: list[Any] = [{}, {"messageId": None}, {"messageId": ""}, {"messageId": "  "}, {"messageId": "undefined"}]
    given += [{"messageId": "m-1"}, {"messageId": 42}]
    batch = [{"type": "page", "userId": "u", **item} for item in given] * size
    await door.post("/v1/batch", {"batch": batch}, source)
    kept = door.record(source)
    assert set(kept.meta.ids) == {index for index in range(len(batch)) if index % len(given) < 5}
    assert len(set(kept.meta.ids.values())) == 5 * size


async def test_a_good_item_behind_bad_ones_gets_its_own_id(door: Running) -> None:
    source = door.add()
    page = {"type": "page", "userId": "u"}
    await door.post("/v1/batch", {"batch": [{}, {**page, "messageId": "m-1"}, 1, page]}, source)
    assert list(door.record(source).meta.ids) == [1]


async def test_a_single_call_without_an_id_gets_one(door: Running) -> None:
    source = door.add()
    await door.post("/v1/page", {"userId": "u"}, source)
    await door.post("/v1/page", {"userId": "u", "messageId": "m-1"}, source)
    one, other = door.records(source)
    assert list(one.meta.ids) == [0]
    assert other.meta.ids == {}


async def test_integers_are_ids(door: Running) -> None:
    source = door.add()
    call = {"event": "E", "userId": 12345678901234567890, "anonymousId": -7, "messageId": 9}
    assert (await door.post("/v1/track", call, source)).code is None
    assert door.bodies(source) == [call]


# ---------------------------------------------------------------------------------------------------- the record


async def test_what_a_batch_says_once(door: Running) -> None:
    """Its `context`, `integrations` and `sentAt` are kept beside the items (go, java)."""
    source = door.add()
    shared = {"context": {"library": {"name": "go"}}, "integrations": {"All": False}, "sentAt": "2026-11-22T00:00:00Z"}
    await door.post("/v1/batch", {"batch": [track()], **shared}, source)
    meta = door.record(source).meta
    assert json.loads(bytes(meta.context)) == shared["context"]
    assert json.loads(bytes(meta.integrations)) == shared["integrations"]
    assert meta.sentAt == shared["sentAt"]


@pytest.mark.parametrize("sent_at", [None, {"a": 1}, [1], True])
async def test_what_a_batch_need_not_say(door: Running, sent_at: object) -> None:
    source = door.add()
    nothing = {"context": None, "integrations": {}, "sentAt": sent_at, "timestamp": 5, "sequence": 1}
    assert (await door.post("/v1/batch", {"batch": [track()], **nothing}, source)).code is None
    meta = door.record(source).meta
    assert (bytes(meta.context), bytes(meta.integrations)) == (b"", b"")
    assert meta.sentAt == (sent_at if sent_at is True else None)


async def test_the_exact_bytes_are_kept(door: Running) -> None:
    source = door.add()
    item = (
        b'{ "type":"track", "userId" : "u\\u00e9",\n "event":"\xc3\xa9", "properties":{"n":1.50e+1,"m":123456789.10}}'
    )
    assert (await door.post("/v1/batch", b'{"batch":[ ' + item + b" ]}", source)).code is None
    assert (await door.post("/v1/track", item, source)).code is None
    assert [kept.body for record in door.records(source) for kept in record.items] == [item, item]


@pytest.mark.parametrize(("kind", "kept"), [("web", True), ("mobile", True), ("server", False)])
async def test_the_clients_address(door: Running, kind: Any, kept: bool) -> None:
    """For web and mobile sources only: a server's own address says nothing about a person."""
    source = door.add(kind)
    await door.post("/v1/track", track(), source, headers={"X-Forwarded-For": "203.0.113.9"})
    await door.post("/v1/batch", {"batch": [track(), {}]}, source)
    assert [record.meta.ip for record in door.records(source)] == ["127.0.0.1" if kept else None] * 2


# ------------------------------------------------------------------------------------------ identity verification


def proof(secret: str, user: str) -> str:
    return hmac.new(secret.encode(), user.encode(), hashlib.sha256).hexdigest()


async def test_identity_verification(door: Running) -> None:
    source = door.add(identity_secret="s3cret")
    good: list[dict[str, Any]] = [
        {"userId": "u-é", "context": {"userHash": proof("s3cret", "u-é")}},
        {"userId": "u-1", "context": {"userHash": proof("s3cret", "u-1").upper()}},
        {"userId": 42, "context": {"userHash": proof("s3cret", "42")}},
        {"anonymousId": "a-1"},
        {"userId": "guest", "anonymousId": "a-1"},
    ]
    bad: list[dict[str, Any]] = [
        {"userId": "u-1"},
        {"userId": "u-1", "anonymousId": "a-1", "context": None},
        {"userId": "u-1", "context": {}},
        {"userId": "u-1", "context": {"userHash": proof("s3cret", "u-2")}},
        {"userId": "u-1", "context": {"userHash": proof("other", "u-1")}},
        {"userId": "u-1", "context": {"userHash": "é"}},
        {"userId": "u-1", "context": {"userHash": 5}},
    ]
    for call in good:
        assert (await door.post("/v1/identify", call, source)).code is None
    for call in bad:
        answer = await door.post("/v1/identify", call, source)
        assert (answer.status, answer.code) == (400, "identity_unverified")
    assert len(door.discards(source)) == len(bad)

    source = door.add(identity_secret="s3cret")
    both = [{"type": "identify", **call} for call in (*good, *bad)]
    assert (await door.post("/v1/batch", {"batch": both}, source)).code is None
    assert door.bodies(source) == both[: len(good)]
    assert {code for code, _ in door.discards(source)} == {"identity_unverified"}


async def test_a_batch_may_prove_its_user_once(door: Running) -> None:
    source = door.add(identity_secret="s3cret")
    batch = [{"type": "page", "userId": "u-1"}, {"type": "page", "userId": "u-2"}]
    await door.post("/v1/batch", {"batch": batch, "context": {"userHash": proof("s3cret", "u-1")}}, source)
    assert door.bodies(source) == batch[:1]


# --------------------------------------------------------------------------------------------------------- rates


async def test_a_source_over_its_rate(door: Running) -> None:
    """The clock stands still here: two calls a second are two calls."""
    source = door.add(rate_limit=2)
    other = door.add()
    assert [(await door.post("/v1/page", {"userId": "u"}, source)).status for _ in range(3)] == [200, 200, 429]
    for path, content in [
        ("/v1/page", {"userId": "u"}),
        ("/v1/batch", {"batch": [track()]}),
        ("/v1/batch", {}),
        ("/v1/page", {}),
    ]:
        answer = await door.post(path, content, source)
        assert (answer.status, answer.code) == (429, "rate_limited")
        assert int(answer.headers["retry-after"]) == int(answer.headers["x-ratelimit-reset"]) >= 1
    assert len(door.records(source)) == 2
    assert (await door.post("/v1/page", {"userId": "u"}, other)).code is None


async def test_a_batch_counts_its_items(door: Running) -> None:
    source = door.add(rate_limit=10)
    assert (await door.post("/v1/batch", {"batch": [track()] * 30}, source)).code is None
    answer = await door.post("/v1/batch", {"batch": [track()]}, source)
    assert (answer.status, int(answer.headers["retry-after"])) == (429, 3)
