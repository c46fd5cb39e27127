"""Migrations, run by Alembic: loaded only where one is due (`store/revisions.py`), for it takes a tenth of a second."""

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from richpanel.store.database import Branch, open_engine
from richpanel.store.migrating_beside import migrate_beside
from richpanel.store.revisions import RevisionError as RevisionError
from richpanel.store.urls import is_postgres

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_PATIENCE: Final = 600.0
"""Seconds to wait for a writer, or another node that migrates."""


def migrate(url: str, branch: Branch, *, to: str = "head") -> None:
    """Bring a database to a revision of its branch (`richpanel migrate`); creates it where there is none.

    On PostgreSQL nodes of this version and of the one before may run meanwhile (`store.migrating_beside`), and tables
    of a newer version stay as they are where this one goes on with them. Raises RevisionError.
    """
    scripts = ScriptDirectory(str(_MIGRATIONS), version_locations=[str(_MIGRATIONS)])

    def upgrade(connection: Connection, revision: str) -> None:
        _upgrade(scripts, connection, f"{branch}@{revision}")

    def since(revision: str) -> str:
        return str(getattr(scripts.get_revision(revision).module, "compatible_since", revision))

    engine = open_engine(url, busy_seconds=_PATIENCE)
    try:
        if is_postgres(url):
            migrate_beside(engine, branch, to, upgrade, since)
        else:
            with engine.begin() as connection:
                upgrade(connection, to)
    except CommandError as error:
        raise RevisionError(f"{_called(url, branch)} is not of this version or an older one: {error}") from error
    finally:
        engine.dispose()


def _upgrade(scripts: ScriptDirectory, connection: Connection, destination: str) -> None:
    def steps(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(destination, revision)  # What `alembic upgrade` itself calls.

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


def _called(url: str, branch: Branch) -> str:
    return f"the schema {branch}" if is_postgres(url) else f"{branch}.db"
