"""Windows: which events count, by their time (`semantics.md` 8).

`within` N days (hours, minutes, seconds) moves with `now`: an event at `t` counts from when it is known until, exactly,
`t + N`. `between`, `before` and `after` stand still: from their first instant on, up to but not at their last. Time is
compared in milliseconds; a day has 24 hours.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from richpanel.core.faults import a_text, an_integer, an_object, each, quoted, wrong
from richpanel.core.timestamps import EPOCH, iso

NEVER: Final = 1 << 62
"""An instant that no clock reaches; as a length, one that no window has."""

UNITS: Final = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000}
MAX_SPAN: Final = 36_525 * UNITS["days"]
_SECONDS_BELOW: Final = 100_000_000_000
_FURTHEST: Final = 10**17
_FIRST: Final = -62_135_596_800_000
_LAST: Final = 253_402_300_800_000
"""The years 1 to 9999, ms UTC: what a calendar can write."""


class Span(msgspec.Struct, frozen=True):
    """A length of time as somebody wrote it: `{"days": 30}`."""

    number: int
    unit: str

    @property
    def ms(self) -> int:
        """The length in milliseconds."""
        return self.number * UNITS[self.unit]

    def __str__(self) -> str:
        """Write it as `30 days`, `1 hour`."""
        return f"{self.number:,} {self.unit if self.number != 1 else self.unit[:-1]}"


class Window(msgspec.Struct, frozen=True):
    """Which events count: `within` moves; `after` (from that instant on) and `before` stand still, ms UTC."""

    within: Span | None = None
    after: int | None = None
    before: int | None = None

    @property
    def length(self) -> int:
        """How long an event counts, ms; NEVER where it does for good."""
        return NEVER if self.within is None else self.within.ms

    @property
    def moves(self) -> bool:
        """Tell whether no event is kept out by its time alone, but for those that are too old."""
        return self.after is None and self.before is None

    def holds(self, t: int) -> bool:
        """Tell whether an event of this time can ever count: whether it is in what stands still of the window."""
        return (self.after is None or t >= self.after) and (self.before is None or t < self.before)

    def __str__(self) -> str:
        """Write it as `in the last 30 days`; nothing where all events count."""
        if self.within is not None:
            return f"in the last {self.within}"
        if self.after is not None and self.before is not None:
            return f"from {shown(self.after)} to before {shown(self.before)}"
        if self.after is not None:
            return f"from {shown(self.after)} on"
        return "" if self.before is None else f"before {shown(self.before)}"


EVER: Final = Window()
KEYS: Final = ("within", "between", "before", "after")
"""The words by which a window is given, one of them at the most."""


def read_span(value: object, at: str) -> Span:
    """Read `{"days": 30}`: one unit and a whole number of it."""
    given = an_object(value, at, optional=UNITS)
    if len(given) != 1:
        raise wrong(at, f"Must name one of {', '.join(UNITS)}.")
    ((unit, number),) = given.items()
    return Span(an_integer(number, f"{at}.{unit}", 1, MAX_SPAN // UNITS[unit]), unit)


def read_instant(value: object, at: str) -> int:
    """Read a date (its first instant, UTC) or a date with a time, ISO 8601, as ms UTC."""
    found = instant(a_text(value, at))
    if found is None or not _FIRST <= found < _LAST:
        raise wrong(at, f"Must be a date or time such as 2026-11-28 or 2026-11-28T12:00:00Z, not {quoted(value)}.")
    return found


def read_window(given: Mapping[str, Any], at: str) -> Window:
    """Read the window among the keys of an object; all events count where it names none."""
    named = [key for key in KEYS if key in given]
    if not named:
        return EVER
    if len(named) > 1:
        raise wrong(f"{at}.{named[1]}", f"Cannot stand beside `{named[0]}`: give one window.")
    key = named[0]
    value, at = given[key], f"{at}.{key}"
    if key == "within":
        return Window(within=read_span(value, at))
    if key == "before":
        return Window(before=read_instant(value, at))
    if key == "after":
        return Window(after=read_instant(value, at))
    after, before = each(value, at, read_instant, least=2, most=2)
    if after >= before:
        raise wrong(f"{at}[1]", "Must be later than the first: the window ends there.")
    return Window(after=after, before=before)


def span_json(span: Span) -> dict[str, int]:
    """Give the JSON form of a length."""
    return {span.unit: span.number}


def window_json(window: Window) -> dict[str, Any]:
    """Give the keys that a window has in its object."""
    if window.within is not None:
        return {"within": span_json(window.within)}
    if window.after is not None and window.before is not None:
        return {"between": [iso(window.after), iso(window.before)]}
    if window.after is not None:
        return {"after": iso(window.after)}
    return {} if window.before is None else {"before": iso(window.before)}


def shown(ms: int) -> str:
    """Write an instant in short: a date where it is the first instant of one."""
    text = iso(ms)
    return text.removesuffix("T00:00:00.000Z").replace(".000Z", "Z")


def instant(value: object) -> int | None:
    """Read a time as ms UTC: ISO 8601, or epoch (ms; seconds below 10^11). Other than event times, any year will do."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
            since = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - EPOCH
        except (ValueError, OverflowError):
            return None
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if not -_FURTHEST < value < _FURTHEST:
        return None
    return round(value * 1000) if -_SECONDS_BELOW < value < _SECONDS_BELOW else int(value)
