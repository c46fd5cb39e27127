"""What alarms watch, measured: each kind in a question or two over counters, none over messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from sqlalchemy import Connection

from richpanel.core.alarms import Kind, Measured
from richpanel.store import traffic
from richpanel.store.bulk import fetch
from richpanel.store.deliveries import ACCEPTED, DEAD, DELIVERED, FAILED, RETRYING
from richpanel.store.delivery_waiting import waiting
from richpanel.store.destinations import ACCOUNT, DestinationRow
from richpanel.store.samples import Sample
from richpanel.store.sources import SourceRow
from richpanel.store.status import source_counts

MINUTE_MS: Final = 60_000
_TRIES_FOR: Final = 10 * MINUTE_MS
_DEAD_FOR: Final = 60 * MINUTE_MS
_FEWEST: Final = 5
_LONGEST: Final = 25 * 60
"""Minutes: a source that was silent for longer is said to have been for so long."""
_LATE_MS: Final = 30_000
"""Where processing is further behind, who is silent cannot be told."""
_WATCHED: Final = ("web", "mobile", "server", "segment")


@dataclass(frozen=True)
class Figures:
    """Where the figures are: the state, the deliveries, how the system stands, and whom they may be of.

    `now` is ms UTC.
    """

    state: Connection
    delivery: Connection
    sample: Sample
    sources: Sequence[SourceRow]
    destinations: Sequence[DestinationRow]
    now: int

    @property
    def outside(self) -> list[DestinationRow]:
        """The destinations that something is sent to."""
        return [row for row in self.destinations if row.endpoint != ACCOUNT and row.enabled]


def measure(figures: Figures, kind: Kind, subject: str | None) -> list[Measured]:
    """Measure what a kind of alarm watches, of one subject (by id) or of all."""
    return [each for each in _all(figures, kind) if subject in (None, each.subject)]


def _all(figures: Figures, kind: Kind) -> Iterable[Measured]:
    match kind:
        case "no_events":
            return _silent(figures)
        case "failing":
            return _failing(figures)
        case "waiting":
            return _waiting(figures)
        case "dead_letters":
            return _dead(figures)
        case "behind":
            return [Measured("", "", figures.sample.lag_ms / 1000)]
        case "disk":
            return [Measured("", "", _full(figures.sample))]
        case _:
            assert_never(kind)


def _full(sample: Sample) -> float | None:
    return 100 * (1 - sample.free_bytes / sample.disk_bytes) if sample.disk_bytes else None


def _silent(figures: Figures) -> list[Measured]:
    """Tell how many minutes each source is silent; of one that never sent anything nothing is told."""
    late, now = figures.sample.lag_ms > _LATE_MS, figures.now
    last = traffic.last_arrivals(figures.state, now - _LONGEST * MINUTE_MS)
    ever = source_counts(figures.state)
    found = []
    for row in figures.sources:
        if row.type not in _WATCHED or not row.enabled or row.deleted_at is not None or row.number not in ever:
            continue
        at = last.get(row.number)
        minutes = _LONGEST if at is None else max(now - at - MINUTE_MS, 0) / MINUTE_MS  # It came within that minute.
        found.append(Measured(row.id, row.name, None if late else minutes))
    return found


def _failing(figures: Figures) -> list[Measured]:
    counts = _counts(figures, figures.now - _TRIES_FOR)
    found = []
    for row in figures.outside:
        failed = sum(counts.get((row.number, status), 0) for status in (RETRYING, FAILED, DEAD))
        tries = failed + sum(counts.get((row.number, status), 0) for status in (DELIVERED, ACCEPTED))
        found.append(Measured(row.id, row.name, 100 * failed / tries if tries >= _FEWEST else 0.0))
    return found


def _waiting(figures: Figures) -> list[Measured]:
    rows = {row.number: row for row in figures.outside}
    found = waiting(lambda query: fetch(figures.delivery, query), rows)
    ages = {each.destination: 0 if each.oldest_at is None else figures.now - each.oldest_at for each in found}
    return [Measured(row.id, row.name, max(ages[number], 0) / MINUTE_MS) for number, row in rows.items()]


def _dead(figures: Figures) -> list[Measured]:
    counts = _counts(figures, figures.now - _DEAD_FOR)
    return [Measured(row.id, row.name, float(counts.get((row.number, DEAD), 0))) for row in figures.outside]


def _counts(figures: Figures, since: int) -> dict[tuple[int, int], int]:
    """Count what became of deliveries since an instant, by destination and status; what a person dropped left out."""
    rows = fetch(
        figures.delivery,
        "SELECT destination, status, sum(count) FROM figures WHERE minute >= ? AND code <> 'dropped' "
        "GROUP BY destination, status",
        since,
    )
    return {(destination, status): int(count) for destination, status, count in rows}
