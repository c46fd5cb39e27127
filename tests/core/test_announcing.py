"""Announcing: the very bytes of an entering, a leaving and a value (Segment facts, 7.3), and ids that never change."""

import json
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.announcing import (
    Announced,
    Computing,
    Told,
    announced,
    backfill,
    computing,
    entering,
    identify,
    message_id,
    track,
)
from richpanel.core.message import MAX_MESSAGE_BYTES, MAX_MESSAGE_ID, Call, validate

KEY = "order_completed_last_30days"
AUDIENCE = Computing("audience", "aud_1", 1, KEY, "spa_1")
SPENT = Computing("trait", "trt_1", 2, "spent", "spa_1")
AT = 1_795_824_000_123
TIME = "2026-11-28T00:00:00.123Z"


def golden(of: Computing, says: dict[str, Any], message: str) -> dict[str, Any]:
    return {
        "type": "identify",
        "userId": "u1",
        **says,
        "context": {
            "personas": {
                "computation_class": of.kind,
                "computation_id": of.id,
                "computation_key": of.key,
                "namespace": "spa_1",
                "space_id": "spa_1",
            },
            "library": {"name": "unknown", "version": "unknown"},
            "integrations": {"personas": False},
        },
        "integrations": {"All": False, "Richpanel": True, "Warehouses": {"all": False}},
        "messageId": message,
        "originalTimestamp": TIME,
        "sentAt": None,
        "timestamp": TIME,
    }


def test_entering_and_leaving() -> None:
    entered, left = Told(True, 1, AT), Told(False, 2, AT)
    first, second = "personas_YphKHn8ryWZKPfPhJ5TiKM05JJH", "personas_GwMKFrFyxLbbU7MUmTs7SQ0E7X3"
    assert json.loads(identify(AUDIENCE, "u1", entered)) == golden(AUDIENCE, {"traits": {KEY: True}}, first)
    assert json.loads(identify(AUDIENCE, "u1", left)) == golden(AUDIENCE, {"traits": {KEY: False}}, second)


@pytest.mark.parametrize("uid", ['a"b\\c', "☃ \n\x01", "gid://shopify/Customer/42"])
def test_a_uid_may_hold_anything(uid: str) -> None:
    said = json.loads(identify(AUDIENCE, uid, Told(['x"', None, {"y": 1}], 7, AT), ("dst_1", "dst_2")))
    assert (said["userId"], said["traits"]) == (uid, {KEY: ['x"', None, {"y": 1}]})
    assert said["integrations"] == {"All": False, "dst_1": True, "dst_2": True, "Warehouses": {"all": False}}
    assert said["messageId"] == message_id(AUDIENCE, uid, 7)


def test_a_value_keeps_its_digits() -> None:
    body = identify(SPENT, "u1", Told(Decimal("1234.50"), 1, AT))
    assert b'"traits":{"spent":1234.50}' in body


@pytest.mark.parametrize(
    ("of", "value", "event", "properties"),
    [
        (AUDIENCE, True, "Audience Entered", {"audience_key": KEY, KEY: True}),
        (AUDIENCE, False, "Audience Exited", {"audience_key": KEY, KEY: False}),
        (SPENT, 12, "Trait Computed", {"trait_key": "spent", "spent": 12}),
    ],
)
def test_track_calls(of: Computing, value: Any, event: str, properties: dict[str, Any]) -> None:
    found = json.loads(track(of, "u1", Told(value, 1, AT), ("Richpanel", "Other")))
    assert (found["type"], found["event"], found["properties"]) == ("track", event, properties)
    assert found["integrations"] == {"All": False, "Richpanel": True, "Other": True, "Warehouses": {"all": False}}
    assert json.loads(track(of, "u1", Told(value, 1, AT), event="Renamed"))["event"] == "Renamed"


def test_what_is_written_passes_the_door_and_can_be_read_back() -> None:
    for value in (True, False, None, Decimal("0.10"), "x" * 4_096, ["é" * 500] * 16):
        body = identify(SPENT, "gid://shopify/Customer/42", Told(value, 1, AT))
        assert len(body) <= MAX_MESSAGE_BYTES
        assert isinstance(validate(body), Call)
        assert announced(body) == Announced("trt_1", "gid://shopify/Customer/42", value)


@pytest.mark.parametrize(
    "body",
    [b"{}", b"no", b'{"userId":"u","context":{"personas":{"computation_id":"a","computation_key":"b"}},"traits":{}}'],
)
def test_what_is_not_ours_is_not_read_back(body: bytes) -> None:
    with pytest.raises(ValueError, match="no identify of an audience"):
        announced(body)


def test_an_id_is_of_one_change_alone() -> None:
    ids = {
        message_id(of, uid, number, call)
        for of in (AUDIENCE, SPENT, Computing("audience", "aud_1", 2, KEY, "spa_1"))
        for uid in ("u1", "u11", "\ud800")
        for number in (1, 11, 111)
        for call in ("identify", "track")
    }
    assert len(ids) == 54
    assert all(len(each) == 36 <= MAX_MESSAGE_ID and each.isascii() for each in ids)


def test_changes_of_membership() -> None:
    assert entering(None, False, 5) is None
    assert entering(None, True, 5) == Told(True, 1, 5)
    assert entering(Told(True, 1, 5), True, 9) is None
    assert entering(Told(True, 1, 5), False, 5) == Told(False, 2, 6)  # A millisecond later at least.
    assert entering(Told(False, 2, 6), True, 1) == Told(True, 3, 7)
    assert entering(Told(False, 2, 6), False, 9) is None


def test_changes_of_a_value() -> None:
    assert computing(None, 0, 5) is None
    assert computing(None, (), 5) is None
    assert computing(None, Decimal("0.00"), 5) is None
    assert computing(None, 2, 5) == Told(2, 1, 5)
    assert computing(Told(Decimal("12.5"), 1, 5), Decimal("12.50"), 9) is None
    assert computing(Told(2, 1, 5), 0, 9) == Told(0, 2, 9)  # It was told once, so it is told now.
    assert computing(Told("a", 1, 5), None, 9) == Told(None, 2, 9)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=20))
def test_a_change_is_told_once_and_in_order(wanted: list[tuple[bool, int]]) -> None:
    """Whatever clocks do, the values alternate, the numbers count, and the times rise."""
    told: Told | None = None
    said: list[Told] = []
    for member, now in wanted:
        told = entering(told, member, now) or told
        if told is not None and (not said or said[-1] is not told):
            said.append(told)
    assert [each.number for each in said] == list(range(1, len(said) + 1))
    assert [each.value for each in said] == [number % 2 == 0 for number in range(len(said))]
    assert all(one.t < other.t for one, other in pairwise(said))


def test_a_backfill_is_no_change_and_keeps_its_id_whatever_was_told_last() -> None:
    body = backfill(AUDIENCE, "42", Told(True, 3, 1_000), "dst_1", 7)
    found = announced(body)
    assert (found.id, found.uid, found.value, found.is_change) == ("aud_1", "42", True, False)
    assert announced(identify(AUDIENCE, "42", Told(True, 3, 1_000))).is_change
    said = json.loads(body)
    assert said["integrations"] == {"All": False, "dst_1": True, "Warehouses": {"all": False}}
    newer = Computing("audience", "aud_1", 2, KEY, "spa_1")
    assert json.loads(backfill(newer, "42", Told(False, 4, 2_000), "dst_1", 7))["messageId"] == said["messageId"]
    assert json.loads(backfill(AUDIENCE, "42", Told(True, 3, 1_000), "dst_1", 8))["messageId"] != said["messageId"]
