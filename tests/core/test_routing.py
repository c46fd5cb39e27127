"""Routing: Segment's integrations object, and the order in which a destination decides."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.cut import Cut, Step
from richpanel.core.filters import PASSED, Verdict
from richpanel.core.inside import merged
from richpanel.core.message import TYPES
from richpanel.core.routing import Decision, decide, decision, integration_enabled, integration_options

ON, OFF = True, False


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw() if value is ... else msgspec.Raw(msgspec.json.encode(value))


@pytest.mark.parametrize(
    ("integrations", "enabled"),
    [
        (None, ON),
        ({}, ON),
        ({"All": True}, ON),
        ({"All": False}, OFF),
        ({"all": False}, OFF),
        ({"ALL": False}, OFF),
        ({"Richpanel": True}, ON),
        ({"Richpanel": False}, OFF),
        ({"All": False, "Richpanel": True}, ON),
        ({"All": True, "Richpanel": False}, OFF),
        ({"All": False, "Richpanel": {}}, ON),
        ({"All": False, "Richpanel": {"any": "option"}}, ON),
        ({"All": False, "Richpanel": None}, ON),
        ({"All": False, "Richpanel": 0}, ON),
        ({"All": False, "Richpanel": "false"}, ON),
        ({"richpanel": False}, ON),  # names are case-sensitive
        ({"All": False, "richpanel": True}, OFF),
        ({"RICHPANEL": False}, ON),
        ({"All": "false"}, ON),  # only booleans count for All
        ({"All": 0}, ON),
        ({"All": None}, ON),
        ({"All": False, "all": True}, ON),  # the last wins, as with a key that JSON repeats
        ({"Salesforce": False, "Segment.io": False}, ON),
        ({"All": False, "Salesforce": True}, OFF),
        ({"providers": {"Richpanel": False}}, OFF),
        ({"All": False, "providers": {"Richpanel": True}}, ON),
        ({"providers": {"Richpanel": False}, "Richpanel": True}, ON),
        ({"providers": {"Richpanel": 0}}, OFF),
        ({"providers": {"Richpanel": None}}, OFF),
        ({"All": False, "providers": {"Richpanel": {}}}, ON),  # an object is true, even an empty one
        ({"providers": [False]}, ON),
    ],
    ids=str,
)
def test_integrations_object(integrations: dict[str, Any] | None, enabled: bool) -> None:
    assert integration_enabled(integrations, None) is enabled
    assert integration_enabled(integrations, {}) is enabled
    expected = None if enabled else Code.FILTERED_BY_INTEGRATIONS_OBJECT
    assert decide("track", raw(integrations), raw(...), key_valid=True) == expected


@pytest.mark.parametrize(
    ("integrations", "context", "enabled"),
    [
        # context.integrations is data, never a switch
        (None, {"integrations": {"Richpanel": False}}, ON),
        (None, {"integrations": {"All": False}}, ON),
        ({}, {"integrations": {"Richpanel": False, "All": False}}, ON),
        ({"Richpanel": False}, {"integrations": {"Richpanel": True}}, OFF),
        (None, {"integrations": {"personas": False}}, ON),
        # the first version's context.providers and the context itself, where there is no integrations object
        (None, {"providers": {"Richpanel": False}}, OFF),
        (None, {"providers": {"all": False}}, OFF),
        (None, {"Providers": {"All": False}}, OFF),
        (None, {"providers": {"All": False, "Richpanel": True}}, ON),
        (None, {"Richpanel": False}, OFF),
        (None, {"Richpanel": {"id": 1}, "all": False}, ON),
        (None, {"all": False}, OFF),
        (None, {"All": False}, OFF),
        (None, {"richpanel": False}, ON),
        # beside an integrations object, even an empty one, only their `all` still counts
        ({}, {"providers": {"Richpanel": False}}, ON),
        ({}, {"Richpanel": False}, ON),
        ({}, {"all": False}, OFF),
        ({"All": True}, {"providers": {"all": False}}, OFF),
        ({"All": False}, {"all": True}, ON),
        ({"All": False, "Richpanel": True}, {"all": False}, ON),
        ({"Richpanel": False}, {"all": True}, OFF),
        ({}, {"all": "no", "providers": {"all": 0}}, ON),
    ],
    ids=str,
)
def test_what_the_context_may_say(integrations: dict[str, Any] | None, context: dict[str, Any], enabled: bool) -> None:
    assert integration_enabled(integrations, context) is enabled
    expected = None if enabled else Code.FILTERED_BY_INTEGRATIONS_OBJECT
    assert decide("page", raw(integrations), raw(context), key_valid=True) == expected


def test_previous_names_are_accepted_and_the_present_one_wins() -> None:
    assert not integration_enabled({"Old Name": False}, None, "New Name", ["Old Name"])
    assert integration_enabled({"Old Name": False, "New Name": True}, None, "New Name", ["Old Name"])
    assert integration_enabled({"All": False, "Old Name": {}}, None, "New Name", ["Older", "Old Name"])
    assert not integration_enabled({"providers": {"Old Name": False}}, None, "New Name", ["Old Name"])
    assert integration_enabled({"old name": False}, None, "New Name", ["Old Name"])


@pytest.mark.parametrize(
    ("integrations", "context", "options"),
    [
        (None, None, {}),
        ({}, {}, {}),
        ({"Richpanel": {"a": 1}}, None, {"a": 1}),
        ({"richpanel": {"a": 1}}, None, {"a": 1}),
        ({"Richpanel": True}, {"Richpanel": {"b": 2}}, {"b": 2}),
        ({"Richpanel": True}, {"richpanel": {"b": 2}}, {"b": 2}),
        ({"Richpanel": {"a": 1}}, {"Richpanel": {"b": 2}}, {"a": 1}),
        (None, {"providers": {"Richpanel": {"c": 3}}}, {"c": 3}),
        (None, {"integrations": {"Richpanel": {"d": 4}}}, {}),
        ({"Richpanel": [1]}, None, {}),
    ],
    ids=str,
)
def test_options(
    integrations: dict[str, Any] | None, context: dict[str, Any] | None, options: Mapping[str, Any]
) -> None:
    assert integration_options(integrations, context) == options


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("integrations", [..., {"All": False}])
@pytest.mark.parametrize("key_valid", [True, False])
def test_the_first_thing_against_it_decides(kind: str, integrations: object, key_valid: bool) -> None:
    expected = None
    if not key_valid:
        expected = Code.INVALID_SETTINGS
    if integrations is not ...:
        expected = Code.FILTERED_BY_INTEGRATIONS_OBJECT
    if kind in ("screen", "group", "alias"):
        expected = Code.UNSUPPORTED_EVENT_TYPE
    assert decide(kind, raw(integrations), raw(...), key_valid) == expected


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (None, "kept"),
        (Code.UNSUPPORTED_EVENT_TYPE, "unsupported"),
        (Code.FILTERED_BY_INTEGRATIONS_OBJECT, "filtered"),
        (Code.FILTERED_BY_RULES, "filtered"),
        (Code.INVALID_SETTINGS, "failed"),
    ],
)
def test_a_decision_is_a_value(code: Code | None, outcome: str) -> None:
    made = decision("dst_1", code)
    assert (made.destination, made.outcome, made.code) == ("dst_1", outcome, code)
    assert made == decision("dst_1", code)
    assert len({made, decision("dst_1", code), decision("dst_2", code)}) == 2
    assert msgspec.json.decode(msgspec.json.encode(made), type=Decision) == made


@pytest.mark.parametrize(
    ("integrations", "context"),
    [
        (b'{"\\u0052ichpanel":false}', b""),
        (b'{"\\u0041ll":false}', b""),
        (b'{ "All" :false }', b"{}"),
        (b"", b'{"pr\\u006fviders":{"Richpanel":false}}'),
        (b"null", b'{"Richpanel":false}'),
        (b"{}", b'{"page":{"title":"\\u00e4"},"\\u0061ll":false}'),
    ],
)
def test_no_spelling_slips_past_the_shortcut(integrations: bytes, context: bytes) -> None:
    made = decide("track", msgspec.Raw(integrations), msgspec.Raw(context), key_valid=True)
    assert made == Code.FILTERED_BY_INTEGRATIONS_OBJECT


keys = st.sampled_from(
    ["All", "all", "aLL", "Richpanel", "richpanel", "providers", "Providers", "integrations", "x", "é"]
)
values = st.recursive(
    st.booleans() | st.none() | st.sampled_from(["All", "Richpanel", 0, 1]),
    lambda inner: st.dictionaries(keys, inner, max_size=3),
    max_leaves=4,
)
bags = st.dictionaries(keys, values, max_size=4)


@given(bags | st.none(), bags | st.none(), st.booleans())
def test_the_shortcut_changes_nothing(integrations: Any, context: Any, escaped: bool) -> None:
    def written(value: object) -> msgspec.Raw:
        text = msgspec.json.encode(value)
        return msgspec.Raw(text.replace(b'"A', b'"\\u0041').replace(b'"R', b'"\\u0052') if escaped else text)

    expected = None if integration_enabled(integrations, context) else Code.FILTERED_BY_INTEGRATIONS_OBJECT
    assert decide("track", written(integrations), written(context), key_valid=True) == expected


@given(bags | st.none(), bags | st.none())
def test_a_batchs_integrations_count_where_the_item_says_nothing(batch: Any, item: Any) -> None:
    together = {**(batch or {}), **(item or {})} if batch is not None or item is not None else None
    expected = None if integration_enabled(together, None) else Code.FILTERED_BY_INTEGRATIONS_OBJECT
    assert decide("track", merged(raw(batch), raw(item)), raw(...), key_valid=True) == expected


@pytest.mark.parametrize(
    ("kind", "integrations", "key_valid", "expected"),
    [
        ("screen", {}, True, Code.UNSUPPORTED_EVENT_TYPE),
        ("page", {"All": False}, True, Code.FILTERED_BY_INTEGRATIONS_OBJECT),
        ("page", {}, False, Verdict(Code.FILTERED_BY_RULES, None, "title")),
    ],
)
def test_filters_are_asked_after_the_integrations_object_and_before_the_settings(
    kind: str, integrations: dict[str, Any], key_valid: bool, expected: object
) -> None:
    asked = []

    def judge() -> Verdict:
        asked.append(1)
        return Verdict(Code.FILTERED_BY_RULES, None, "title")

    assert decide(kind, raw(integrations), raw(...), key_valid, judge) == expected
    assert len(asked) == isinstance(expected, Verdict)


def test_what_filters_take_stands_in_the_decision() -> None:
    cut = Cut((Step(("traits",), ("email",)),))
    ruling = decide("page", raw({}), raw(...), True, lambda: Verdict(None, cut, "Privacy"))
    made = decision("dst_1", ruling)
    assert made == Decision("dst_1", "kept", None, "Privacy", cut)
    assert msgspec.json.decode(msgspec.json.encode(made), type=Decision) == made
    assert decide("page", raw({}), raw(...), False, lambda: Verdict(None, cut, "a")) is Code.INVALID_SETTINGS
    assert decide("page", raw({}), raw(...), True, lambda: PASSED) is None
    failed = decision("dst_1", Verdict(Code.FILTER_FAILED, None, "Broken", "why"))
    assert (failed.outcome, failed.filter, failed.reason) == ("filtered", "Broken", "why")


@pytest.mark.parametrize(
    ("integrations", "enabled"),
    [({"All": False, "dst_1": True}, ON), ({"All": False, "dst_2": True}, OFF), ({"dst_1": False, "All": True}, OFF)],
)
def test_a_destination_may_go_by_its_id_where_that_is_said(integrations: dict[str, Any], enabled: bool) -> None:
    ruling = decide("identify", raw(integrations), raw(...), True, called="dst_1")
    assert ruling == (None if enabled else Code.FILTERED_BY_INTEGRATIONS_OBJECT)
