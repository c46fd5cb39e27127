"""Migrations, run by Alembic: loaded only where one is due (`store/revisions.py`), for it takes a tenth of a second."""

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from richpanel.store.bulk import fetch, on_postgres
from richpanel.store.database import Branch, open_engine
from richpanel.store.urls import is_postgres

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_PATIENCE: Final = 600.0
"""Seconds to wait for another node that migrates, or for a writer."""
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))"


class RevisionError(Exception):
    """A database is at a revision that this version does not know."""


def migrate(url: str, branch: Branch, *, to: str = "head") -> None:
    """Bring a database to a revision of its branch (`richpanel migrate`); creates it where there is none.

    On PostgreSQL, of nodes that do so at the same moment one does, and the others wait for it. Raises RevisionError.
    """
    scripts = ScriptDirectory(str(_MIGRATIONS), version_locations=[str(_MIGRATIONS)])

    def upgrade(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(f"{branch}@{to}", revision)  # What `alembic upgrade` itself calls.

    engine = open_engine(url, busy_seconds=_PATIENCE)
    try:
        with EnvironmentContext(Config(), scripts, fn=upgrade) as environment, engine.begin() as connection:
            if on_postgres(connection):
                _own_schema(connection, branch)
            environment.configure(connection=connection)
            environment.run_migrations()
    except CommandError as error:
        raise RevisionError(f"{_called(url, branch)} is not of this version or an older one: {error}") from error
    finally:
        engine.dispose()


def _own_schema(connection: Connection, branch: Branch) -> None:
    """Be the only one that migrates until the transaction ends; make the schema where an administrator has not."""
    fetch(connection, _ALONE, f"richpanel migrate {branch}")
    if not fetch(connection, "SELECT 1 FROM pg_namespace WHERE nspname = ?", branch):
        connection.exec_driver_sql(f"CREATE SCHEMA {branch}")


def _called(url: str, branch: Branch) -> str:
    return f"the schema {branch}" if is_postgres(url) else f"{branch}.db"
