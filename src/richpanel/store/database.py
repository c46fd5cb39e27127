"""Connections to the databases of a data directory: `account` (definitions), `state` (the fold), `delivery` (tries).

They are three files because they have three writers: pages and commands write definitions, the processing role alone
writes the state, whose transactions can be long, and the delivering role what became of each delivery; and because the
state can be thrown away and folded again from the log, which what was sent cannot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.pool import QueuePool

from richpanel.store.driver import file_at, sqlite3

Branch = Literal["account", "state", "delivery"]
SQLITE_VERSION: Final[str] = sqlite3.sqlite_version
DriverError: Final[type[Exception]] = sqlite3.Error
"""What SQLite's driver raises where it is used without SQLAlchemy."""
_AUTOCHECKPOINT_PAGES: Final = 65_536  # A last resort at 256 MB: `store.checkpoints` comes long before.
_ACCOUNT: Final = "account.db"
_DELIVERY: Final = "delivery.db"
_CONNECTIONS: Final = 16
_WAL_BYTES: Final = 128 << 20
"""A write-ahead log that grew beyond this is cut once it starts over. `store.checkpoints` holds it far shorter, and to
write where a file is long already costs the disk less."""


def sqlite_url(directory: Path, branch: Branch) -> str:
    """Give the URL of a branch's SQLite file in a data directory."""
    return f"sqlite:///{directory / f'{branch}.db'}"


def open_engine(url: str, *, read_only: bool = False, cache_mib: int = 16, busy_seconds: float = 10.0) -> Engine:
    """Open a database of either engine. SQLite: WAL, foreign keys on, explicit BEGIN.

    A commit of definitions is on disk when it returns (`synchronous=FULL`). One of the state need not be (`NORMAL`):
    what a power cut takes of it is folded again from the log, which is the promise.

    `read_only` connections refuse every write. `cache_mib` is the page cache of each connection. Where another file has
    taken the place of the one that a pooled connection has open (docs/decisions/0010), that connection is made anew.

    PostgreSQL (`store.postgres.schema_url`): every commit is on disk when it returns; `busy_seconds` is how long a
    statement waits for others' locks.
    """
    if url.startswith("postgresql"):
        from richpanel.store.postgres import open_postgres  # Loaded where it is used: 8 MB that SQLite can do without.

        return open_postgres(url, read_only=read_only, busy_seconds=busy_seconds)
    engine = create_engine(
        url,
        module=sqlite3,
        poolclass=QueuePool,
        pool_size=4,
        pool_use_lifo=True,  # A connection has a page cache of its own: few of them, and warm.
        max_overflow=12,
        connect_args={"check_same_thread": False, "timeout": busy_seconds},
        hide_parameters=True,  # An error's text may be logged or shown, and its parameters are people's ids and values.
    )

    overwrites = Path(engine.url.database or "").name in (_DELIVERY, _ACCOUNT)
    synchronous = "FULL" if Path(engine.url.database or "").name == _ACCOUNT else "NORMAL"

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # We say BEGIN ourselves: the driver's own timing is a legacy.
        for pragma in (
            "journal_mode = WAL",
            f"synchronous = {synchronous}",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            f"cache_size = -{cache_mib * 1024}",
            f"wal_autocheckpoint = {_AUTOCHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_BYTES}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if overwrites:
            connection.execute("PRAGMA secure_delete = ON")  # No clean copy replaces these, as it does the state.
        if read_only:
            connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    if engine.url.database:
        _follow_file(engine, engine.url.database)
    return engine


def new_database(path: Path) -> Any:
    """Open a new file, to copy a database into, by the driver alone: nothing of it counts before it is complete."""
    made = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF"):
        made.execute(f"PRAGMA {pragma}")
    return made


def plain_connection(path: Path) -> Any:
    """Open a database that is in use by the driver alone, outside of every transaction."""
    return sqlite3.connect(path, isolation_level=None, timeout=10.0)


def _follow_file(engine: Engine, path: str) -> None:
    """Let a connection be used only while its file is the one that the path means."""

    @event.listens_for(engine, "do_connect")
    def _note(_dialect: Any, record: Any, _args: Any, _parameters: Any) -> None:
        record.info["file"] = file_at(path)  # Before it is opened: a switch in between is noticed at the first use.

    @event.listens_for(engine, "checkout")
    def _compare(_connection: Any, record: Any, _proxy: Any) -> None:
        if (now := file_at(path)) is not None and record.info.get("file") not in (None, now):
            raise DisconnectionError("another file has taken this one's place")


def is_unreachable(error: Exception) -> bool:
    """Tell whether an error says that PostgreSQL cannot be used just now, and nothing of what it was asked."""
    if isinstance(error, DBAPIError) and type(error.orig).__module__.partition(".")[0] == "psycopg":
        return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    return isinstance(error, NoConnection)


class Changes:
    """Whether anything was committed to a database since that was asked last, for some 20 us; to look costs a hundred.

    What this process commits by the connection that is asked is not noticed. Of PostgreSQL it is never known.
    """

    def __init__(self, engine: Engine) -> None:
        """Have asked nothing."""
        self._engine = engine
        self._seen: dict[int, tuple[Any, int]] = {}

    def any(self) -> bool:
        """Tell whether there may be any; ask before what may have changed is read."""
        if self._engine.dialect.name != "sqlite":
            return True
        pooled = self._engine.raw_connection()
        try:
            driver = pooled.driver_connection
            if driver is None:
                return True
            now = driver, int(driver.execute("PRAGMA data_version").fetchone()[0])
        finally:
            pooled.close()
        before = self._seen.get(id(driver))
        if before == now:
            return False
        if len(self._seen) > _CONNECTIONS:
            self._seen.clear()
        self._seen[id(driver)] = now
        return True


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection whose statements all see one snapshot."""
    with engine.connect() as connection:
        yield connection
