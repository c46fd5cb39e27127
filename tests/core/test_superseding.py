"""Superseding: what an identify says when it is sent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.money import encode_exact
from richpanel.core.stamps import Stamp
from richpanel.core.superseding import current
from richpanel.core.traits import Trait, apply, read

EARLY: Stamp = (1, "a", "s")
LATE: Stamp = (2, "b", "s")


def trait(value: object, stamp: Stamp = LATE) -> Trait:
    return (None if value is None else msgspec.json.encode(value).decode(), stamp)


@pytest.mark.parametrize(
    ("said", "holds", "sent", "is_empty"),
    [
        ({"plan": "basic"}, {"plan": trait("gold")}, {"plan": "gold"}, False),
        ({"plan": "basic"}, {"plan": trait("basic")}, {"plan": "basic"}, False),
        ({"plan": "basic", "city": "Bern"}, {"plan": trait(None), "city": trait("Bern")}, {"city": "Bern"}, False),
        ({"plan": "basic"}, {"plan": trait(None)}, {}, True),
        ({"plan": None}, {"plan": trait(None)}, {}, True),
        ({"plan": None}, {"plan": trait("gold")}, {"plan": "gold"}, False),
        ({"plan": "basic"}, {}, {"plan": "basic"}, False),
        ({"first_name": "Ann"}, {"firstName": trait("Anna")}, {"firstName": "Anna"}, False),
        ({"plan": "basic"}, {"other": trait("x")}, {"plan": "basic"}, False),
        ({}, {"plan": trait("gold")}, {}, False),
        (
            {"plan": "basic", "richpanel_session_id": "s1"},
            {"plan": trait("gold")},
            {"plan": "gold", "richpanel_session_id": "s1"},
            False,
        ),
    ],
)
def test_each_key_carries_what_holds_now(
    said: dict[str, object], holds: dict[str, Trait], sent: dict[str, object], is_empty: bool
) -> None:
    assert current(said, holds, None) == (sent, is_empty)


def test_the_email_is_the_customers_also_where_a_page_has_changed_it() -> None:
    holds = {"email": trait("old@example.com", EARLY)}
    sent, _ = current({"email": "old@example.com"}, holds, trait("new@example.com", LATE))
    assert sent == {"email": "new@example.com"}


def test_digits_stay_as_they_are() -> None:
    sent, _ = current({"score": 1}, {"score": ("12.10", LATE)}, None)
    assert encode_exact(sent) == b'{"score":12.10}'


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["plan", "city", "score"]), st.one_of(st.none(), st.integers(0, 5))), min_size=1
    ),
    st.data(),
)
def test_whatever_is_sent_last_leaves_what_holds(calls: list[dict[str, int | None]], data: st.DataObject) -> None:
    """Sent in any order and any number of times, nothing that was superseded gets through."""
    traits: dict[str, Trait] = {}
    for number, call in enumerate(calls):
        apply(traits, read(msgspec.json.encode(call)), (number, "m", "s"))
    holds = {key: msgspec.json.decode(value) for key, (value, _) in traits.items() if value is not None}
    for call in data.draw(st.lists(st.sampled_from(calls))):
        sent, is_empty = current(call, traits, None)
        assert sent.items() <= holds.items()
        assert is_empty == (bool(call) and not sent)
