"""Migrations, run by Alembic: loaded only where one is due (`store/revisions.py`), for it takes a tenth of a second."""

from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from richpanel.store.database import Branch, open_engine

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


class RevisionError(Exception):
    """A database is at a revision that this version does not know."""


def migrate(url: str, branch: Branch, *, to: str = "head") -> None:
    """Bring a database to a revision of its branch (`richpanel migrate`); creates it where there is none.

    Raises RevisionError.
    """
    scripts = ScriptDirectory(str(_MIGRATIONS), version_locations=[str(_MIGRATIONS)])

    def upgrade(revision: Any, _context: Any) -> Any:
        return scripts._upgrade_revs(f"{branch}@{to}", revision)  # What `alembic upgrade` itself calls.

    engine = open_engine(url)
    try:
        with EnvironmentContext(Config(), scripts, fn=upgrade) as environment, engine.begin() as connection:
            environment.configure(connection=connection)
            environment.run_migrations()
    except CommandError as error:
        raise RevisionError(f"{branch}.db is not of this version or an older one: {error}") from error
    finally:
        engine.dispose()
