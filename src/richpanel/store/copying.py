"""A copy of a database as it is at one instant, while others go on writing it."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from richpanel.store.database import Branch, DriverError, new_database, open_engine, plain_connection, reading
from richpanel.store.revisions import revisions

_PAGES: Final = 256
"""Pages at a time, 1 MB: between two of these the copy can wait."""
_CACHE_MIB: Final = 2


class WrongRevisionError(ValueError):
    """A database is of a revision that this version does not know: a newer one made it, or somebody else."""


@contextmanager
def frozen(url: str) -> Iterator[Connection]:
    """Give a connection to a database as it is now, for as long as this lasts.

    SQLite: others write on, into a write-ahead log that grows meanwhile.
    """
    engine = open_engine(url, read_only=True, cache_mib=_CACHE_MIB)
    try:
        with reading(engine) as connection:
            connection.execute(text("SELECT count(*) FROM sqlite_schema"))  # The first read is what fixes it.
            yield connection
    finally:
        engine.dispose()


class DatabaseDamagedError(ValueError):
    """A database that can be opened is not sound."""


def size(connection: Connection) -> int:
    """Give the bytes that a copy takes."""
    pages, each = (connection.exec_driver_sql(f"PRAGMA page_{what}").scalar_one() for what in ("count", "size"))
    return int(pages) * int(each)


def copy(connection: Connection, target: Path, spend: Callable[[int], None]) -> None:
    """Copy what a frozen connection sees into a new file; `spend` hears of the bytes of each step, and may wait.

    The file is complete and closed afterwards, but not synced. Raises OSError.
    """
    each = int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    left = [0]

    def step(_status: int, remaining: int, total: int) -> None:
        spend(each * ((left[0] or total) - remaining))
        left[0] = remaining

    try:
        with closing(new_database(target)) as copied:
            connection.connection.driver_connection.backup(copied, pages=_PAGES, progress=step)  # type: ignore[union-attr]
    except DriverError as error:
        raise OSError(f"a copy of {target.name} cannot be written: {error}") from None


def clean_copy(source: Path, target: Path) -> None:
    """Copy a database as it is now into an empty file, row by row: of what was deleted or replaced there is nothing.

    The file is complete, closed and synced afterwards. Others read and write on meanwhile. Raises OSError.
    """
    try:
        with closing(plain_connection(source)) as connection:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_MIB * 1024}")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("VACUUM INTO ?", (str(target),))
    except DriverError as error:
        raise OSError(f"a clean copy of {source.name} cannot be written: {error}") from None
    with target.open("rb") as file:
        os.fsync(file.fileno())


def revision(connection: Connection) -> str:
    """Give the revision that a database is at; `none` where it has none."""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "none")


def check(url: str, branch: Branch) -> None:
    """Read every page and every entry of every index.

    Raises WrongRevisionError, DatabaseDamagedError, sqlalchemy.exc.DatabaseError where it cannot be read at all.
    """
    with frozen(url) as connection:
        found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(3)")]
        if found != ["ok"]:
            raise DatabaseDamagedError(f"{branch}.db is damaged: {'; '.join(found)}")
        stored = revision(connection)
        if stored not in revisions(branch):
            raise WrongRevisionError(f"{branch}.db is of revision {stored}, which this version does not know")
