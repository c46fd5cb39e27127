"""REST: `/deliveries`: what is sent outside, each with its tries, and figures of it (contract.md, "REST API")."""

import re
from typing import Annotated, Final, Literal

from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from msgspec import Meta

from richpanel.store.bodies import bodies_of
from richpanel.store.database import reading as snapshot
from richpanel.store.delivery_figures import Overview, arrived, overview
from richpanel.store.delivery_reading import DeliveryRow, DeliveryView, list_deliveries, read_delivery
from richpanel.store.ledger import refused_since
from richpanel.store.message_rows import known_id, load
from richpanel.store.outbox import numbers
from richpanel.store.paging import Page
from richpanel.web.paging import Identifier, Paged, Query, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

Status = Literal["queued", "retrying", "delivered", "accepted", "superseded", "failed", "dead"]
Window = Literal["1h", "24h", "7d", "30d"]
WINDOWS: Final[dict[Window, int]] = {"1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24}
"""Hours."""
_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
_HOUR_MS: Final = 3_600_000


class DeliveriesQuery(Paged, kw_only=True):
    """Which deliveries."""

    status: Status | None = None
    destination: Annotated[str, Meta(description="The id of a destination.")] | None = None


class OverviewQuery(Query, kw_only=True):
    """Of which time."""

    window: Window = "24h"


class FoundDelivery(DeliveryView, rename="camel", kw_only=True):
    """A delivery with its tries, and whose it is: the message's id and source; null once that is not kept."""

    message_id: str | None
    source: str | None


def read_list(reading: Reading, asked: DeliveriesQuery) -> Page[DeliveryRow]:
    """Read a page of the list."""
    with snapshot(reading.deliveries) as connection:
        return answer_bad_values(
            lambda: list_deliveries(
                connection,
                reading.known.destination_ids,
                status=asked.status,
                destination=asked.destination,
                cursor=asked.cursor,
                limit=asked.limit,
            )
        )


def read_one(reading: Reading, id: str) -> FoundDelivery:
    """Read a delivery; raises NotFoundException."""
    number = int(id) if _ID.fullmatch(id) else 0
    with snapshot(reading.deliveries) as connection:
        found = read_delivery(connection, reading.known.destination_ids, number)
    if found is None:
        raise NotFoundException("There is no delivery with this id.")
    view, row = found
    there = numbers(reading.state, row.destination, [row.place]).get(row.place)
    stored = load(reading.state, [there.n]).get(there.n) if there else None
    bodies = bodies_of(reading.state, reading.bodies)
    fields = {name: getattr(view, name) for name in view.__struct_fields__}
    return FoundDelivery(
        **fields,
        message_id=known_id(bodies, stored) if stored else None,
        source=reading.sources[stored.source].id if stored else None,
    )


def read_overview(reading: Reading, window: Window) -> Overview:
    """Read the figures of a window that ends now."""
    since = reading.now - WINDOWS[window] * _HOUR_MS
    came = arrived(reading.state, since)
    with snapshot(reading.definitions) as connection:
        private = refused_since(connection, since)
    with snapshot(reading.deliveries) as connection:
        return overview(connection, came, reading.known.destination_rows, private, window=window, since=since)


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


deliveries_api = [deliveries, delivery_overview, delivery]
