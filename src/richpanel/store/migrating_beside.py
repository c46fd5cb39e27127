"""Migrations on PostgreSQL, beside nodes that run, of this version and of the one before (`store.revisions.goes_on`).

Nobody is to wait for a migration: it takes its locks at once or not at all, and tries again a little later.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from richpanel import __version__
from richpanel.store.application import APPLICATION, FAMILY
from richpanel.store.bulk import fetch, run
from richpanel.store.database import Branch
from richpanel.store.revisions import ASK_STORED, RevisionError, Stored, goes_on, is_newer, revisions

PATIENCE_SECONDS: Final = 600.0
"""How long a node waits for another one that migrates, and for whoever holds a table in a long transaction."""
_LOCK_MS: Final = 500
"""How long a migration waits for a lock: whoever comes after it waits as long, and it is over before PostgreSQL looks
for a deadlock (1 s), which might end the other one."""
_PAUSE_SECONDS: Final = 1.0
_OTHERS_SECONDS: Final = 5.0
"""A command of another version that ends meanwhile, or a node that has just been stopped, is no hindrance."""
_LATER: Final = {"55P03", "40P01"}
"""What PostgreSQL calls a lock that did not come in time, and a deadlock."""
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))"
_OTHERS: Final = (
    "SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND (application_name = ? OR application_name LIKE ? || ' %') AND application_name <> ? GROUP BY 1 ORDER BY 1"
)

Upgrade = Callable[[Connection, str], None]
"""Brings the schema of a connection to a revision."""
Since = Callable[[str], str]
"""Gives the oldest revision whose versions go on with the tables of a revision."""


class _OthersRunError(Exception):
    """Nodes of other versions run, which could not go on."""


def migrate_beside(engine: Engine, branch: Branch, to: str, upgrade: Upgrade, since: Since) -> None:
    """Bring a schema to a revision, `head` or one by name, one after the other, each in a transaction of its own.

    A new schema is made in one. Of nodes that do so at the same moment one does, and the others wait for it. Where
    nodes of another version run that could not go on, nothing is done. Raises RevisionError, DBAPIError.
    """
    started = time.monotonic()
    while True:
        try:
            with engine.begin() as connection:
                if not _step(connection, branch, to, upgrade, since):
                    return
        except DBAPIError as error:
            late = time.monotonic() - started > PATIENCE_SECONDS
            if late or getattr(error.orig, "sqlstate", None) not in _LATER:
                raise
            time.sleep(_PAUSE_SECONDS)
        except _OthersRunError as error:
            if time.monotonic() - started > _OTHERS_SECONDS:
                raise RevisionError(str(error)) from None
            time.sleep(_PAUSE_SECONDS)


def _step(connection: Connection, branch: Branch, to: str, upgrade: Upgrade, since: Since) -> bool:
    """Do what comes next; tell whether there was anything to do."""
    _own_schema(connection, branch)
    there = stored(connection)
    if there is not None and is_newer(there, branch):
        if goes_on(there, branch):
            return False
        raise RevisionError(_refusal(there, branch))
    due = [
        each for each in revisions(branch) if (there is None or each > there.revision) and (to == "head" or each <= to)
    ]
    if not due:
        return False
    steps = due if there is None else due[:1]
    oldest = max(since(each) for each in steps)
    if there is not None:
        oldest = max(oldest, there.since or there.revision)
        if oldest > there.revision:
            _nobody_else(connection, steps[-1])
    run(connection, f"SET LOCAL lock_timeout = {_LOCK_MS}")
    upgrade(connection, steps[-1])
    _note(connection, oldest)
    return True


def _own_schema(connection: Connection, branch: Branch) -> None:
    """Be the only one that migrates until the transaction ends; make the schema where an administrator has not."""
    fetch(connection, _ALONE, f"richpanel migrate {branch}")
    if not fetch(connection, "SELECT 1 FROM pg_namespace WHERE nspname = ?", branch):
        connection.exec_driver_sql(f"CREATE SCHEMA {branch}")


def stored(connection: Connection) -> Stored | None:
    """Give what a schema says of its tables; None where it has none yet."""
    if not fetch(connection, "SELECT to_regclass('alembic_version')")[0][0]:
        return None
    rows: Any = fetch(connection, ASK_STORED)
    return Stored(*rows[0]) if rows else None


def _refusal(there: Stored, branch: Branch) -> str:
    by = f"version {there.version}" if there.version else "a newer version"
    return (
        f"the schema {branch} is not of this version or an older one: {by} brought it to {there.revision}, "
        f"and this one, {__version__}, cannot go on with that: install {by} on this node"
    )


def _nobody_else(connection: Connection, revision: str) -> None:
    """See that no node of another version runs, which could not go on. Raises _OthersRunError."""
    found = fetch(connection, _OTHERS, FAMILY, FAMILY, APPLICATION)
    if found:
        named = ", ".join(f"{name} ({count} connections)" for name, count in found)
        raise _OthersRunError(
            f"{revision} makes tables with which other versions cannot go on, and there are connections of {named}: "
            "stop those nodes, then start this one again"
        )


def _note(connection: Connection, since: str) -> None:
    """Note beside the revision which versions go on, and which one has migrated."""
    connection.exec_driver_sql(
        "ALTER TABLE alembic_version ADD COLUMN IF NOT EXISTS since TEXT, ADD COLUMN IF NOT EXISTS version TEXT"
    )
    run(connection, "UPDATE alembic_version SET since = ?, version = ?", since, __version__)
