"""Alarms: they open late and resolve later, so that none flaps; and what they say."""

import pytest

from richpanel.core.alarms import (
    INFO,
    KINDS,
    OPENS_AFTER_MS,
    RESOLVES_AFTER_MS,
    Notice,
    Standing,
    headline,
    is_reminder_due,
    judge,
    mail_body,
    sentence,
    text_of,
    webhook_body,
)

STEP = 5_000


def happenings(values: list[float | None], limit: float = 100) -> list[tuple[int, str]]:
    """Judge a value every five seconds; give the looks at which something happened."""
    found: list[tuple[int, str]] = []
    standing, is_open = Standing(), False
    for look, value in enumerate(values):
        standing, happening = judge(standing, is_open=is_open, value=value, limit=limit, now=look * STEP)
        if happening is not None:
            is_open = happening == "opened"
            found.append((look, happening))
    return found


OPENS, RESOLVES = OPENS_AFTER_MS // STEP, RESOLVES_AFTER_MS // STEP


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([99.9] * 50, []),
        ([100] * 50, [(OPENS, "opened")]),
        ([100, 0] * 50, []),
        ([100] * 4 + [0] * 50, [(OPENS, "opened"), (4 + RESOLVES, "resolved")]),
        ([100] * 4 + [95] * 100, [(OPENS, "opened")]),
        ([100] * 4 + [50, 100] * 50, [(OPENS, "opened")]),
        ([100] * 4 + [None] * 50, [(OPENS, "opened")]),
        ([100, None, None, 100], [(3, "opened")]),
    ],
)
def test_it_opens_and_resolves_without_flapping(values: list[float | None], expected: list[tuple[int, str]]) -> None:
    assert happenings(values) == expected


def test_reminders() -> None:
    assert not is_reminder_due(0, 0, 10**15)
    assert not is_reminder_due(0, 2, 7_199_999)
    assert is_reminder_due(0, 2, 7_200_000)


def test_every_kind_says_what_is_wrong() -> None:
    for kind in KINDS:
        info = INFO[kind]
        assert info.least <= info.usual <= info.most
        said = sentence(kind, "Website", 1_234.56, info.usual)
        assert "1,235" in said
        assert ("Website" in said) == (info.of is not None)


def test_a_notice_is_one_line_and_carries_its_id() -> None:
    hostile = "Shop\r\nBcc: everybody@example.com"
    notice = Notice(
        *("ntc_1", "alm_1", "No calls", "no_events", "opened", "src_1", hostile, 31.0, 30.0),
        *("2025-11-24T16:00:00.000Z", "2025-11-24T16:00:00.000Z", "https://app.example/alarms"),
    )
    assert headline(notice) == "[Alarm] No calls (Shop Bcc: everybody@example.com)"
    assert webhook_body(notice)["id"] == "ntc_1"
    assert webhook_body(notice)["type"] == "alarm.opened"
    assert "ntc_1" in mail_body(notice)
    assert text_of(notice._replace(happening="resolved")).startswith("It is over.")
    assert text_of(notice._replace(happening="test")).startswith("This is a test")
