"""A state on PostgreSQL that is made anew in a schema of its own, and takes the place of the one in force by its name.

`state_files` is the same where the state is a file. Until it is renamed the successor is nobody's: whoever finds one
that its maker has left may drop it. So does whoever erases somebody, for it may have what is to go.
"""

import time
from collections.abc import Iterable
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection, Table
from sqlalchemy.exc import OperationalError

from richpanel.store import erasing, schema
from richpanel.store.bulk import LISTED, fetch, insert, listed, run
from richpanel.store.database import open_engine
from richpanel.store.migrating import migrate
from richpanel.store.urls import schema_url

STATE: Final = "state"
SUCCESSOR: Final = "state_successor"
REPLACED: Final = "state_replaced"
_PATIENCE_MS: Final = 300
"""How long others wait for us where we wait for somebody who reads: shorter than it takes to look for deadlocks."""
_TRIES: Final = 10
_PAUSE_SECONDS: Final = 0.2
_NOT_NOW: Final = ("55P03", "40P01")
"""PostgreSQL's names of a lock that was not had in time, and of a deadlock."""
_HANDED_DOWN: Final = ("suppressed", "erasing", "progress", "applied")
_OLDER_SNAPSHOTS: Final = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND application_name = 'richpanel' AND age(backend_xmin) >= age(?::xid) "
    "AND wait_event IS DISTINCT FROM 'advisory' LIMIT 1"
)
"""Of sessions of this product. A worker that waits for its turn has a new snapshot then."""
_TABLES: Final = (
    "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = ?::regnamespace AND relkind IN ('r', 'p') "
    "AND NOT relispartition ORDER BY relname"
)


class StillReadError(Exception):
    """Somebody reads the state in force for too long, so that it cannot be replaced just now."""


def make(database_url: str) -> str:
    """Make a successor without tables, and drop what another one has left; give the word by which it is known.

    Raises DatabaseError, PermissionError.
    """
    drop(database_url)
    word = uuid4().hex
    engine = open_engine(schema_url(database_url, STATE))
    try:
        with engine.begin() as connection:
            owns = "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = ?"
            if not fetch(connection, owns, STATE)[0][0]:
                raise PermissionError(
                    f"the schema {STATE} is another user's of the database: only that one can rename it"
                )
            connection.exec_driver_sql(f"CREATE SCHEMA {SUCCESSOR}")
            connection.exec_driver_sql(f"COMMENT ON SCHEMA {SUCCESSOR} IS '{word}'")
    finally:
        engine.dispose()
    return word


def furnish(database_url: str) -> None:
    """Give it its tables, empty."""
    migrate(schema_url(database_url, SUCCESSOR), "state")


def drop(database_url: str) -> None:
    """Drop whatever is there beside the state in force. Raises DatabaseError."""
    engine = open_engine(schema_url(database_url, STATE))
    try:
        with engine.begin() as connection:
            drop_all(connection)
    finally:
        engine.dispose()


def drop_all(connection: Connection) -> None:
    """Drop whatever is there beside the state in force, in a transaction."""
    for name in (SUCCESSOR, REPLACED):
        connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def any_beside(connection: Connection) -> bool:
    """Tell whether there is anything beside the state in force."""
    asked = "SELECT 1 FROM pg_namespace WHERE nspname IN (?, ?)"
    return bool(fetch(connection, asked, SUCCESSOR, REPLACED))


def is_there(connection: Connection, word: str) -> bool:
    """Tell whether the successor is the one that was made under this word."""
    asked = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = ?"
    return [row[0] for row in fetch(connection, asked, SUCCESSOR)] == [word]


def is_of_one_version(connection: Connection) -> bool:
    """Tell whether the successor is at the revision of the state in force."""
    ours, theirs = (fetch(connection, f"SELECT version_num FROM {name}.alembic_version") for name in (STATE, SUCCESSOR))
    return bool(ours == theirs)


def stop_writers(connection: Connection) -> None:
    """Let nobody write what is handed down until the transaction ends; workers are held otherwise (`store.turns`).

    Raises StillReadError where somebody does for long.
    """
    _lock(connection, [f"{STATE}.{name}" for name in (*_HANDED_DOWN, "counters")], "SHARE")


def keep_others_out(connection: Connection, handed_down: str) -> None:
    """Wait until nobody reads the state in force, and let nobody begin until the transaction ends.

    Whoever reads in one transaction must not find one half of it here and the other there: numbers mean somebody else
    there. Those who come meanwhile wait, and find the new one; all of it, if their snapshot is younger than what was
    handed down. Raises StillReadError.
    """
    _lock(connection, [f"{STATE}.{name}" for (name,) in fetch(connection, _TABLES, STATE)], "ACCESS EXCLUSIVE")
    if fetch(connection, _OLDER_SNAPSHOTS, handed_down):
        raise StillReadError("somebody reads the state with an older snapshot")


def _lock(connection: Connection, tables: list[str], mode: str) -> None:
    ((before,),) = fetch(connection, "SELECT current_setting('lock_timeout')")
    for left in reversed(range(_TRIES)):
        inner = connection.begin_nested()
        try:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_PATIENCE_MS}")
            connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN {mode} MODE")
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{before}'")
        except OperationalError as error:
            inner.rollback()
            if getattr(error.orig, "sqlstate", None) not in _NOT_NOW:
                raise
            if not left:
                raise StillReadError("somebody reads the state for long, an export perhaps") from None
            time.sleep(_PAUSE_SECONDS)
        else:
            inner.commit()
            return


def hand_down(new: Connection, owed: Iterable[tuple[int, int]]) -> str:
    """Write into the successor what no record tells: who is kept out, what is owed, and which records are applied.

    Others are kept from writing it meanwhile. Can be done again; it is committed before the switch, so that whoever
    waits for that already sees it. `owed` are bodies (place, size) that are to be erased as well. Gives the id of the
    transaction.
    """
    for name in _HANDED_DOWN:
        _copy(new, name)
    for name in ("suppressed", "erasing"):
        fetch(
            new,
            "SELECT setval(pg_get_serial_sequence(?, 'id'), nextval(pg_get_serial_sequence(?, 'id')))",
            *(f"{SUCCESSOR}.{name}", f"{STATE}.{name}"),
        )
    erasing.add(new, owed)
    return str(fetch(new, "SELECT pg_current_xact_id()::xid::text")[0][0])


def hand_down_counts(old: Connection, new: Connection) -> None:
    """Write the counts of discards of those sources some of whose discards were let go of: nothing tells of those."""
    let_go = "source IN (SELECT source FROM counters WHERE what = 'discards_dropped')"
    rows = fetch(old, f"SELECT source, what, count FROM counters WHERE what LIKE 'discard%' AND {let_go}")
    sources = {row[0] for row in rows}
    run(new, f"DELETE FROM counters WHERE what LIKE 'discard%' AND source IN {LISTED}", listed(sources))
    insert(new, schema.counters, [tuple(row) for row in rows])


def _copy(new: Connection, name: str) -> None:
    table: Table = getattr(schema, name)
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    run(new, f"DELETE FROM {name}")
    run(new, f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {STATE}.{name}")


def rename(connection: Connection) -> None:
    """Let the successor be the state in force; what it replaced is `REPLACED`, to be dropped afterwards.

    Statements that others have prepared are made again by the names: PostgreSQL sees to it.
    """
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {SUCCESSOR} IS NULL")
    connection.exec_driver_sql(f"ALTER SCHEMA {STATE} RENAME TO {REPLACED}")
    connection.exec_driver_sql(f"ALTER SCHEMA {SUCCESSOR} RENAME TO {STATE}")
