"""Revisions: whether a data directory is ready for this version, asked without what making it ready would load.

The parent of a server asks at every start, so this needs nothing but a driver. It is the one that all others use: two
SQLites in one process take each other's locks away.
"""

import hmac
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from richpanel.store.driver import sqlite3
from richpanel.store.secret_key import fingerprint, read_key

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_SECONDS: Final = 5.0
STORED: Final = "version_num, to_jsonb(alembic_version) ->> 'since', to_jsonb(alembic_version) ->> 'version'"
"""What makes a `Stored` of PostgreSQL's `alembic_version`; the last two are null where there is no such column yet."""
ASK_STORED: Final = f"SELECT {STORED} FROM alembic_version"


class RevisionError(Exception):
    """A database is at a revision that this version does not know."""


class Stored(NamedTuple):
    """What a schema of PostgreSQL's says of its tables."""

    revision: str
    since: str | None
    """The oldest revision whose versions go on with them."""
    version: str | None
    """The version that brought them to it."""


def revisions(branch: str) -> list[str]:
    """Name the revisions of a branch that this version knows, the oldest first."""
    return sorted(path.stem for path in _MIGRATIONS.glob(f"{branch}_*.py"))


def newest(branch: str) -> str:
    """Name the revision at which this version wants the databases of a branch."""
    return revisions(branch)[-1]


def is_newer(stored: Stored, branch: str) -> bool:
    """Whether a schema's tables are of a version that is newer than this one."""
    return stored.revision > newest(branch)


def goes_on(stored: Stored, branch: str) -> bool:
    """Whether this version may work with a schema's tables: they are its own, or newer ones that say so."""
    if not is_newer(stored, branch):
        return stored.revision == newest(branch)
    return stored.since is not None and stored.since <= newest(branch)


def is_ready(directory: Path, database_url: str | None, *, secret_key: str | None, needs_login: bool) -> bool:
    """Whether `store.preparing` would find nothing to do.

    `secret_key`: the one that is a setting, else there must be a file of it. `needs_login`: somebody must be able to
    sign in.
    """
    try:
        key = read_key(directory, secret_key)
    except OSError:
        return False
    if key is None:
        return False
    wanted = "EXISTS (SELECT 1 FROM account) AND " + ("EXISTS (SELECT 1 FROM users)" if needs_login else "1 = 1")
    columns = f"{wanted}, (SELECT hash_key FROM account), (SELECT fingerprint FROM secret_key)"
    found = _ask(directory, database_url, "account", columns)
    if found is None or not found[0] or found[2] is None:
        return False
    if not hmac.compare_digest(fingerprint(key, bytes(found[1])), bytes(found[2])):
        return False
    return all(_ask(directory, database_url, branch, "1") is not None for branch in ("state", "delivery"))


def is_newest(path: Path, branch: str) -> bool:
    """Whether a database's file is there, and at the revision that this version wants."""
    return _at_newest(_ask_file(path, _question("1")), branch) is not None


def holds_account(database_url: str) -> bool:
    """Whether there is an account in a database of PostgreSQL's. Raises ConnectionError where it does not answer."""
    from richpanel.store import postgres_driver as driver  # Loaded where it is used.

    try:
        with closing(driver.connect(database_url, "account", seconds=_SECONDS)) as connection:
            return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM account)").fetchall()[0][0])
    except driver.NotThere:
        return False
    except driver.SharedSessionsError as error:
        raise ConnectionError(driver.reason(error)) from None
    except driver.DriverError as error:
        raise ConnectionError(f"the database does not answer: {driver.reason(error)}") from None


def _ask(directory: Path, database_url: str | None, branch: str, columns: str) -> Sequence[Any] | None:
    """Give columns from a database with whose tables this version works; None where it does not."""
    if database_url is None:
        return _at_newest(_ask_file(directory / f"{branch}.db", _question(columns)), branch)
    rows = _ask_schema(database_url, branch, f"SELECT {STORED}, {columns} FROM alembic_version")
    return rows[0][3:] if len(rows) == 1 and goes_on(Stored(*rows[0][:3]), branch) else None


def _question(columns: str) -> str:
    return f"SELECT version_num, {columns} FROM alembic_version"


def _at_newest(rows: Sequence[Sequence[Any]], branch: str) -> Sequence[Any] | None:
    return rows[0][1:] if len(rows) == 1 and rows[0][0] == newest(branch) else None


def _ask_file(path: Path, question: str) -> Sequence[Sequence[Any]]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            found: Sequence[Sequence[Any]] = connection.execute(question).fetchall()
            return found
    except sqlite3.OperationalError:  # No such file or no such table.
        return ()


def _ask_schema(url: str, schema: str, question: str) -> Sequence[Sequence[Any]]:
    from richpanel.store.postgres_driver import DriverError, connect  # Loaded where it is used.

    try:
        with closing(connect(url, schema, seconds=_SECONDS)) as connection:
            return connection.execute(question).fetchall()
    except DriverError:  # No such table, or no answer, of which `store.preparing` tells.
        return ()
