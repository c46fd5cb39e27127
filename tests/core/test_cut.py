"""Cuts: what destination filters take from a message."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.cut import Cut, Step
from richpanel.core.message import Message, decode_message

ORDER: dict[str, Any] = {
    "type": "track",
    "properties": {
        "email": "a@x",
        "total": 1,
        "products": [{"sku": "1", "price": 1, "tags": [{"a": 1, "b": 2}]}, {"sku": "2"}, 3, None],
        "shipping": {"street": "s", "city": "c"},
    },
    "context": {"ip": "1.2.3.4", "traits": {"email": "a@x", "plan": "p"}},
}


def drop(path: str, *keys: str) -> Step:
    return Step(tuple(path.split(".")) if path else (), keys)


def allow(path: str, *keys: str) -> Step:
    return Step(tuple(path.split(".")) if path else (), keys, allow=True)


def without(*steps: Step) -> dict[str, Any]:
    return Cut(steps).apply(ORDER)


def test_dropped_fields_are_gone() -> None:
    left = without(drop("properties", "email", "absent"), drop("context.traits", "email"))
    assert left["properties"] == {key: value for key, value in ORDER["properties"].items() if key != "email"}
    assert left["context"] == {"ip": "1.2.3.4", "traits": {"plan": "p"}}
    assert left["type"] == "track"


def test_allowed_fields_are_what_is_left_at_their_path_alone() -> None:
    left = without(allow("properties", "total"))
    assert left == {**ORDER, "properties": {"total": 1}}
    assert without(allow("properties", "total"), allow("properties", "email"))["properties"] == {}


def test_the_top_level_has_the_empty_path() -> None:
    assert without(drop("", "context")) == {key: value for key, value in ORDER.items() if key != "context"}
    assert without(allow("", "type")) == {"type": "track"}


def test_every_object_in_an_array_loses_the_field() -> None:
    """Segment's documentation: `properties.products.price` is the price of each."""
    left = without(drop("properties.products", "price"), drop("properties.products.tags", "a"))
    assert left["properties"]["products"] == [{"sku": "1", "tags": [{"b": 2}]}, {"sku": "2"}, 3, None]


@pytest.mark.parametrize("path", ["absent", "properties.absent.deeper", "properties.total", "type", "context.ip.a"])
def test_a_path_that_leads_nowhere_takes_nothing(path: str) -> None:
    assert without(drop(path, "email"), allow(path, "email")) == ORDER


JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
BODIES = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)
KEYS = st.lists(st.sampled_from("abc"), max_size=2).map(tuple)
STEPS = st.lists(st.builds(Step, KEYS, KEYS, st.booleans()), min_size=1, max_size=3).map(tuple)


@given(BODIES, STEPS)
def test_it_is_the_same_whether_values_are_decoded_or_raw(body: dict[str, Any], steps: tuple[Step, ...]) -> None:
    cut = Cut(steps)
    raw = {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in body.items()}
    assert msgspec.json.decode(msgspec.json.encode(cut.apply(raw))) == cut.apply(body)


@given(BODIES, STEPS)
def test_neither_the_order_of_steps_nor_a_second_time_changes_anything(
    body: dict[str, Any], steps: tuple[Step, ...]
) -> None:
    before = msgspec.json.encode(body)
    once = Cut(steps).apply(body)
    assert Cut(steps).apply(once) == once == Cut(steps[::-1]).apply(body)
    assert msgspec.json.encode(body) == before


def test_a_message_of_the_log_keeps_every_digit_of_what_is_left() -> None:
    message = decode_message(b'{"properties": {"total": 10.10, "big": 1e2, "email": "a@x"}, "traits": {"email": 1}}')
    Cut((drop("properties", "email"), drop("", "traits"), drop("context", "ip"))).apply_to(
        message, msgspec.Raw(b'{"ip": "1.2.3.4", "locale": "de"}')
    )
    assert bytes(message.properties) == b'{"total":10.10,"big":1e2}'
    assert bytes(message.context) == b'{"locale":"de"}'
    assert not message.traits


def test_what_loses_nothing_stays_the_bytes_that_it_was() -> None:
    given_bytes = b'{ "total" : 1, "total": 2 }'
    message = Message(properties=msgspec.Raw(given_bytes))
    Cut((drop("properties", "email"),)).apply_to(message, msgspec.Raw())
    assert bytes(message.properties) == given_bytes


def test_it_is_stored_and_read_again() -> None:
    cut = Cut((drop("properties", "email"), allow("", "type")))
    assert msgspec.json.decode(msgspec.json.encode(cut), type=Cut) == cut
    assert hash(msgspec.json.decode(msgspec.json.encode(cut), type=Cut)) == hash(cut)
