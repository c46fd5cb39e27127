"""Windows: read strictly, written back, and exact at their ends (semantics.md 8)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from richpanel.core.faults import FaultyError
from richpanel.core.windows import (
    EVER,
    NEVER,
    Window,
    instant,
    read_instant,
    read_window,
    shown,
    window_json,
)
from tests.core.engage_cases import WINDOWS

DAY = 86_400_000


@given(WINDOWS)
def test_round_trip(window: Window) -> None:
    assert read_window(window_json(window), "at") == window


@pytest.mark.parametrize(
    ("given", "line", "length"),
    [
        ({}, "", NEVER),
        ({"within": {"days": 30}}, "in the last 30 days", 30 * DAY),
        ({"within": {"hours": 1}}, "in the last 1 hour", 3_600_000),
        ({"between": ["2026-11-01", "2026-12-01"]}, "from 2026-11-01 to before 2026-12-01", NEVER),
        ({"after": "2026-11-01T12:30:00+01:00"}, "from 2026-11-01T11:30:00Z on", NEVER),
        ({"before": "2026-11-01T00:00:00.250Z"}, "before 2026-11-01T00:00:00.250Z", NEVER),
    ],
)
def test_is_read(given: dict[str, Any], line: str, length: int) -> None:
    window = read_window({"event": "x", **given}, "condition")
    assert str(window) == line
    assert window.length == length


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"within": 30}, "c.within", "an object, not a number"),
        ({"within": {}}, "c.within", "one of days, hours, minutes, seconds"),
        ({"within": {"days": 1, "hours": 2}}, "c.within", "one of"),
        ({"within": {"weeks": 1}}, "c.within.weeks", "not known here"),
        ({"within": {"days": 0}}, "c.within.days", "from 1 to 36,525"),
        ({"within": {"days": True}}, "c.within.days", "an integer, not a boolean"),
        ({"within": {"days": Decimal("1.5")}}, "c.within.days", "an integer"),
        ({"within": {"days": 1}, "before": "2026-01-01"}, "c.before", "beside `within`"),
        ({"between": ["2026-01-01"]}, "c.between", "2 to 2 elements"),
        ({"between": ["2026-01-02", "2026-01-01"]}, "c.between[1]", "later than the first"),
        ({"between": ["2026-01-01", "soon"]}, "c.between[1]", "not `soon`"),
        ({"after": "0001-01-01T00:00:00+14:00"}, "c.after", "a date or time"),
        ({"after": 5}, "c.after", "a text, not a number"),
    ],
)
def test_faults(given: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(FaultyError) as caught:
        read_window(given, "c")
    ((at, text),) = caught.value.faults
    assert at == field
    assert says in text


def test_what_stands_still_begins_at_its_first_instant_and_ends_before_its_last() -> None:
    window = Window(after=10, before=20)
    assert [window.holds(t) for t in (9, 10, 19, 20)] == [False, True, True, False]
    assert EVER.holds(-1)


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("1970-01-01T00:00:01.5Z", 1500),
        ("1965-03-01", -152_668_800_000),
        (" 2026-11-28 ", 1_795_824_000_000),
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000_123, 1_700_000_000_123),
        (Decimal("1.5"), 1500),
        (-5, -5000),
        (True, None),
        (None, None),
        ("soon", None),
        (10**30, None),
        ([], None),
    ],
)
def test_instants(value: object, ms: int | None) -> None:
    assert instant(value) == ms


def test_instants_are_shown_as_they_can_be_read() -> None:
    for text in ("2026-11-28", "2026-11-28T10:00:00Z", "2026-11-28T10:00:00.001Z", "0001-01-01", "9999-12-31"):
        assert shown(read_instant(text, "at")) == text
