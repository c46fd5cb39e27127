"""Destination filters: their four actions in their order, and what is told of those that cannot be saved."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.cut import Cut, Step
from richpanel.core.filters import PASSED, Action, Filter, Filters, Verdict, check

TRACK = {"type": "track", "event": "Order Completed", "messageId": "m1", "properties": {"total": 5, "email": "a@x"}}


def named(title: str, condition: str, *actions: dict[str, Any], enabled: bool = True) -> Filter:
    return msgspec.convert({"title": title, "if": condition, "actions": list(actions), "enabled": enabled}, Filter)


DROP = {"type": "DROP"}
NO_EMAIL = {"type": "DROP_PROPERTIES", "fields": {"properties": ["email"]}}
TOTAL_ONLY = {"type": "ALLOW_PROPERTIES", "fields": {"properties": ["total"]}}


def sample(percent: float, path: str | None = None) -> dict[str, Any]:
    return {"type": "SAMPLE", "percent": percent, "path": path}


def judged(*filters: Filter, **message: Any) -> Verdict:
    return Filters(filters).judge({**TRACK, **message})


def test_what_no_filter_matches_passes() -> None:
    assert judged(named("a", "type = 'page'", DROP)) is PASSED
    assert judged() is PASSED
    assert judged(named("a", "all", sample(1))) is PASSED


def test_drop() -> None:
    assert judged(named("No orders", "match(event, 'Order *')", DROP)) == Verdict(
        Code.FILTERED_BY_RULES, None, "No orders"
    )


def test_fields_are_cut() -> None:
    assert judged(named("a", "all", NO_EMAIL)) == Verdict(None, Cut((Step(("properties",), ("email",)),)), "a")
    assert judged(named("a", "all", TOTAL_ONLY)).cut == Cut((Step(("properties",), ("total",), allow=True),))


def test_a_filter_that_is_off_does_nothing() -> None:
    filters = Filters([named("a", "all", DROP, enabled=False)])
    assert not filters
    assert filters.judge(TRACK) is PASSED


def test_the_order_is_sample_drop_drop_properties_allow_properties() -> None:
    """Whatever the order in which they stand: Segment's documentation gives it."""
    cut = named("cut", "all", TOTAL_ONLY, NO_EMAIL)
    drop, nobody = named("drop", "all", DROP), named("sample", "all", sample(0))
    assert judged(cut, drop, nobody).filter == "sample"
    assert judged(cut, drop).filter == "drop"
    made = judged(cut).cut
    assert made is not None
    assert [step.allow for step in made.steps] == [False, True]


def test_a_message_must_pass_all_of_them() -> None:
    cut, drop = named("cut", "all", NO_EMAIL), named("drop", "properties.total > 4", DROP)
    assert judged(cut, drop).code is Code.FILTERED_BY_RULES
    two = judged(cut, named("allow", "all", TOTAL_ONLY))
    assert two.cut is not None
    assert len(two.cut.steps) == 2
    assert two.filter == "cut"


def test_conditions_see_the_message_uncut() -> None:
    made = judged(named("a", "all", NO_EMAIL), named("b", "properties.email != null", TOTAL_ONLY))
    assert made.cut is not None
    assert len(made.cut.steps) == 2


@pytest.mark.parametrize("action", [DROP, NO_EMAIL, sample(1)])
def test_a_condition_that_fails_drops_and_says_so(action: dict[str, Any]) -> None:
    failed = judged(named("Broken", "properties.total > 1", action), properties={"total": "5"})
    assert failed == Verdict(Code.FILTER_FAILED, None, "Broken", "`>` takes numbers, not a string.")


def test_a_filter_that_cannot_be_read_any_more_drops_too() -> None:
    failed = judged(named("Broken", "tyepof(a)", DROP))
    assert (failed.code, failed.filter) == (Code.FILTER_FAILED, "Broken")
    assert "There is no function" in failed.reason
    assert judged(named("Broken", "all", {**NO_EMAIL, "fields": {"a..b": ["c"]}})).code is Code.FILTER_FAILED


def passes(message: dict[str, Any], percent: float, path: str | None = None) -> bool:
    return Filters([named("a", "all", sample(percent, path))]).judge(message) is PASSED


def test_a_sample_lets_its_share_pass() -> None:
    messages = [{"messageId": f"m{number}"} for number in range(4_000)]
    assert 900 < sum(passes(message, 0.25) for message in messages) < 1_100
    assert all(passes(message, 1) for message in messages)
    assert not any(passes(message, 0) for message in messages)


