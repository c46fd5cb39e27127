"""REST: `/deliveries`: what is sent outside, each with its tries, and figures of it (contract.md, "REST API")."""

import re
from typing import Annotated, Final, Literal

from litestar import get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import ClientException, NotFoundException
from msgspec import Meta

from richpanel.core.retrying import STATUSES
from richpanel.store import delivery_requests
from richpanel.store.bodies import bodies_of
from richpanel.store.database import reading as snapshot
from richpanel.store.deliveries import Delivery
from richpanel.store.delivery_breakdown import by_event
from richpanel.store.delivery_figures import Counted, Overview, Span, arrived, overview
from richpanel.store.delivery_reading import DeliveryRow, DeliveryView, Which, list_deliveries, read_delivery
from richpanel.store.delivery_requests import ALLOWED, Action, Asked
from richpanel.store.ledger import refused_since
from richpanel.store.message_rows import known_id, load
from richpanel.store.outbox import numbers
from richpanel.store.paging import Page
from richpanel.web.access import AnyRequest, asker
from richpanel.web.paging import Identifier, Paged, Query, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.remembered import Figured
from richpanel.web.stores import Reading, Stores

Status = Literal["queued", "retrying", "delivered", "accepted", "superseded", "failed", "dead"]
Window = Literal["1h", "24h", "7d", "30d"]
WINDOWS: Final[dict[Window, tuple[int, int]]] = {"1h": (1, 60), "24h": (24, 48), "7d": (168, 56), "30d": (720, 60)}
"""Hours, and into how many parts they are divided."""
_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
_HOUR_MS: Final = 3_600_000
_ASKED: Final[dict[Action, str]] = {"drop": "it can be dropped", "retry": "it can be tried now"}


class DeliveriesQuery(Paged, kw_only=True):
    """Which deliveries."""

    status: Status | None = None
    destination: Annotated[str, Meta(description="The id of a destination.")] | None = None
    event: Annotated[str, Meta(description="The name of a track or page call.")] | None = None


class OverviewQuery(Query, kw_only=True):
    """Of which time."""

    window: Window = "24h"


class FoundDelivery(DeliveryView, rename="camel", kw_only=True):
    """A delivery with its tries, and whose it is: the message's id and source; null once that is not kept.

    `asked` is what somebody asks of it that is not done yet.
    """

    message_id: str | None
    source: str | None
    asked: Action | None


class NotNow(ClientException):
    """This cannot be asked of a delivery as it is."""

    status_code = 409


_RAISES: Final = [NotFoundException, NotNow]


def read_list(reading: Reading, asked: DeliveriesQuery) -> Page[DeliveryRow]:
    """Read a page of the list."""
    with snapshot(reading.deliveries) as connection:
        return answer_bad_values(
            lambda: list_deliveries(
                connection,
                reading.known.destination_ids,
                Which(asked.status, asked.destination, asked.event),
                cursor=asked.cursor,
                limit=asked.limit,
            )
        )


def read_one(reading: Reading, id: str) -> FoundDelivery:
    """Read a delivery; raises NotFoundException."""
    view, row = _found(reading, id)
    with snapshot(reading.definitions) as connection:
        asked = delivery_requests.asked_of(connection, row.id)
    there = numbers(reading.state, row.destination, [row.place]).get(row.place)
    stored = load(reading.state, [there.n]).get(there.n) if there else None
    bodies = bodies_of(reading.state, reading.bodies)
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return FoundDelivery(
        **fields,
        message_id=known_id(bodies, stored) if stored else None,
        source=reading.sources[stored.source].id if stored else None,
        asked=asked,
    )


def _found(reading: Reading, id: str) -> tuple[DeliveryView, Delivery]:
    number = int(id) if _ID.fullmatch(id) else 0
    with snapshot(reading.deliveries) as connection:
        found = read_delivery(connection, reading.known.destination_ids, number)
    if found is None:
        raise NotFoundException("There is no delivery with this id.")
    return found


