"""Filters of events: all must pass, on properties and context; relative times look from the event."""

from typing import Any

from richpanel.core.comparing import Test
from richpanel.core.conditions import Named, Where
from richpanel.core.filtering import matching
from richpanel.core.happened import Happened
from richpanel.core.windows import Span

TOTAL = Where("property", "total", Test(">", 10))
PHONE = Where("context", "device.type", Test("=", "ios"))


def test_all_filters_must_pass() -> None:
    cases: list[tuple[Named, dict[str, Any], dict[str, Any], bool]] = [
        (Named("A"), {}, {}, True),
        (Named("A", (TOTAL,)), {"total": 11}, {}, True),
        (Named("A", (TOTAL,)), {"total": 10}, {}, False),
        (Named("A", (TOTAL, PHONE)), {"total": 11}, {"device": {"type": "ios"}}, True),
        (Named("A", (TOTAL, PHONE)), {"total": 11, "device": {"type": "ios"}}, {}, False),
    ]
    for named, properties, context, expected in cases:
        assert matching(named)(Happened((1, "m", "web"), "A", properties, context)) is expected


def test_relative_times_look_from_the_event() -> None:
    """What an event says does not change later: it was for the next two hours when it happened."""
    soon = matching(Named("A", (Where("property", "due", Test("within_next", Span(2, "hours"))),)))
    due = {"due": "1970-01-01T10:00:00Z"}
    assert soon(Happened((8 * 3_600_000, "m", "web"), "A", due))
    assert not soon(Happened((7 * 3_600_000, "m", "web"), "A", due))
