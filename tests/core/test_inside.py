"""What stands inside a call: picked out where it is as the spec says, and where it is not."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.inside import MAX_TEXT, Inside, is_absent, look, merged
from richpanel.core.message import Message, decode_message

NOTHING = msgspec.Raw()
KEYS = st.sampled_from(
    ["email", "url", "referrer", "page", "campaign", "name", "traits", "device", "type", "userAgent"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=6,
)


def looked(kind: str = "page", context: object = None, **properties: Any) -> Inside:
    message = Message(type=kind, properties=raw(properties))
    return look(message, NOTHING if context is None else raw(context))


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def test_nothing_inside() -> None:
    assert look(Message(type="page"), NOTHING) == Inside()
    assert look(Message(type="page", properties=msgspec.Raw(b"null")), msgspec.Raw(b"null")) == Inside()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s1", "s1"),
        (7, "7"),
        (" s1", " s1"),
        ("", ""),
        (None, ""),
        ("null", ""),
        ("Undefined", ""),
        ("000-0", ""),
        (0, ""),
        (1.5, ""),
        (True, ""),
        ({"id": 1}, ""),
    ],
)
def test_the_session_id(given: object, expected: str) -> None:
    assert looked(richpanel_session_id=given).session_key == expected


def test_blocked_ids_are_a_setting() -> None:
    message = Message(type="page", properties=raw({"richpanel_session_id": "house"}))
    assert look(message, NOTHING, frozenset({"house"})).session_key == ""


@pytest.mark.parametrize(
    ("properties", "context", "email", "ignored"),
    [
        ({"email": "a@x"}, {}, "a@x", False),
        ({"email": " A@X "}, {}, " A@X ", False),
        ({}, {"traits": {"email": "b@x"}}, "b@x", False),
        ({"email": "a@x"}, {"traits": {"email": "b@x"}}, "a@x", False),
        ({"email": None}, {"traits": {"email": "b@x"}}, "b@x", False),
        ({"email": "none"}, {}, None, True),
        ({}, {"traits": {"email": "none"}}, None, True),
        ({"email": 7}, {}, None, False),
        ({}, {"traits": "x"}, None, False),
        ({}, {}, None, False),
    ],
)
def test_the_email(properties: dict[str, Any], context: object, email: str | None, ignored: bool) -> None:
    found = looked(context=context, **properties)
    assert (found.email, found.email_ignored) == (email, ignored)


@pytest.mark.parametrize(
    ("kind", "properties", "context", "page"),
    [
        ("page", {"url": "/p"}, {}, "/p"),
        ("page", {"url": "/p"}, {"page": {"url": "/c"}}, "/c"),
        ("page", {"url": "/p"}, {"page": {"url": ""}}, "/p"),
        ("page", {"url": "/p"}, {"page": {"url": 7}}, "/p"),
        ("page", {"url": "/p"}, {"page": []}, "/p"),
        ("track", {"url": "/product"}, {}, None),  # There, a product's or a video's.
        ("track", {"url": "/product"}, {"page": {"url": "/c"}}, "/c"),
        ("page", {"url": ""}, {}, None),
        ("page", {"url": {"href": "/p"}}, {}, None),
    ],
)
def test_the_page(kind: str, properties: dict[str, Any], context: object, page: str | None) -> None:
    assert looked(kind, context, **properties).page == page


@pytest.mark.parametrize(
    ("properties", "context", "referrer"),
    [
        ({"referrer": "/r"}, {}, "/r"),
        ({"referrer": "/r"}, {"page": {"referrer": "/c"}}, "/c"),
        ({}, {"page": {"referrer": ""}}, None),
    ],
)
def test_the_referrer(properties: dict[str, Any], context: object, referrer: str | None) -> None:
    assert looked(context=context, **properties).referrer == referrer


@pytest.mark.parametrize(
    ("context", "campaign"),
    [
        ({"campaign": {"name": "autumn", "source": "news", "medium": "email"}}, ["autumn", "news", "email"]),
        ({"campaign": {"source": "news"}}, [None, "news", None]),
        ({"campaign": {"name": 7, "medium": "cpc"}}, [None, None, "cpc"]),
        ({"campaign": {}}, None),
        ({"campaign": {"content": "x"}}, None),
        ({"campaign": "autumn"}, None),
    ],
)
def test_the_campaign(context: object, campaign: list[str | None] | None) -> None:
    found = looked(context=context).campaign
    assert (None if found is None else json.loads(found)) == campaign


def test_the_device() -> None:
    found = looked(context={"userAgent": "Mozilla/5.0", "device": {"type": "ios"}, "page": {"url": 1}})
    assert (found.agent, found.device_type) == ("Mozilla/5.0", "ios")
    assert looked(context={"userAgent": 7, "device": {"type": 7}}).agent is None


def test_long_texts_are_cut() -> None:
    long = "x" * (MAX_TEXT + 1)
    found = looked(url=long, context={"userAgent": long})
    assert found.page == found.agent == "x" * MAX_TEXT


@given(st.dictionaries(KEYS, JSON, max_size=4), st.dictionaries(KEYS, JSON, max_size=4))
def test_nothing_that_the_door_lets_in_stops_it(properties: dict[str, Any], context: dict[str, Any]) -> None:
    found = looked(context=context, **properties)
    for field in ("page", "referrer", "agent", "device_type", "email"):
        assert isinstance(getattr(found, field), str | None)
    plain = properties.get("email")
    if isinstance(plain, str) and "@" in plain and plain.strip():
        assert found.email == plain


# ---------------------------------------------------------------------------------- what a batch says for all its items


@pytest.mark.parametrize(
    ("shared", "own", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"y": 2}}),  # Key by key, no deeper.
        ({"a": 1}, None, {"a": 1}),
        (None, {"b": 2}, {"b": 2}),
        ({}, {}, {}),
    ],
)
def test_an_items_own_keys_win(shared: object, own: object, expected: object) -> None:
    assert json.loads(bytes(merged(raw(shared), raw(own)))) == expected


def test_what_is_not_given_costs_nothing() -> None:
    own = decode_message(b'{"context": {"b" :2}}').context
    assert merged(NOTHING, own) is own
    assert merged(own, NOTHING) is own
    assert bytes(merged(NOTHING, NOTHING)) == b""


@pytest.mark.parametrize(("text", "absent"), [(b"", True), (b"null", True), (b"{}", False), (b"[]", False)])
def test_absent(text: bytes, absent: bool) -> None:
    assert is_absent(msgspec.Raw(text)) is absent


def test_null_as_a_decoder_leaves_it_is_absent() -> None:
    assert is_absent(decode_message(b'{"context": null , "type": "page"}').context)
