"""Revisions: whether a data directory is ready for this version, asked without what making it ready would load.

The parent of a server asks at every start, so this needs nothing but Python's own SQLite.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

_MIGRATIONS: Final = Path(__file__).parent / "migrations"
_KEY_FILE: Final = "secret.key"


def revisions(branch: str) -> list[str]:
    """Name the revisions of a branch that this version knows, the oldest first."""
    return sorted(path.stem for path in _MIGRATIONS.glob(f"{branch}_*.py"))


def newest(branch: str) -> str:
    """Name the revision at which this version wants the databases of a branch."""
    return revisions(branch)[-1]


def is_ready(directory: Path, *, has_key: bool, needs_login: bool) -> bool:
    """Whether `store.preparing` would find nothing to do.

    `has_key`: the secret key is a setting, so there need be no file of it. `needs_login`: somebody must be able to sign
    in.
    """
    if not has_key and not (directory / _KEY_FILE).exists():
        return False
    wanted = "EXISTS (SELECT 1 FROM account) AND " + ("EXISTS (SELECT 1 FROM users)" if needs_login else "1")
    return _holds(directory / "account.db", "account", wanted) and is_newest(directory / "state.db", "state")


def is_newest(path: Path, branch: str) -> bool:
    """Whether a database is there, and at the revision that this version wants."""
    return _holds(path, branch, "1")


def _holds(path: Path, branch: str, condition: str) -> bool:
    """Whether a database is at the newest revision and a condition holds in it."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
            found = connection.execute(f"SELECT version_num, {condition} FROM alembic_version").fetchall()
    except sqlite3.OperationalError:  # No such file or no such table.
        return False
    return found == [(newest(branch), 1)]
