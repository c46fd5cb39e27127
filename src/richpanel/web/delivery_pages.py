"""Pages: Event Delivery: figures by destination, the deliveries, and one with each try (mission rows B3, S6)."""

from typing import Final, Literal, NamedTuple

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.core.retrying import STATUSES, Status
from richpanel.core.timestamps import iso
from richpanel.store.database import reading as snapshot
from richpanel.store.deliveries import ACCEPTED, DELIVERED
from richpanel.store.delivery_figures import Funnel
from richpanel.store.delivery_reading import AttemptView
from richpanel.store.delivery_requests import ALLOWED, Action
from richpanel.store.delivery_trouble import COUNTED, Trouble, troubles
from richpanel.store.destinations import ACCOUNT
from richpanel.web.access import Viewer
from richpanel.web.deliveries import WINDOWS, DeliveriesQuery, Window, ask, read_list, read_one, read_overview
from richpanel.web.message_pages import source_names
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query
from richpanel.web.paths import decode_id, segment
from richpanel.web.plots import plot
from richpanel.web.rendering import pretty
from richpanel.web.replays import can_replay
from richpanel.web.signin import Door
from richpanel.web.stores import Reading

TRIES: Final = 20
"""So many of the newest tries are shown with what was sent and answered."""
_ARRIVED: Final = frozenset({STATUSES[DELIVERED], STATUSES[ACCEPTED]})
_REASONS: Final = 12
_EVENTS: Final = 12


class PageQuery(Query, kw_only=True):
    """Which window of the overview; or with a view, a filter or a cursor, which part of the list."""

    window: Window = "24h"
    view: Literal["list"] | None = None
    status: Status | None = None
    destination: str | None = None
    event: str | None = None
    cursor: str | None = None


class AskForm(msgspec.Struct):
    """The buttons of a delivery's page."""

    action: Action


class Try(NamedTuple):
    """A try, as it is shown; its request is None where it is the one of a later try that is shown, `same_as`."""

    number: int
    made: AttemptView
    request: str | None
    same_as: int


def find_trouble(reading: Reading) -> list[Trouble]:
    """Find the destinations that do not take what is sent."""
    with snapshot(reading.deliveries) as connection:
        return troubles(connection, reading.known.destination_rows, reading.now)


def _overview(reading: Reading, asked: PageQuery) -> Context:
    found = read_overview(reading, asked.window)
    outside = {row.id for row in reading.known.destination_rows if row.endpoint != ACCOUNT}
    ordered: list[Funnel] = sorted(found.destinations, key=lambda each: each.destination not in outside)
    return {
        "figures": found,
        "counted_at": found.counted_at if found.counted_at != iso(reading.now) else None,
        "funnels": [(each, each.destination in outside, plot(each.series)) for each in ordered],
        "windows": list(WINDOWS),
        "window": asked.window,
        "most_reasons": _REASONS,
        "most_events": _EVENTS,
        "troubles": find_trouble(reading),
        "most_waiting": COUNTED,
    }


def _list(reading: Reading, asked: PageQuery) -> Context:
    filters = {"status": asked.status, "destination": asked.destination, "event": asked.event}
    rows = read_list(
        reading,
        DeliveriesQuery(status=asked.status, destination=asked.destination, event=asked.event, cursor=asked.cursor),
    )
    outside = [(row.id, row.name) for row in reading.known.destination_rows if row.endpoint != ACCOUNT]
    return {
        "deliveries": rows,
        "chosen": asked,
        "filters": filters,
        "filtered": any(filters.values()),
        "destination_choices": outside,
        "destination_names": reading.known.destinations,
        "status_choices": [(status, status.capitalize()) for status in STATUSES],
    }


def _tries(attempts: list[AttemptView]) -> list[Try]:
    """Show the newest tries, the newest first."""
    shown: list[Try] = []
    last, same_as = b"", 0
    for number in range(len(attempts), max(len(attempts) - TRIES, 0), -1):
        made = attempts[number - 1]
        sent = bytes(made.request)
        if sent != last:
            last, same_as = sent, number
        shown.append(Try(number, made, pretty(made.request) if same_as == number else None, same_as))
    return shown


def _one(reading: Reading, delivery_id: str) -> Context:
    found = read_one(reading, delivery_id)
    status = STATUSES.index(found.status)
    return {
        "delivery": found,
        "name": reading.known.destinations.get(found.destination),
        "source_names": source_names(reading),
        "tries": _tries(found.attempts),
        "arrived": found.status in _ARRIVED,
        "waits": found.next_attempt is not None,
        "can": {action for action, statuses in ALLOWED.items() if status in statuses},
        "can_replay": can_replay(reading, delivery_id),
    }


@get("/deliveries", include_in_schema=False)
async def deliveries_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[PageQuery]) -> Response[str]:
    """Show figures of what came and what became of it, or the deliveries."""
    if asked.view or asked.status or asked.destination or asked.event or asked.cursor:
        return await pages.show(viewer, "delivery_list.html", "/deliveries", lambda reading: _list(reading, asked))
    return await pages.show(viewer, "deliveries.html", "/deliveries", lambda reading: _overview(reading, asked))


@get("/deliveries/{delivery_id:str}", include_in_schema=False)
async def delivery_page(pages: Given[Pages], viewer: Given[Viewer], delivery_id: Identifier) -> Response[str]:
    """Show a delivery with each try."""
    wanted = decode_id(delivery_id)
    return await pages.show(viewer, "delivery.html", "/deliveries", lambda reading: _one(reading, wanted))


@post("/deliveries/{delivery_id:str}", include_in_schema=False, status_code=303)
async def ask_form(
    viewer: Given[Viewer],
    door: Given[Door],
    delivery_id: Identifier,
    data: URLEncodedBody[AskForm],
) -> Redirect:
    """Drop a delivery, or have it tried now."""
    found = await ask(door.stores, decode_id(delivery_id), data.action, viewer.login)
    return Redirect(f"/deliveries/{segment(str(found.id))}", status_code=303)


delivery_pages = [deliveries_page, delivery_page, ask_form]
