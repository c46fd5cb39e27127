"""Event time: the corrections of Segment's spec, and what becomes of clocks that lie."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core.codes import Code
from richpanel.core.message import Message
from richpanel.core.record import Meta
from richpanel.core.timestamps import EventTime, call_time, event_time, iso, parse

NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2025-11-07T19:11:01.249Z", 1_762_542_661_249),
        ("2025-11-07T19:11:01.249999Z", 1_762_542_661_249),
        ("2025-11-07T19:11:01.249999999Z", 1_762_542_661_249),
        ("2025-11-07T20:11:01.249+01:00", 1_762_542_661_249),
        ("2025-11-07T19:11:01.249+00:00", 1_762_542_661_249),
        ("2025-11-07 19:11:01.249", 1_762_542_661_249),
        (" 2025-11-07T19:11:01.249Z\n", 1_762_542_661_249),
        ("20251107T191101Z", 1_762_542_661_000),
        ("2025-11-07", 1_762_473_600_000),
        (1_762_542_661_249, 1_762_542_661_249),
        (1_762_542_661_249.7, 1_762_542_661_249),
        (1_762_542_661, 1_762_542_661_000),
        (1_762_542_661.249, 1_762_542_661_249),
        (1.001, 1_001),
        (0, 0),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        ("1969-12-31T23:59:59.999Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        (-1, None),
        (-1.0, None),
        ("Fri Nov 07 2025", None),
        ("2025-13-01", None),
        ("1762542661249", None),
        ("", None),
        ("\ud800", None),
        ("9" * 30_000, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
        (10**40, None),
        (True, None),
        (None, None),
        ({}, None),
        ([1_762_542_661_249], None),
    ],
)
def test_parse(value: object, ms: int | None) -> None:
    assert parse(value) == ms


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)),  # noqa: DTZ001  # the zone is drawn beside it
    st.integers(-14 * 60, 14 * 60),
)
def test_parse_reads_any_zone(moment: datetime, minutes: int) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=minutes)))
    ms = parse(there.isoformat())
    assert ms is not None
    assert timedelta(0) <= moment.replace(tzinfo=UTC) - datetime.fromisoformat(iso(ms)) < timedelta(milliseconds=1)


@given(st.integers(0, 253_402_300_799_999))
def test_iso_is_read_back(ms: int) -> None:
    assert parse(iso(ms)) == ms


def test_iso_is_segments_form() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_762_542_661_249) == "2025-11-07T19:11:01.249Z"


@pytest.mark.parametrize(
    ("received", "sent", "timestamp", "t"),
    [  # Segment's worked examples: spec/track.md, and a public fixture of the node library
        (
            "2012-12-02T19:11:01.266Z",
            "2012-12-02T19:11:01.169Z",
            "2012-12-02T19:11:01.152Z",
            "2012-12-02T19:11:01.249Z",
        ),
        (
            "2020-01-01T00:00:40.452Z",
            "2020-01-01T00:00:40.203Z",
            "2020-01-01T00:00:40.184Z",
            "2020-01-01T00:00:40.433Z",
        ),
    ],
)
def test_segments_examples(received: str, sent: str, timestamp: str, t: str) -> None:
    assert event_time(parse(received) or 0, timestamp, sent) == (parse(t), None)


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "expected"),
    [
        (NOW - 60_000, NOW, EventTime(NOW - 60_000)),
        (NOW - 60_000, None, EventTime(NOW - 60_000)),
        (NOW - 60_000, "soon", EventTime(NOW - 60_000)),
        (NOW - 60_000, {}, EventTime(NOW - 60_000)),
        (NOW, None, EventTime(NOW)),
        # a client whose clock is an hour ahead, and one an hour behind: the difference of its own two clocks counts
        (NOW + 3_600_000 - 5, NOW + 3_600_000, EventTime(NOW - 5)),
        (NOW - 3_600_000 - 5, NOW - 3_600_000, EventTime(NOW - 5)),
        # offline for a week, then sent
        (NOW - 604_800_000, NOW + 7, EventTime(NOW - 604_800_007)),
        (None, NOW, EventTime(NOW, Code.TIMESTAMP_REPLACED)),
        ("yesterday", NOW, EventTime(NOW, Code.TIMESTAMP_REPLACED)),
        ("1960-01-01T00:00:00Z", NOW, EventTime(NOW, Code.TIMESTAMP_REPLACED)),
        (0, 1_900_000_000_000, EventTime(NOW, Code.TIMESTAMP_REPLACED)),  # the correction leads before 1970
        (NOW + 1, None, EventTime(NOW, Code.TIMESTAMP_IN_FUTURE)),
        (NOW + 60_000, NOW, EventTime(NOW, Code.TIMESTAMP_IN_FUTURE)),
    ],
)
def test_event_time(timestamp: object, sent_at: object, expected: EventTime) -> None:
    assert event_time(NOW, timestamp, sent_at) == expected


anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("2020-01-01T00:00:00Z")


@given(st.integers(0, 4_000_000_000_000), anything, anything)
def test_event_time_is_never_after_arrival_nor_before_1970(received: int, timestamp: object, sent_at: object) -> None:
    t, note = event_time(received, timestamp, sent_at)
    assert 0 <= t <= received
    assert t == received or note is None


@pytest.mark.parametrize(
    ("meta", "call", "expected"),
    [
        ({}, {"timestamp": NOW - 5}, NOW - 5),
        ({}, {"timestamp": NOW - 5, "sentAt": NOW - 1}, NOW - 4),
        ({"sentAt": NOW - 2}, {"timestamp": NOW - 5, "sentAt": NOW - 1}, NOW - 3),
        # A client whose clock begins in 1970: its times are milliseconds, and are not read twice.
        ({"sentAt": 300_000}, {"timestamp": "1970-01-01T00:00:10Z"}, NOW - 290_000),
        ({"door": "import", "sentAt": NOW - 2}, {"timestamp": NOW - 5, "sentAt": NOW - 1}, NOW - 5),
        ({"door": "segment"}, {"originalTimestamp": NOW - 7}, NOW - 7),
        ({"door": "richpanel", "sentAt": NOW - 3}, {"timestamp": NOW - 7, "sentAt": NOW - 3}, NOW - 7),
        ({"door": "segment"}, {"timestamp": NOW - 5, "originalTimestamp": NOW - 7}, NOW - 5),
        ({"door": "tracking"}, {"originalTimestamp": NOW - 7}, NOW),
    ],
)
def test_the_event_time_of_a_call(meta: dict[str, Any], call: dict[str, Any], expected: int) -> None:
    assert call_time(Meta(NOW, "s", [], **meta), Message(**call)).t == expected
