"""The first page: the sign-in to guests, else figures, the newest messages and the sources."""

from collections import Counter
from typing import Final, Literal, NamedTuple

from litestar import Response, get
from litestar.di import NamedDependency as Given

from richpanel.store import samples, traffic
from richpanel.store.database import reading as snapshot
from richpanel.store.delivery_health import Health, health
from richpanel.store.delivery_trouble import COUNTED
from richpanel.store.destinations import ACCOUNT, DestinationRow
from richpanel.store.traffic import KEPT
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.alarm_pages import open_alarms
from richpanel.web.delivery_pages import find_trouble
from richpanel.web.getting_started import is_hidden, steps
from richpanel.web.message_pages import first_source, source_names
from richpanel.web.messages import MessagesQuery, read_messages
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Query
from richpanel.web.permissions import sees
from richpanel.web.plots import arriving, curve
from richpanel.web.signin import Door, SignIn, signin_page
from richpanel.web.status import read_status
from richpanel.web.stores import Reading

_LATEST: Final = 10
_HOUR_MS: Final = 3_600_000
Span = Literal["1h", "24h", "30d"]
_SPANS: Final[dict[Span, tuple[str, int, int]]] = {
    "1h": ("hour", _HOUR_MS, 60),
    "24h": ("24 hours", 24 * _HOUR_MS, 96),
    "30d": ("30 days", 30 * 24 * _HOUR_MS, 60),
}
"""By name: how a window is called, how long it is (ms), and how many bars it has."""


class OverviewQuery(Query, kw_only=True):
    """Where a guest wanted to go, and which window of time is shown."""

    next: str = "/"
    window: Span = "1h"


class Delivering(NamedTuple):
    """A destination with how it did; the built-in account has no `health`: what it keeps is delivered."""

    row: DestinationRow
    health: Health | None
    kept: int


def _figures(counts: dict[str, int]) -> dict[str, int]:
    """Sum a source's counters up as people ask: kept, not for Richpanel, discarded, repeats."""
    discarded = sum(number for what, number in counts.items() if what.startswith("discarded"))
    other = sum(counts.get(what, 0) for what in ("unsupported", "filtered", "failed"))
    return {
        "kept": counts.get("kept", 0),
        "other": other,
        "discarded": discarded,
        "duplicate": counts.get("duplicate", 0),
    }


def _delivering(reading: Reading, lately: dict[int, Counter[str]], since: int) -> list[Delivering]:
    """Tell of each destination how it did since an instant (ms UTC)."""
    rows = reading.known.destination_rows
    outside = [row.number for row in rows if row.endpoint != ACCOUNT]
    found: dict[int, Health] = {}
    if outside:
        with snapshot(reading.deliveries) as connection:
            found = health(connection, outside, since)
    kept = {number: counts[KEPT] for number, counts in lately.items()}
    return [
        Delivering(row, found.get(row.number), sum(kept.get(number, 0) for number in row.source_numbers))
        for row in rows
    ]


def _overview(reading: Reading, origin: str, window: Span, *, with_steps: bool) -> Context:
    status = read_status(reading)
    present = [row for row in reading.sources.values() if row.deleted_at is None]
    _, length, parts = _SPANS[window]
    with snapshot(reading.definitions) as definitions:
        stood = samples.since(definitions, reading.now - length)
        newest = stood[-1] if stood else samples.newest(definitions)
        alarms = open_alarms(definitions)
    lately = traffic.since_then(reading.state, reading.now - _HOUR_MS)
    bars = traffic.bars(reading.state, reading.now - length, reading.now, parts)
    return {
        "windows": [(name, title) for name, (title, _, _) in _SPANS.items()],
        "window": window,
        "alarms": alarms,
        "steps": steps(reading) if with_steps else [],
        "arriving": arriving(bars),
        "lately": {number: sum(counts.values()) for number, counts in lately.items()},
        "lag": curve([(each.at, each.lag_ms) for each in stood], reading.now) if len(stood) > 1 else None,
        "sample": newest,
        "delivering": _delivering(reading, lately, reading.now - _HOUR_MS),
        "customers": reading.count(True),
        "visitors": reading.count(False),
        "status": status,
        "troubles": find_trouble(reading),
        "most_waiting": COUNTED,
        "messages": read_messages(reading, MessagesQuery(limit=_LATEST)),
        "sources": [(row, _figures(status.outcomes.get(row.id, {}))) for row in present],
        "source_names": source_names(reading),
        "first_source": first_source(reading, origin),
        "origin": origin,
    }


@get("/", include_in_schema=False)
async def overview(
    request: AnyRequest,
    pages: Given[Pages],
    door: Given[Door],
    guest: Given[Viewer | None],
    asked: Given[OverviewQuery],
) -> Response[str]:
    """Show the sign-in or the overview."""
    if guest is None:
        return signin_page(door, SignIn(next=asked.next))
    origin = pages.origin(request.scope)
    with_steps = sees(guest.role, "/getting-started") and not is_hidden(request, pages)
    return await pages.show(
        guest, "overview.html", "/", lambda reading: _overview(reading, origin, asked.window, with_steps=with_steps)
    )