@given(st.text(max_size=9), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_a_small_sample_is_in_a_larger_one(message_id: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert passes({"messageId": message_id}, large) or not passes({"messageId": message_id}, small)


def test_a_sample_by_a_path_keeps_together_what_has_one_value() -> None:
    people = [str(number) for number in range(200)]
    chosen = [passes({"messageId": "a", "userId": person}, 0.5, "userId") for person in people]
    assert chosen == [passes({"messageId": "b", "userId": person}, 0.5, "userId") for person in people]
    assert 70 < sum(chosen) < 130


def test_a_sample_is_by_the_message_id_where_the_path_has_nothing() -> None:
    ids = [f"m{number}" for number in range(100)]
    by_id = [passes({"messageId": each}, 0.5) for each in ids]
    assert by_id == [passes({"messageId": each, "properties": {}}, 0.5, "properties.cart") for each in ids]
    assert any(by_id)
    assert not all(by_id)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_judging_never_fails(properties: Any, user: Any) -> None:
    filters = Filters([named("a", "properties.a", sample(0.5, "userId")), named("b", "length(userId) > 1", NO_EMAIL)])
    verdict = filters.judge({"properties": properties, "userId": user})
    assert verdict.code is None or verdict.filter


def faults(*filters: Filter) -> list[tuple[str, str]]:
    return [(fault.field, fault.text) for fault in check(filters)]


def test_good_filters_have_no_faults() -> None:
    every = [
        named("a", "all", DROP),
        named("b", "type = 'track'", sample(0.1, "userId"), NO_EMAIL),
        named("c", "true", {"type": "ALLOW_PROPERTIES", "fields": {"context.traits": ["plan"], "": ["properties"]}}),
    ]
    assert faults(*every) == []


def drop_fields(fields: dict[str, list[str]]) -> Filter:
    return named("a", "all", {"type": "DROP_PROPERTIES", "fields": fields})


@pytest.mark.parametrize(
    ("filter_", "field", "text"),
    [
        (named("", "all", DROP), ".title", "A title of 1 to 64 characters is required."),
        (named("a" * 65, "all", DROP), ".title", "A title of 1 to 64 characters is required."),
        (named("a", "type = ", DROP), ".if", "line 1, column 7: The expression ends too early; expected a value"),
        (named("a", "lowcase(a)", DROP), ".if", "line 1, column 1: There is no function `lowcase`"),
        (named("a", "all"), ".actions", "At least one action is required"),
        (named("a", "all", DROP, DROP), ".actions", "Each type of action may stand in a filter once."),
        (named("a", "all", sample(1.5)), ".actions[0].percent", "SAMPLE needs the share that passes"),
        (named("a", "all", {"type": "SAMPLE"}), ".actions[0].percent", "SAMPLE needs the share that passes"),
        (named("a", "all", sample(0.5, "a..b")), ".actions[0].path", "`a..b`: line 1, column 2"),
        (named("a", "all", {**DROP, "percent": 1}), ".actions[0].percent", "DROP takes no `percent`."),
        (named("a", "all", {**NO_EMAIL, "path": "a"}), ".actions[0].path", "DROP_PROPERTIES takes no `path`."),
        (drop_fields({}), ".actions[0].fields", "DROP_PROPERTIES needs fields"),
        (drop_fields({"properties": []}), ".actions[0].fields", "DROP_PROPERTIES needs fields"),
        (drop_fields({"a b": ["c"]}), ".actions[0].fields", "`a b`: line 1, column 3"),
        (drop_fields({"properties": [""]}), ".actions[0].fields", "`properties`: a key has 1 to 256 characters."),
        (drop_fields({"": ["userId"]}), ".actions[0].fields", "`userId` says what a message is, whose or of when"),
        (drop_fields({"timestamp": ["a"]}), ".actions[0].fields", "`timestamp` is no object"),
        (
            drop_fields({"a": ["k" * 256] * 32}),
            ".actions",
            "The fields of a filter may have 8,192 characters together.",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_field(filter_: Filter, field: str, text: str) -> None:
    ((where, told),) = faults(filter_)
    assert where == f"filters[0]{field}"
    assert told.startswith(text)


def test_ten_filters_with_titles_of_their_own() -> None:
    assert faults(*(named(str(n), "all", DROP) for n in range(10))) == []
    assert faults(*(named(str(n), "all", DROP) for n in range(11))) == [
        ("filters", "A destination may have 10 filters, not 11.")
    ]
    assert faults(named("a", "all", DROP), named("a", "all", DROP)) == [
        ("filters[1].title", "Another filter of this destination has the same title.")
    ]


def test_what_says_what_a_message_is_stays() -> None:
    """Without its ids and times it would be another message, so an allow list need not name them."""
    verdict = judged(named("a", "all", {"type": "ALLOW_PROPERTIES", "fields": {"": ["context"]}}))
    assert verdict.cut is not None
    left = verdict.cut.apply({**TRACK, "userId": "u", "timestamp": "t", "context": {}, "traits": {}})
    assert left == {
        **{k: v for k, v in TRACK.items() if k != "properties"},
        "userId": "u",
        "timestamp": "t",
        "context": {},
    }


def test_an_action_is_written_as_it_was_given() -> None:
    assert msgspec.to_builtins(Action("SAMPLE", 0.5)) == {"type": "SAMPLE", "percent": 0.5}
    assert msgspec.to_builtins(named("a", "all", DROP)) == {
        **{"title": "a", "if": "all", "actions": [DROP]},
        **{"enabled": True, "description": ""},
    }
