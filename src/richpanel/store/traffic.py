"""Traffic: how many calls arrived when, and what became of them, by source: by minutes for a day, by hours for a month.

It is counted by `receivedAt` in the transaction that applies a batch, so a backlog that is worked off later stands
where it arrived, and a state that is made anew has it, too. It tells of no person: what is erased or decided about
again afterwards stays counted as it was.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import fetch, insert, run

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
KEPT: Final = "kept"
OTHER: Final = "other"
"""Not for the destination: unsupported, filtered, failed, or told by Engage."""
DISCARDED: Final = "discarded"
REPEATED: Final = "repeated"
WHATS: Final = (KEPT, OTHER, DISCARDED, REPEATED)
_SPANS: Final = {MINUTE_MS: 25 * HOUR_MS, HOUR_MS: 31 * 24 * HOUR_MS}
"""How long what is counted in steps of so many ms is kept."""

Arrival = tuple[int, int, str]
"""Source number, `receivedAt` in ms UTC, and what became of a call: one of `WHATS`."""


class Bar(NamedTuple):
    """A part of a window, from `at` (ms UTC) on: how many calls of each outcome arrived."""

    at: int
    kept: int = 0
    other: int = 0
    discarded: int = 0
    repeated: int = 0


def count(connection: Connection, arrivals: Iterable[Arrival], newest: int) -> None:
    """Count what a batch holds, and let go of what is too old beside its `newest` (ms UTC)."""
    minutes = Counter((source, at - at % MINUTE_MS, what) for source, at, what in arrivals)
    if not minutes:
        return
    counts: Counter[tuple[int, int, int, str]] = Counter()
    for (source, at, what), number in minutes.items():
        for step in _SPANS:
            counts[step, at - at % step, source, what] += number
    insert(connection, schema.traffic, [(*key, number) for key, number in sorted(counts.items())], plus="count")
    run(
        connection,
        "DELETE FROM traffic WHERE step = ?1 AND at < ?2 OR step = ?3 AND at < ?4",
        *(each for step, span in _SPANS.items() for each in (step, newest - span)),
    )


def bars(connection: Connection, since: int, now: int, parts: int, *, source: int | None = None) -> list[Bar]:
    """Count what arrived from `since` to `now` (ms UTC) in so many parts of whole minutes, beyond a day of hours."""
    step = MINUTE_MS if now - since <= _SPANS[MINUTE_MS] else HOUR_MS
    width = max((now - since) // parts // step * step, step)
    end = now - now % step + step
    begin = end - parts * width
    found = [Counter[str]() for _ in range(parts)]
    rows = fetch(
        connection,
        "SELECT (at - ?1) / ?2, what, sum(count) FROM traffic WHERE step = ?3 AND at >= ?1 AND at < ?4 "
        "AND (?5 < 0 OR source = ?5) GROUP BY 1, 2",
        *(begin, width, step, end, -1 if source is None else source),
    )
    for part, what, number in rows:
        found[int(part)][what] += int(number)
    return [Bar(begin + part * width, **each) for part, each in enumerate(found)]


def since_then(connection: Connection, since: int) -> dict[int, Counter[str]]:
    """Count what arrived since an instant (ms UTC) within the last day, by source number and outcome."""
    found: dict[int, Counter[str]] = {}
    rows = fetch(
        connection,
        "SELECT source, what, sum(count) FROM traffic WHERE step = ? AND at >= ? GROUP BY source, what",
        *(MINUTE_MS, since - since % MINUTE_MS),
    )
    for source, what, number in rows:
        found.setdefault(source, Counter())[what] = int(number)
    return found


def last_arrivals(connection: Connection, since: int) -> dict[int, int]:
    """Give, by source number, the minute (ms UTC) in which a call arrived last, of those not before `since`."""
    rows = fetch(
        connection,
        "SELECT source, max(at) FROM traffic WHERE step = ? AND at >= ? GROUP BY source",
        *(MINUTE_MS, since - since % MINUTE_MS),
    )
    return {source: int(at) for source, at in rows}
