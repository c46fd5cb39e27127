"""Messages: what the door lets in, and the code of the first thing wrong with what it does not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.message import (
    MAX_MESSAGE_BYTES,
    MAX_MESSAGE_ID,
    TYPES,
    Batch,
    Call,
    Head,
    decode_batch,
    decode_message,
    reason_of_decode_error,
    validate,
    validate_readable,
)

TRACK = {"type": "track", "userId": "u-1", "event": "Cart Viewed"}


def refusal(item: dict[str, Any] | bytes, path_type: str | None = None) -> Code | None:
    """The code an item gets at the door; both ways in agree."""
    body = item if isinstance(item, bytes) else json.dumps(item).encode()
    single = validate(body, path_type)
    if path_type is None:
        outline = validate_readable(memoryview(body))
        assert (outline if isinstance(outline, Code) else None) == (single if isinstance(single, Code) else None)
    return single if isinstance(single, Code) else None


@pytest.mark.parametrize(
    "item",
    [
        TRACK,
        {"type": "identify", "userId": "u-1"},
        {"type": "identify", "anonymousId": "a-1", "traits": {"email": "a@b.example"}},
        {"type": "page", "anonymousId": "a-1"},
        {"type": "page", "anonymousId": "a-1", "name": "Home", "category": "Docs"},
        {"type": "page", "anonymousId": "a-1", "name": None, "category": None},
        {"type": "screen", "userId": "u-1", "name": "Home"},
        {"type": "group", "userId": "u-1", "groupId": "g-1", "traits": {}},
        {"type": "alias", "previousId": "a-1", "userId": "u-1"},
        {**TRACK, "userId": 42},
        {**TRACK, "userId": None, "anonymousId": "a-1"},
        {**TRACK, "userId": "undefined", "anonymousId": "a-1"},
        {**TRACK, "messageId": "m" * MAX_MESSAGE_ID},
        {**TRACK, "messageId": ""},
        {**TRACK, "properties": None, "context": None, "integrations": None, "traits": None},
        {**TRACK, "timestamp": "yesterday", "sentAt": [1]},
        {**TRACK, "someday": {"a": [1, {"b": None}]}, "_metadata": {"bundled": ["Segment.io"]}},
        {**TRACK, "event": "x" * 30_000},
        {**TRACK, "event": "Ünï \U0001f6d2"},
    ],
    ids=lambda item: json.dumps(item)[:60],
)
def test_good_items(item: dict[str, Any]) -> None:
    assert refusal(item) is None


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({}, Code.TYPE_UNKNOWN),
        ({**TRACK, "type": None}, Code.TYPE_UNKNOWN),
        ({**TRACK, "type": "Track"}, Code.TYPE_UNKNOWN),
        ({**TRACK, "type": "delete"}, Code.TYPE_UNKNOWN),
        ({**TRACK, "type": 7}, Code.TYPE_UNKNOWN),
        ({"type": "track", "event": "E"}, Code.NO_USER_ANON_ID),
        ({"type": "track", "event": "E", "userId": "", "anonymousId": None}, Code.NO_USER_ANON_ID),
        ({"type": "track", "event": "E", "userId": "null", "anonymousId": "guest"}, Code.NO_USER_ANON_ID),
        ({"type": "identify"}, Code.NO_USER_ANON_ID),
        ({"type": "group", "groupId": "g-1"}, Code.NO_USER_ANON_ID),
        ({"type": "track", "userId": "u-1"}, Code.EVENT_NOT_DEFINED),
        ({**TRACK, "event": ""}, Code.EVENT_NOT_DEFINED),
        ({**TRACK, "event": None}, Code.EVENT_NOT_DEFINED),
        ({**TRACK, "event": 7}, Code.EVENT_NOT_STRING),
        ({**TRACK, "event": {"name": "E"}}, Code.EVENT_NOT_STRING),
        ({"type": "page", "userId": "u-1", "name": ""}, Code.NAME_NOT_STRING),
        ({"type": "page", "userId": "u-1", "name": 1}, Code.NAME_NOT_STRING),
        ({"type": "screen", "userId": "u-1", "category": ""}, Code.CATEGORY_NOT_STRING),
        ({"type": "page", "userId": "u-1", "category": []}, Code.CATEGORY_NOT_STRING),
        ({"type": "alias", "userId": "u-1"}, Code.ID_REQUIRED),
        ({"type": "alias", "previousId": "a-1"}, Code.ID_REQUIRED),
        ({"type": "alias", "previousId": "0000", "userId": "u-1"}, Code.ID_REQUIRED),
        ({"type": "group", "userId": "u-1"}, Code.ID_REQUIRED),
        ({"type": "group", "userId": "u-1", "groupId": "null"}, Code.ID_REQUIRED),
        ({**TRACK, "userId": 1.5}, Code.ID_NOT_STRING),
        ({**TRACK, "userId": True}, Code.ID_NOT_STRING),
        ({**TRACK, "anonymousId": {"id": 1}}, Code.ID_NOT_STRING),
        ({**TRACK, "messageId": []}, Code.ID_NOT_STRING),
        ({**TRACK, "messageId": "m" * (MAX_MESSAGE_ID + 1)}, Code.MESSAGE_ID_TOO_LONG),
        ({**TRACK, "properties": []}, Code.PROPERTIES_NOT_OBJECT),
        ({**TRACK, "properties": "{}"}, Code.PROPERTIES_NOT_OBJECT),
        ({**TRACK, "traits": 1}, Code.TRAITS_NOT_OBJECT),
        ({**TRACK, "context": True}, Code.CONTEXT_NOT_OBJECT),
        ({**TRACK, "integrations": ["All"]}, Code.INTEGRATIONS_NOT_OBJECT),
        (b"[]", Code.NOT_AN_OBJECT),
        (b'"track"', Code.NOT_AN_OBJECT),
        (b"null", Code.NOT_AN_OBJECT),
        (b"", Code.INVALID_JSON),
        (b"{", Code.INVALID_JSON),
        (b"{}}", Code.INVALID_JSON),
        (b'{"type":"track",}', Code.INVALID_JSON),
        (b"{'type':'track'}", Code.INVALID_JSON),
        (b'{"type":"track","userId":NaN}', Code.INVALID_JSON),
        (b"{" + b" " * MAX_MESSAGE_BYTES, Code.MESSAGE_TOO_LARGE),
    ],
    ids=lambda item: str(item)[:60],
)
def test_bad_items(item: dict[str, Any] | bytes, code: Code) -> None:
    assert refusal(item) == code


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"type":"track","userId":"u","event":"E","properties":{"n":1e999}}', Code.NUMBER_OUT_OF_RANGE),
        (
            b'{"type":"track","userId":"u","event":"E","properties":{"n":' + b"9" * 5000 + b"}}",
            Code.NUMBER_OUT_OF_RANGE,
        ),
        (b'{"type":"track","userId":' + b"9" * 5000 + b',"event":"E"}', Code.NUMBER_OUT_OF_RANGE),
        (b'{"type":"track","userId":"u","event":"\xff"}', Code.INVALID_UTF8),
        (b'{"type":"track","userId":"u","event":"E","properties":{"a":"\xc3\x28"}}', Code.INVALID_UTF8),
        (b'{"properties":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, Code.TOO_DEEP),
        (b'{"context":{"a":' + b"[" * 15_000 + b"]" * 15_000 + b"}}", Code.TOO_DEEP),
    ],
    ids=["exponent", "digits", "digits of an id", "utf-8", "utf-8 inside", "deep objects", "deep arrays"],
)
def test_what_is_unreadable_is_refused_when_decoded_whole(body: bytes, code: Code) -> None:
    assert validate(body) == code


def test_the_size_limit_is_exact() -> None:
    frame = len(json.dumps({**TRACK, "event": ""}))
    fits = json.dumps({**TRACK, "event": "x" * (MAX_MESSAGE_BYTES - frame)}).encode()
    assert len(fits) == MAX_MESSAGE_BYTES
    assert refusal(fits) is None
    assert refusal(fits + b" ") == Code.MESSAGE_TOO_LARGE


def test_the_path_names_the_type() -> None:
    assert refusal({"userId": "u-1", "event": "E"}, "track") is None
    assert refusal({**TRACK, "type": "identify"}, "track") is None
    assert refusal({**TRACK, "type": "identify", "event": None}, "track") == Code.EVENT_NOT_DEFINED


def test_a_good_item_comes_back_decoded() -> None:
    call = validate(json.dumps({**TRACK, "userId": 42, "properties": {"a": {"b": [1.5]}}}).encode())
    assert isinstance(call, Call)
    assert (call.type, call.userId, call.event, call.properties) == ("track", 42, "Cart Viewed", {"a": {"b": [1.5]}})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = st.sampled_from([field.name for field in msgspec.structs.fields(Call)] + ["other"])
objects = st.dictionaries(fields, json_values | st.sampled_from([*TYPES, "a", "b"]) | st.just({}), max_size=8)


@given(objects, st.sampled_from(TYPES))
def test_both_ways_in_agree_on_anything_readable(item: dict[str, Any], kind: str) -> None:
    refusal(msgspec.json.encode(item | {"type": kind}))
    refusal(msgspec.json.encode(item))


@given(st.binary(max_size=60) | objects.map(lambda item: msgspec.json.encode(item)[:-1]))
def test_nothing_makes_the_door_fall(body: bytes) -> None:
    assert isinstance(validate(body), Code | Call)
    assert isinstance(validate_readable(memoryview(body)), Code | Head)


@given(objects, st.sampled_from(TYPES))
def test_what_the_door_lets_in_can_be_read_from_the_log(item: dict[str, Any], kind: str) -> None:
    body = msgspec.json.encode(item | {"type": kind})
    call = validate(body)
    if isinstance(call, Code):
        return
    message = decode_message(body)
    for name in ("type", "messageId", "userId", "anonymousId", "previousId", "groupId", "event", "name", "category"):
        assert getattr(message, name) == getattr(call, name)
    for name in ("properties", "traits", "context", "integrations"):
        raw = getattr(message, name)
        assert (msgspec.json.decode(raw) if raw else None) == getattr(call, name)


def test_nested_objects_stay_as_they_came() -> None:
    message = decode_message(b'{"type":"track","properties":{ "total" : 27.50, "total": 1e2 }}')
    assert bytes(message.properties) == b'{ "total" : 27.50, "total": 1e2 }'
    assert not message.context


def test_a_batch_is_split_without_looking_inside() -> None:
    batch = decode_batch(
        b'{"batch":[ {"type":"track"} , 7, null],"sentAt":"x","writeKey":"k","context":{"a":1},"y":[]}'
    )
    assert isinstance(batch, Batch)
    assert [bytes(item) for item in batch.batch] == [b'{"type":"track"}', b"7", b"null"]
    assert (batch.sentAt, batch.writeKey, bytes(batch.context), bool(batch.integrations)) == (
        "x",
        "k",
        b'{"a":1}',
        False,
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", Code.INVALID_JSON),
        (b"[]", Code.NOT_AN_OBJECT),
        (b"{}", Code.NOT_AN_OBJECT),
        (b'{"batch":{}}', Code.INVALID_VALUE),
        (b'{"batch":[],"writeKey":5}', Code.INVALID_VALUE),
        (b'{"batch":' + b"[" * 20_000 + b"]" * 20_000 + b"}", Code.TOO_DEEP),
    ],
)
def test_reasons_of_a_batch_that_cannot_be_split(body: bytes, code: Code) -> None:
    with pytest.raises((msgspec.DecodeError, RecursionError)) as failure:
        decode_batch(body)
    assert reason_of_decode_error(failure.value) == code