async def ask(stores: Stores, id: str, action: Action, by: str) -> FoundDelivery:
    """Ask something of a delivery for somebody, which is done in a moment; raises NotFoundException and NotNow."""
    _, row = await stores.read(lambda reading: _found(reading, id))
    if row.status not in ALLOWED[action]:
        can = " or ".join(STATUSES[status] for status in sorted(ALLOWED[action]))
        raise NotNow(f"This delivery is {STATUSES[row.status]}; {_ASKED[action]} if it is {can}.")
    asked = Asked(row.id, row.destination, action, stores.now(), by)
    await stores.define(lambda conn: delivery_requests.ask(conn, asked))
    return await stores.read(lambda reading: read_one(reading, id))


def read_overview(reading: Reading, window: Window) -> Overview:
    """Read the figures of a window that ends now."""
    hours, parts = WINDOWS[window]
    since = reading.now - hours * _HOUR_MS
    counted = reading.figured(("deliveries", window), lambda look: _count(look, window)).value
    with snapshot(reading.definitions) as connection:
        private = refused_since(connection, since)
    with snapshot(reading.deliveries) as connection:
        span = Span(window, since, reading.now, parts)
        return overview(connection, counted, reading.known.destination_rows, private, span)


def _count(reading: Reading, window: Window) -> Figured[Counted]:
    """Count what came, and deliveries by event: of very many this takes a second."""
    since = reading.now - WINDOWS[window][0] * _HOUR_MS
    came = arrived(reading.state, since)
    with snapshot(reading.deliveries) as connection:
        events = by_event(connection, since)
    made = sum(sum(counts.values()) for of_one in events.values() for counts in of_one.values())
    return Figured(Counted(came, events, reading.now), reading.now, max(came.looked, made))


@get("/deliveries", operation_id="listDeliveries", tags=["Deliveries"])
async def deliveries(stores: Given[Stores], asked: Given[DeliveriesQuery]) -> Page[DeliveryRow]:
    """List what is sent to destinations outside, newest first."""
    return await stores.read(lambda reading: read_list(reading, asked))


@get("/deliveries/overview", operation_id="getDeliveryOverview", tags=["Deliveries"])
async def delivery_overview(stores: Given[Stores], asked: Given[OverviewQuery]) -> Overview:
    """Get figures of what came and what became of it, by destination."""
    return await stores.read(lambda reading: read_overview(reading, asked.window))


@get("/deliveries/{delivery_id:str}", operation_id="getDelivery", tags=["Deliveries"], raises=[NotFoundException])
async def delivery(stores: Given[Stores], delivery_id: Identifier) -> FoundDelivery:
    """Get a delivery with each try: what was sent, and what was answered."""
    return await stores.read(lambda reading: read_one(reading, decode_id(delivery_id)))


@post(
    "/deliveries/{delivery_id:str}/drop",
    operation_id="dropDelivery",
    tags=["Deliveries"],
    status_code=202,
    raises=_RAISES,
)
async def drop_delivery(request: AnyRequest, stores: Given[Stores], delivery_id: Identifier) -> FoundDelivery:
    """Drop a delivery that waits, or a dead letter.

    In a moment it is `failed` with the code `dropped`, unless it was under way and arrived: ask again. Until then
    `asked` says so. What waits behind it, of the same person, goes on.
    """
    return await ask(stores, decode_id(delivery_id), "drop", asker(request))


@post(
    "/deliveries/{delivery_id:str}/retry",
    operation_id="retryDelivery",
    tags=["Deliveries"],
    status_code=202,
    raises=_RAISES,
)
async def retry_delivery(request: AnyRequest, stores: Given[Stores], delivery_id: Identifier) -> FoundDelivery:
    """Try a delivery now that waits for its next try, and what it waits for, of the same person.

    A destination that only fails is left in peace for a while all the same: it is tried as soon as that is over.
    """
    return await ask(stores, decode_id(delivery_id), "retry", asker(request))


deliveries_api = [deliveries, delivery_overview, delivery, drop_delivery, retry_delivery]
