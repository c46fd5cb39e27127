"""Samples: how the system stood, by the minute for a day and by the hour for a month (lag, sizes, room on the disk).

A lag is of the clock and not of the messages, so it is no part of the state (`semantics.md` 1); it stands with the
definitions, written by the one node that watches.
"""

from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.store.bulk import fetch, on_postgres, run

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
_MINUTES_FOR: Final = 25 * HOUR_MS
_HOURS_FOR: Final = 31 * 24 * HOUR_MS


class Sample(NamedTuple):
    """How the system stood in a minute that began `at` (ms UTC); `lag_ms` is the most within it.

    `free_bytes` are what the disk of the data directory has left, of `disk_bytes`. `kept_since` is `receivedAt` of the
    oldest record that is kept (ms UTC): so far back goes a replay or a rebuild; None where there is none.
    """

    at: int
    lag_ms: int = 0
    log_bytes: int = 0
    state_bytes: int = 0
    free_bytes: int = 0
    disk_bytes: int = 0
    kept_since: int | None = None


_COLUMNS: Final = ", ".join(Sample._fields)


def note(connection: Connection, sample: Sample) -> None:
    """Write a minute's sample, and thin out what is old."""
    run(
        connection,
        f"INSERT INTO samples ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (at) DO UPDATE SET lag_ms = CASE WHEN excluded.lag_ms > samples.lag_ms THEN excluded.lag_ms "
        "ELSE samples.lag_ms END, log_bytes = excluded.log_bytes, state_bytes = excluded.state_bytes, "
        "free_bytes = excluded.free_bytes, disk_bytes = excluded.disk_bytes, kept_since = excluded.kept_since",
        *(sample.at - sample.at % MINUTE_MS, *sample[1:]),
    )
    run(
        connection,
        "DELETE FROM samples WHERE at < ? OR at < ? AND at % ? <> 0",
        *(sample.at - _HOURS_FOR, sample.at - _MINUTES_FOR, HOUR_MS),
    )


def since(connection: Connection, at: int) -> list[Sample]:
    """Give the samples from an instant (ms UTC) on, the oldest first."""
    rows = fetch(
        connection,
        f"SELECT {_COLUMNS} FROM samples WHERE at >= ? ORDER BY at",
        at,
    )
    return [Sample(*row) for row in rows]


def newest(connection: Connection) -> Sample | None:
    """Give the last sample."""
    rows = fetch(
        connection,
        f"SELECT {_COLUMNS} FROM samples ORDER BY at DESC LIMIT 1",
    )
    return Sample(*rows[0]) if rows else None


def size_of_state(connection: Connection) -> int:
    """Give the bytes that the state takes on disk, without what SQLite has still to move out of its own log."""
    if not on_postgres(connection):
        pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        return int(fetch(connection, pages)[0][0])
    of_schema = (
        "SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class "
        "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'"
    )
    return int(fetch(connection, of_schema)[0][0])
