"""Retention of deliveries: what is finished goes after a while with its tries, some at a time; dead letters stay.

What goes are persons' values: each try has what was sent. The cursors stay, so nothing is taken over again. Figures are
added up instead, under no minute, so that what counts them only ever grows.
"""

from typing import Final

from sqlalchemy import Connection, Table

from richpanel.store import delivery_schema as schema
from richpanel.store.bulk import fetch, insert, run
from richpanel.store.deliveries import ACCEPTED, DELIVERED, FAILED, SUPERSEDED, remove

GOING: Final = (DELIVERED, ACCEPTED, SUPERSEDED, FAILED)
_NO_MINUTE: Final = 0


def drop_finished(connection: Connection, destination: int, *, before: int, limit: int) -> int:
    """Remove deliveries that were finished before an instant (ms UTC), the oldest ones; give how many went.

    The caller commits, and asks again while it gets as many as it asked for.
    """
    gone = 0
    for status in GOING:
        rows = fetch(
            connection,
            "SELECT id, finished_at FROM deliveries WHERE destination = ? AND status = ? ORDER BY id LIMIT ?",
            *(destination, status, limit - gone),
        )
        ids = [id_ for id_, finished_at in rows if finished_at is not None and finished_at < before]
        remove(connection, ids)
        gone += len(ids)
        if gone >= limit:
            break
    return gone


def add_up(connection: Connection, destination: int, *, before: int, limit: int) -> int:
    """Add up figures of the minutes before an instant (ms UTC), the oldest ones; give how many rows went."""
    gone = 0
    for table in (schema.figures, schema.latencies):
        gone += _add_up(connection, table, destination, before, limit - gone)
        if gone >= limit:
            break
    return gone


def _add_up(connection: Connection, table: Table, destination: int, before: int, limit: int) -> int:
    ((last,),) = fetch(
        connection,
        f"SELECT max(minute) FROM (SELECT minute FROM {table.name} WHERE destination = ? AND minute > ? AND minute < ? "
        "ORDER BY minute LIMIT ?) AS oldest",
        *(destination, _NO_MINUTE, before, limit),
    )
    if last is None:
        return 0
    kinds = ", ".join(column.name for column in table.columns if column.name not in ("destination", "minute", "count"))
    asked = f"FROM {table.name} WHERE destination = ? AND minute > ? AND minute <= ?"
    rows = fetch(connection, f"SELECT {kinds}, sum(count) {asked} GROUP BY {kinds}", *(destination, _NO_MINUTE, last))
    insert(
        connection,
        table,
        sorted((destination, _NO_MINUTE, *row[:-1], int(row[-1])) for row in rows),
        plus="count",
    )
    return run(connection, f"DELETE {asked}", *(destination, _NO_MINUTE, last))
