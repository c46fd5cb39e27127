"""Figures of what came, and of what became of it at each destination, as Segment's Delivery Overview has them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.codes import Code
from richpanel.core.latencies import percentile
from richpanel.core.retrying import STATUSES
from richpanel.core.routing import Decision
from richpanel.core.timestamps import iso
from richpanel.store import names
from richpanel.store.bulk import fetch
from richpanel.store.deliveries import ACCEPTED, DEAD, DELIVERED, FAILED, QUEUED, RETRYING, SUPERSEDED
from richpanel.store.delivery_breakdown import ByEvent, EventFigures, Moment, series, shown
from richpanel.store.destinations import ACCOUNT, DestinationRow

MOST_MESSAGES: Final = 200_000
"""So many of the newest messages are counted at the most, however long the window is."""
_MOST_NAMES: Final = 200
REPLAYED: Final = "replay"
"""Stands for a code, with the status of what is queued, where replayed messages are counted."""
_SAMPLES: Final = 3
_LOOKED_AT: Final = 500
_TEXTS: Final[dict[str, str]] = {each.value: each.text for each in Code}
_decode = msgspec.json.Decoder(list[Decision]).decode


class Reason(msgspec.Struct, rename="camel"):
    """How many were stopped at a stage for a reason, and some of them, by delivery id, where there are deliveries.

    `filter` is the title of the destination filter that stopped them.
    """

    stage: str
    code: str
    text: str
    count: int
    samples: list[int] = []
    filter: str | None = None


class Funnel(msgspec.Struct, rename="camel", kw_only=True):
    """What came of the calls for a destination. `queued` and `retrying` are as of now, all else is of the window.

    `replayed` counts messages that a replay sent again, or had decided about again; what becomes of them counts like
    anything else. `retries` counts tries that failed and are made again; `failed` those that were given up, of which
    the dead can be replayed, and the dropped were given up by a person. `p95_milliseconds` is from the arrival of a
    call to the answer. `series` is there for a destination outside, `by_event` for the names that have the most calls.
    """

    destination: str
    name: str
    received: int = 0
    failed_on_ingest: int = 0
    filtered_at_source: int = 0
    filtered_at_destination: int = 0
    queued: int = 0
    retrying: int = 0
    retries: int = 0
    replayed: int = 0
    failed: int = 0
    dead: int = 0
    dropped: int = 0
    superseded: int = 0
    delivered: int = 0
    p95_milliseconds: int | None = None
    reasons: list[Reason] = []
    series: list[Moment] = []
    by_event: list[EventFigures] = []


class Overview(msgspec.Struct, rename="camel", kw_only=True):
    """The figures of a window. What came is counted from `received_from` on, which is later where there is too much.

    `counted_at` is when that was, and the calls by event: a few seconds ago where there are very many.
    """

    window: str
    since: str
    received_from: str
    counted_at: str
    destinations: list[Funnel]


class Decided(NamedTuple):
    """How many messages of a name (empty without one) were decided about in the same way."""

    decisions: list[Decision]
    event: str
    number: int


class Arrived(msgspec.Struct):
    """What came since an instant: decisions with their number, and by source number what was refused, with the code.

    `looked` is how many messages were looked at.
    """

    since: int
    decided: list[Decided]
    refused: dict[int, Counter[str]]
    looked: int


class Counted(NamedTuple):
    """What takes long to count: what came, deliveries by event, and when it was counted (ms UTC)."""

    came: Arrived
    events: ByEvent
    at: int


class Span(NamedTuple):
    """A window: its name, when it begins and ends, ms UTC, and into how many parts it is divided."""

    window: str
    since: int
    now: int
    parts: int


def arrived(state: Connection, since: int) -> Arrived:
    """Count what came since an instant (ms UTC), among the newest `MOST_MESSAGES`."""
    rows = fetch(
        state,
        "SELECT decisions, event, count(*), min(received), sum(CASE WHEN received < ? THEN 1 ELSE 0 END) FROM "
        "(SELECT decisions, event, received FROM messages ORDER BY n DESC LIMIT ?) newest "
        "WHERE decisions IS NOT NULL GROUP BY decisions, event",
        *(since, MOST_MESSAGES),
    )
    counted = sum(row[2] for row in rows)
    reached = min((row[3] for row in rows), default=since)
    there = [(row[0], row[1], row[2] - row[4]) for row in rows if row[2] > row[4]]
    texts = names.by_number(state, {number for number, _, _ in there})
    events = names.by_number(state, _most(there))
    sums: Counter[tuple[int, str]] = Counter()
    for number, event, count in there:
        sums[number, events.get(event, "")] += count
    decided = [Decided(_decode(texts[number]), event, count) for (number, event), count in sums.items()]
    refused: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for source, code, count in fetch(
        state, "SELECT source, code, count(*) FROM discards WHERE at >= ? GROUP BY source, code", since
    ):
        refused[source][code] = count
    return Arrived(max(since, reached) if counted >= MOST_MESSAGES else since, decided, dict(refused), counted)


def _most(counted: Iterable[tuple[int, int | None, int]]) -> list[int]:
    """Give the events that have the most messages: names of pages may be without number."""
    sums: Counter[int] = Counter()
    for _, event, count in counted:
        if event is not None:
            sums[event] += count
    return [event for event, _ in sums.most_common(_MOST_NAMES)]


def overview(
    delivery: Connection,
    counted: Counted,
    destinations: Iterable[DestinationRow],
    private: Mapping[str, int],
    span: Span,
) -> Overview:
    """Put the figures together; `private` are messages refused for privacy, by source id."""
    funnels, came = [], counted.came
    for row in destinations:
        funnel = Funnel(destination=row.id, name=row.name)
        counts = {event: Counter(figures) for event, figures in counted.events.get(row.number, {}).items()}
        _count_arrived(funnel, row, came, counts)
        funnel.filtered_at_source = sum(private.get(source, 0) for source in row.sources)
        funnel.received += funnel.failed_on_ingest + funnel.filtered_at_source
        if row.endpoint != ACCOUNT:
            _count_deliveries(delivery, funnel, row.number, span.since)
            funnel.series = series(delivery, row.number, span.since, span.now, span.parts)
        funnel.replayed = _replayed(delivery, row.number, span.since)
        funnel.by_event = shown(counts)
        funnel.reasons.sort(key=lambda reason: -reason.count)
        funnels.append(funnel)
    return Overview(
        window=span.window,
        since=iso(span.since),
        received_from=iso(max(came.since, span.since)),  # What is remembered began a little before.
        counted_at=iso(counted.at),
        destinations=funnels,
    )


def _count_arrived(funnel: Funnel, row: DestinationRow, came: Arrived, events: dict[str, Counter[str]]) -> None:
    """Count what was decided for a destination, by event, too; at the account, what it keeps has arrived."""
    stopped: Counter[tuple[str, str, str | None]] = Counter()
    for decisions, event, count in came.decided:
        for made in decisions:
            if made.destination != row.id:
                continue
            figures = events.setdefault(event, Counter())
            funnel.received += count
            figures["received"] += count
            if made.outcome == "kept":
                kept = count if row.endpoint == ACCOUNT else 0
                funnel.delivered += kept
                figures["delivered"] += kept
            elif made.outcome == "failed":
                funnel.failed += count
                figures["failed"] += count
                stopped["failed", made.code or "", None] += count
            else:
                funnel.filtered_at_destination += count
                figures["filtered_at_destination"] += count
                stopped["filteredAtDestination", made.code or "", made.filter] += count
    for source in row.source_numbers:
        for code, count in came.refused.get(source, {}).items():
            funnel.failed_on_ingest += count
            stopped["failedOnIngest", code, None] += count
    funnel.reasons += [
        Reason(stage, code, text_of(code), count, filter=title) for (stage, code, title), count in stopped.items()
    ]


def _count_deliveries(delivery: Connection, funnel: Funnel, number: int, since: int) -> None:
    waiting = dict(
        fetch_pairs(
            delivery,
            "SELECT status, count(*) FROM deliveries WHERE destination = ? AND status < 2 GROUP BY status",
            number,
        )
    )
    funnel.queued, funnel.retrying = waiting.get(QUEUED, 0), waiting.get(RETRYING, 0)
    rows = fetch(
        delivery,
        "SELECT status, code, sum(count) FROM figures WHERE destination = ? AND minute >= ? GROUP BY status, code",
        *(number, since),
    )
    by_status: Counter[int] = Counter()
    for status, code, count in rows:
        by_status[status] += int(count)
        if status in (RETRYING, FAILED, DEAD, SUPERSEDED) and code and count:
            samples = _samples(delivery, number, status, code)
            funnel.reasons.append(Reason(STATUSES[status], code, text_of(code), int(count), samples))
            funnel.dropped += int(count) if code == Code.DROPPED else 0
    funnel.retries, funnel.superseded, funnel.dead = by_status[RETRYING], by_status[SUPERSEDED], by_status[DEAD]
    funnel.failed += by_status[FAILED] + by_status[DEAD]
    funnel.delivered = by_status[DELIVERED] + by_status[ACCEPTED]
    took = fetch_pairs(
        delivery,
        "SELECT bucket, sum(count) FROM latencies WHERE destination = ? AND minute >= ? GROUP BY bucket",
        *(number, since),
    )
    funnel.p95_milliseconds = percentile(dict(took), 95)


def _replayed(delivery: Connection, number: int, since: int) -> int:
    rows = fetch(
        delivery,
        "SELECT coalesce(sum(count), 0) FROM figures WHERE destination = ? AND minute >= ? AND status = ? AND code = ?",
        *(number, since, QUEUED, REPLAYED),
    )
    return int(rows[0][0])


def fetch_pairs(connection: Connection, statement: str, *parameters: Any) -> list[tuple[int, int]]:
    """Run a query that gives pairs of integers; PostgreSQL's sums are decimals."""
    return [(int(first), int(second)) for first, second in fetch(connection, statement, *parameters)]


def _samples(delivery: Connection, number: int, status: int, code: str) -> list[int]:
    rows = fetch(
        delivery,
        "SELECT id FROM (SELECT id, code FROM deliveries WHERE destination = ? AND status = ? ORDER BY id DESC "
        "LIMIT ?) newest WHERE code = ? ORDER BY id DESC LIMIT ?",
        *(number, status, _LOOKED_AT, code, _SAMPLES),
    )
    return [row[0] for row in rows]


def text_of(code: str) -> str:
    """Say in a sentence what a code means."""
    return _TEXTS.get(code, "")
