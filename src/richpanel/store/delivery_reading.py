"""Deliveries as people look them up: the list, one with its tries, and those of a message (contract.md, "Bodies")."""

from collections.abc import Iterable, Mapping
from heapq import nlargest
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.retrying import STATUSES
from richpanel.core.timestamps import iso
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.deliveries import COLUMNS, FINISHED, Attempt, Delivery
from richpanel.store.paging import Page, read_cursor, write_cursor

_LOOKED_AT: Final = 100_000
_NOTHING = msgspec.Raw(b"null")


class AttemptView(msgspec.Struct, rename="camel", omit_defaults=True):
    """A try: what was sent, without key and signature, and the beginning of what was answered, where it is text."""

    at: str
    milliseconds: int
    request: msgspec.Raw
    response: str | None
    status_code: int | None = None
    code: str | None = None


class DeliveryRow(msgspec.Struct, rename="camel", kw_only=True):
    """A delivery in the list. `destination` is an id; `next_attempt` is when it is tried next, where it is.

    `dropped_by` is whoever gave it up by hand: a login, or the name of a token.
    """

    id: int
    destination: str
    status: str
    code: str | None
    event: str | None
    tries: int
    received_at: str
    finished_at: str | None
    next_attempt: str | None
    replay: str | None
    dropped_by: str | None


class DeliveryView(DeliveryRow, rename="camel", kw_only=True):
    """A delivery with its tries."""

    attempts: list[AttemptView]


class Which(NamedTuple):
    """Which deliveries: of a status, to a destination (its id), of an event's name."""

    status: str | None = None
    destination: str | None = None
    event: str | None = None


def list_deliveries(
    connection: Connection, destinations: Mapping[int, str], which: Which, *, cursor: str | None, limit: int
) -> Page[DeliveryRow]:
    """List deliveries, newest first. `destinations` are ids by number. Raises BadCursor.

    For an event's sake so many are looked through that a page may have fewer, or none, and still a next one.
    """
    after = read_cursor(cursor, int)
    before = after[0] if after else 1 << 62
    numbers = [number for number, id_ in destinations.items() if which.destination in (None, id_)]
    statuses = range(len(STATUSES)) if which.status is None else [STATUSES.index(which.status)]
    reached = None
    if which.event is not None:
        found, reached = _named(connection, which.event, (numbers, statuses), before, limit + 1)
    elif which.status is None and which.destination is None:
        rows = fetch(
            connection, f"SELECT {COLUMNS} FROM deliveries WHERE id < ? ORDER BY id DESC LIMIT ?", before, limit + 1
        )
        found = [Delivery(*row) for row in rows]
    else:
        found = nlargest(
            limit + 1,
            (Delivery(*row) for n in numbers for s in statuses for row in _newest(connection, n, s, before, limit + 1)),
            key=lambda each: each.id,
        )
    more = write_cursor(found[limit - 1].id) if len(found) > limit else None
    if more is None and reached is not None:
        more = write_cursor(reached)
    return Page([DeliveryRow(**_fields(each, destinations)) for each in found[:limit]], more)


def read_delivery(
    connection: Connection, destinations: Mapping[int, str], id: int
) -> tuple[DeliveryView, Delivery] | None:
    """Read a delivery, as shown and as it is; None where there is none with this id."""
    rows = [Delivery(*row) for row in fetch(connection, f"SELECT {COLUMNS} FROM deliveries WHERE id = ?", id)]
    if not rows:
        return None
    return _with_attempts(connection, destinations, rows)[0], rows[0]


def deliveries_at(
    connection: Connection, destinations: Mapping[int, str], places: Iterable[int]
) -> dict[int, list[DeliveryView]]:
    """Give the deliveries of messages, by their places in the log."""
    rows = [
        Delivery(*row)
        for row in fetch(
            connection, f"SELECT {COLUMNS} FROM deliveries WHERE place IN {LISTED} ORDER BY id", listed(places)
        )
    ]
    found: dict[int, list[DeliveryView]] = {}
    for row, view in zip(rows, _with_attempts(connection, destinations, rows), strict=True):
        found.setdefault(row.place, []).append(view)
    return found


def _newest(connection: Connection, destination: int, status: int, before: int, limit: int) -> Any:
    return fetch(
        connection,
        f"SELECT {COLUMNS} FROM deliveries WHERE destination = ? AND status = ? AND id < ? ORDER BY id DESC LIMIT ?",
        *(destination, status, before, limit),
    )


def _named(
    connection: Connection, event: str, among: tuple[Iterable[int], Iterable[int]], before: int, limit: int
) -> tuple[list[Delivery], int | None]:
    """Give the newest deliveries of an event below an id, and where the search stopped if it was not through.

    `among`: the numbers of destinations and the statuses that count. There is no index for events.
    """
    looked = fetch(
        connection,
        "SELECT min(id), count(*) FROM (SELECT id FROM deliveries WHERE id < ? ORDER BY id DESC LIMIT ?) looked",
        *(before, _LOOKED_AT),
    )
    reached, count = looked[0]
    rows = fetch(
        connection,
        f"SELECT {COLUMNS} FROM deliveries WHERE id < ? AND id >= ? AND event = ? "
        f"AND +destination IN {LISTED} AND +status IN {LISTED} ORDER BY id DESC LIMIT ?",
        *(before, reached or 0, event, listed(among[0]), listed(among[1]), limit),
    )
    return [Delivery(*row) for row in rows], int(reached) if count == _LOOKED_AT else None


def _with_attempts(connection: Connection, destinations: Mapping[int, str], rows: list[Delivery]) -> list[DeliveryView]:
    if not rows:
        return []
    tries: dict[int, list[AttemptView]] = {row.id: [] for row in rows}
    for delivery, *attempt in fetch(
        connection,
        "SELECT delivery, at, milliseconds, status_code, code, request, response FROM attempts "
        f"WHERE delivery IN {LISTED} ORDER BY delivery, number",
        listed(tries),
    ):
        tries[delivery].append(_attempt(Attempt(*attempt)))
    return [DeliveryView(**_fields(row, destinations), attempts=tries[row.id]) for row in rows]


def _fields(row: Delivery, destinations: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "destination": destinations.get(row.destination, ""),
        "status": STATUSES[row.status],
        "code": row.code,
        "event": row.event,
        "tries": row.attempts,
        "received_at": iso(row.received_at),
        "finished_at": None if row.finished_at is None else iso(row.finished_at),
        "next_attempt": iso(row.due_at) if row.status < FINISHED else None,
        "replay": row.replay or None,
        "dropped_by": row.dropped_by,
    }


def _attempt(made: Attempt) -> AttemptView:
    return AttemptView(
        iso(made.at),
        made.milliseconds,
        _NOTHING if made.request is None else msgspec.Raw(made.request),
        None if made.response is None else bytes(made.response).decode("utf-8", "replace"),
        made.status_code,
        made.code,
    )
