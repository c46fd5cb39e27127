"""Traits (semantics.md 4): the newest identify per key, first-class fields, and the email rule."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.stamps import Stamp
from richpanel.core.traits import Contact, Trait, apply, canonical_key, contact, email, known, merge, read

KEYS = st.sampled_from(["email", "plan", "name"])
STAMPS = st.builds(lambda t, message: (t, f"m{message}", "src"), st.integers(0, 5), st.integers(0, 30))
IDENTIFIES = st.dictionaries(STAMPS, st.dictionaries(KEYS, st.none() | st.sampled_from(['"a@x"', '"b@x"', "1"])))


def at(t: int) -> Stamp:
    return (t, f"m{t}", "src")


def given_as(text: str) -> dict[str, str | None]:
    return read(text.encode())


# -------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("email", "email"),
        ("Email", "email"),
        ("e-mail", "email"),
        ("first_name", "firstName"),
        ("FirstName", "firstName"),
        ("firstname", "firstName"),
        ("First Name", "firstName"),
        ("last-name", "lastName"),
        ("PHONE", "phone"),
        ("Name", "name"),
        ("phone_number", "phone_number"),
        ("plan", "plan"),
        ("firstname_of_the_dog", "firstname_of_the_dog"),
        ("", ""),
    ],
)
def test_spellings_of_first_class_keys_are_one_key(key: str, expected: str) -> None:
    assert canonical_key(key) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("{}", {}),
        ('{"plan":"gold"}', {"plan": '"gold"'}),
        ('{"n":1.50,"e":1e2}', {"n": "1.50", "e": "1e2"}),
        (f'{{"big":{"9" * 40}}}', {"big": "9" * 40}),
        ('{"a":{"b": [1, 2]},"t":true}', {"a": '{"b": [1, 2]}', "t": "true"}),
        ('{"plan":null}', {"plan": None}),
        ('{"email":null}', {"email": None}),
        ('{"email":"Ada@X.example"}', {"email": '"Ada@X.example"'}),
        ('{"email":"none"}', {}),
        ('{"email":"  "}', {}),
        ('{"email":7}', {}),
        ('{"first_name":"Ada"}', {"firstName": '"Ada"'}),
        ('{"firstName":"Ada","first_name":"Bo"}', {"firstName": '"Ada"'}),
        ('{"first_name":"Bo","firstName":"Ada"}', {"firstName": '"Ada"'}),
        ('{"richpanel_session_id":"s1","plan":1}', {"plan": "1"}),
    ],
)
def test_reading(raw: str, expected: dict[str, str | None]) -> None:
    assert given_as(raw) == expected


# ------------------------------------------------------------------------------------------------------- newest per key


def test_the_newest_identify_wins_per_key() -> None:
    traits: dict[str, Trait] = {}
    assert apply(traits, {"a": "1", "b": "1"}, at(2)) == ["a", "b"]
    assert apply(traits, {"a": "0", "c": "0"}, at(1)) == ["c"]
    assert apply(traits, {"a": "2"}, at(3)) == ["a"]
    assert traits == {"a": ("2", at(3)), "b": ("1", at(2)), "c": ("0", at(1))}


def test_a_removed_key_does_not_come_back() -> None:
    traits: dict[str, Trait] = {}
    apply(traits, {"a": None}, at(2))
    assert apply(traits, {"a": "1"}, at(1)) == []
    assert traits == {"a": (None, at(2))}


def test_saying_the_same_again_is_no_change_but_is_newer() -> None:
    traits: dict[str, Trait] = {"a": ("1", at(1))}
    assert apply(traits, {"a": "1"}, at(5)) == []
    assert traits == {"a": ("1", at(5))}


@given(IDENTIFIES, st.randoms(), st.integers(0, 5))
def test_any_order_and_any_parts_give_the_same(
    identifies: dict[Stamp, dict[str, str | None]], random, cut: int
) -> None:
    expected: dict[str, Trait] = {}
    for stamp, values in sorted(identifies.items()):
        expected.update({key: (value, stamp) for key, value in values.items()})
    shuffled = list(identifies.items())
    random.shuffle(shuffled)
    parts: list[dict[str, Trait]] = [{}, {}]
    for number, (stamp, values) in enumerate(shuffled):
        apply(parts[number < cut], values, stamp)
    merge(parts[0], parts[1])
    assert parts[0] == expected


# ------------------------------------------------------------------------------------------------------- the email rule

STEPS = st.dictionaries(
    STAMPS,
    st.tuples(st.sampled_from(["identify", "call"]), st.sampled_from(['"a@x"', '"b@x"', '"c@x"', None])).filter(
        lambda step: step != ("call", None)
    ),
)


@given(STEPS)
def test_the_email_is_that_of_a_walk_in_order(steps: dict[Stamp, tuple[str, str | None]]) -> None:
    walked: str | None = None
    identified: Trait | None = None
    carried: Trait | None = None
    for stamp, (kind, value) in sorted(steps.items()):
        if kind == "identify":
            walked, identified = value, (value, stamp)
        else:
            walked, carried = value if walked is not None else None, (value, stamp)
    assert email(identified, carried) == walked


@pytest.mark.parametrize(
    ("identified", "carried", "expected"),
    [
        (None, None, None),
        (None, ("b", at(1)), None),  # It never creates one,
        (("a", at(2)), ("b", at(1)), "a"),
        (("a", at(1)), ("b", at(2)), "b"),  # it replaces one that there is,
        ((None, at(1)), ("b", at(2)), None),  # until an identify removes the email.
        (("a", at(1)), None, "a"),
    ],
)
def test_the_email_rule(identified: Trait | None, carried: Trait | None, expected: str | None) -> None:
    assert email(identified, carried) == expected


# --------------------------------------------------------------------------------------------------- first-class fields


@pytest.mark.parametrize(
    ("traits", "first", "last", "name"),
    [
        ({}, None, None, None),
        ({"firstName": "Ada"}, "Ada", None, "Ada"),
        ({"lastName": "Lovelace"}, None, "Lovelace", "Lovelace"),
        ({"firstName": "Ada", "lastName": "Lovelace"}, "Ada", "Lovelace", "Ada Lovelace"),
        ({"name": "Ada"}, "Ada", None, "Ada"),
        ({"name": "Ada Lovelace"}, "Ada", "Lovelace", "Ada Lovelace"),
        ({"name": "Ada King Lovelace"}, "Ada", "King Lovelace", "Ada King Lovelace"),
        ({"name": "  Ada   Lovelace "}, "Ada", "Lovelace", "  Ada   Lovelace "),
        ({"name": "Ada Lovelace", "firstName": "Augusta"}, "Augusta", "Lovelace", "Ada Lovelace"),
        ({"name": "Ada Lovelace", "lastName": "King"}, "Ada", "King", "Ada Lovelace"),
        ({"name": "X", "firstName": "Ada", "lastName": "L"}, "Ada", "L", "X"),
        ({"firstName": 7}, "7", None, "7"),
        ({"firstName": True, "lastName": {"a": 1}}, None, None, None),
        ({"name": None, "firstName": "Ada"}, "Ada", None, "Ada"),
    ],
)
def test_names_and_their_parts(traits: dict[str, Any], first: str | None, last: str | None, name: str | None) -> None:
    stored: dict[str, Trait] = {
        key: (None if value is None else json.dumps(value), at(1)) for key, value in traits.items()
    }
    assert contact(stored, None) == Contact(None, first, last, name, None)


def test_email_and_phone_are_as_given() -> None:
    stored: dict[str, Trait] = {"email": ('" Ada@X.example"', at(1)), "phone": ("4155550101", at(1))}
    assert contact(stored, None) == Contact(" Ada@X.example", None, None, None, "4155550101")
    assert contact(stored, ('"b@x"', at(2))).email == "b@x"


def test_values_are_known_as_people_see_them() -> None:
    stored: dict[str, Trait] = {
        "email": ('"a@x"', at(1)),
        "name": ('"Ada Lovelace"', at(1)),
        "spent": ("1.50", at(1)),
        "address": ('{"city":"Oslo"}', at(1)),
        "gone": (None, at(1)),
        "other": ("1", at(1)),
    }
    keys = ["email", "firstName", "phone", "spent", "address", "gone", "missing"]
    assert known(stored, ('"b@x"', at(2)), keys) == {
        "email": "b@x",
        "firstName": "Ada",
        "spent": Decimal("1.50"),
        "address": {"city": "Oslo"},
    }
    assert known(stored, None, ["spent"]) == {"spent": Decimal("1.50")}
