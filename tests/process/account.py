"""An account in a data directory of its own: records go into its log, batches of them into its state."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine

from richpanel.core import record
from richpanel.core.record import Discard, Meta
from richpanel.core.timestamps import iso
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.process.batch import Applied
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.store import definitions, schema
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.bulk import fetch, run
from richpanel.store.connectors import add_connector
from richpanel.store.database import open_engine
from richpanel.store.destinations import DestinationChanges, list_destinations, update_destination
from richpanel.store.directory import DataDirectory
from richpanel.store.postgres import schema_url
from richpanel.store.preparing import prepare
from richpanel.store.sources import SourceRow, add_source, list_sources
from tests.postgres_server import PostgresServer

on_sqlite = pytest.mark.parametrize("template", ["sqlite"], indirect=True)
"""For what SQLite alone does: its files, and a log that is there for good."""
on_postgres = pytest.mark.parametrize("template", ["postgresql"], indirect=True)

_TABLES = (
    "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = 'state'::regnamespace AND relkind IN ('r', 'p') "
    "AND NOT relispartition AND relname <> 'alembic_version'"
)
_ASIDE = "aside"
"""The schema that has the definitions as they were."""
T0 = 1_760_000_000_000
"""When everything begins, ms UTC: 2025-10-09T08:53:20Z."""
MINUTE = 60_000
ARRIVAL = T0 + 30 * 24 * 60 * MINUTE
"""When the first record arrives unless it says otherwise: long after all that a test tells of."""

Json = Mapping[str, Any]


def at(minutes: float) -> str:
    """The timestamp so many minutes after the beginning."""
    return iso(T0 + round(minutes * MINUTE))


@dataclass
class Arrived:
    """A record: what one request brought. `at` is its receivedAt; where 0, a second after the one before."""

    items: Sequence[Json | bytes]
    source: str = "Website"
    at: int = 0
    door: str = "tracking"
    discards: Sequence[tuple[Discard, bytes]] = ()
    meta: Json = field(default_factory=dict)


class Account:
    """An account's data directory. Its sources: Website (web), App (mobile), Backend (server) and Channels, all of one
    shop, and Outlet (web), which is connected to the connector of a second shop."""

    def __init__(self, path: Path, database: "Database | None" = None) -> None:
        """Definitions and state are files in the directory, or schemas of a database of a PostgreSQL server."""
        self.directory = DataDirectory(path, None if database is None else database.url)
        self.database = database
        self.reader = SegmentReader(self.directory.log)
        self.account_engine = open_engine(self.directory.account_url, cache_mib=1)
        self.state_engine = open_engine(self.directory.state_url, cache_mib=1, busy_seconds=0.2)
        self.worker = self._worker()
        self.arrivals = 0
        with self.account_engine.connect() as connection:
            self.settings: AccountSettings = read_account(connection)
            rows = list_sources(connection)
        self.sources = {row.number: row for row in rows}
        self.by_name = {row.name: row for row in rows if row.type != "segment"}

    def _worker(self) -> Worker:
        return Worker(self.reader, self.state_engine, Watch(self.account_engine))

    def source(self, name: str = "Website") -> SourceRow:
        """A source by name."""
        return self.by_name[name]

    def write(self, records: Iterable[Arrived]) -> None:
        """Append records to the log, in this order."""
        payloads = [self._payload(each) for each in records]

        async def append() -> None:
            writer = SegmentWriter.open(self.directory.log)
            await asyncio.gather(*(writer.append(payload) for payload in payloads))
            await writer.close()

        asyncio.run(append())

    def _payload(self, arrived: Arrived) -> list[bytes]:
        arrived.at = arrived.at or ARRIVAL + self.arrivals * 1000
        self.arrivals += 1
        items = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in arrived.items]
        items += [payload for _, payload in arrived.discards]
        discards = [discard for discard, _ in arrived.discards]
        meta = Meta(arrived.at, self.source(arrived.source).id, [], arrived.door, discards=discards, **arrived.meta)
        return record.encode(meta, items)

    def step(self, max_bytes: int = 1 << 20) -> Applied | None:
        """Apply one batch."""
        return self.worker.step(max_bytes)

    def process(self, max_bytes: int = 1 << 20) -> int:
        """Apply all that waits; tell in how many batches."""
        batches = 0
        while self.step(max_bytes) is not None:
            batches += 1
        return batches

    def restart(self) -> None:
        """Go on with a worker that remembers nothing."""
        self.worker = self._worker()

    def send(self, *items: Json, source: str = "Website", door: str = "tracking") -> None:
        """One record with these items, applied at once."""
        self.write([Arrived(items, source, door=door)])
        self.process()

    def state(self) -> Connection:
        """A connection to the state; the caller closes it."""
        return self.state_engine.connect()

    def read(self, look: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call one of the store's read functions that take a connection first."""
        with self.state() as connection:
            return look(connection, *args, **kwargs)

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Query the state's tables."""
        with self.state() as connection:
            return [tuple(row) for row in fetch(connection, statement, *parameters)]

    def change(self, statement: str, *parameters: Any) -> int:
        """Change the state's tables by hand; tell how many rows."""
        with self.state_engine.begin() as connection:
            return run(connection, statement, *parameters)

    def empty(self) -> None:
        """Leave nothing in the state."""
        tables = [*schema.metadata.tables, schema.SEARCH, *(("bodies",) if self.database else ())]
        for table in tables:
            self.change(f"DELETE FROM {table}")

    def copy(self, path: Path) -> "Account":
        """An account that is as this one is now."""
        self.account_engine.dispose()
        self.state_engine.dispose()
        return copy_of(Template(self.directory.path, self.database, is_empty=False), path)

    def close(self) -> None:
        """Let go of files and connections."""
        self.reader.close()
        self.account_engine.dispose()
        self.state_engine.dispose()
        if self.database is not None:
            self.database.drop()


@dataclass
class Database:
    """A database of a PostgreSQL server, made here for an account."""

    server: PostgresServer
    name: str
    spare: list[str] = field(default_factory=list)
    """Databases that were like this one when they were made, and are needed no more."""
    back_to: list[str] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return self.server.url(self.name)

    @property
    def state_url(self) -> str:
        """Where the state is."""
        return schema_url(self.url, "state")

    def copy(self) -> "Database":
        """Make a database that is as this one is now; nobody may be connected to it."""
        name = f"state_{uuid4().hex}"
        self.server.create(name, self.name)
        return Database(self.server, name)

    def fresh(self) -> "Database":
        """Give one like this, with an empty state: one that was used and is cleared: making one takes longer."""
        if not self.spare:
            return replace(self.copy(), back_to=self.spare)
        found = Database(self.server, self.spare.pop(), back_to=self.spare)
        engine = open_engine(found.state_url)
        with engine.begin() as connection:
            for (table,) in fetch(connection, _TABLES):
                run(connection, f"DELETE FROM {table}")
            connection.exec_driver_sql(_as_before())
        engine.dispose()
        return found

    def drop(self) -> None:
        """Remove it, or put it aside."""
        if self.back_to is None:
            self.server.drop(self.name)
        else:
            self.back_to.append(self.name)


@cache
def _as_before() -> str:
    """Give the statements that bring the definitions back to what `make_template` has put aside."""
    statements = ["SET LOCAL session_replication_role = replica"]  # Whatever refers to whatever.
    for table in definitions.metadata.sorted_tables:
        statements += [
            f'DELETE FROM account."{table.name}"',
            f'INSERT INTO account."{table.name}" TABLE {_ASIDE}."{table.name}"',
        ]
        statements += [
            f"SELECT setval(pg_get_serial_sequence('account.{table.name}', '{column.name}'), "
            f'coalesce(max({column.name}), 0) + 1, false) FROM account."{table.name}"'
            for column in table.columns
            if column.identity is not None
        ]
    return "; ".join(statements)


class Template(NamedTuple):
    """A data directory that accounts are copied from, and on PostgreSQL the database beside it."""

    path: Path
    database: Database | None = None
    is_empty: bool = True


def make_template(path: Path, server: PostgresServer | None = None) -> Template:
    """Make what accounts are copied from: migrations take longer than a test."""
    database = None
    if server is not None:
        database = Database(server, f"state_{uuid4().hex}")
        server.create(database.name)
    directory = DataDirectory(path, None if database is None else database.url)
    box = prepare(directory)
    engine: Engine = open_engine(directory.account_url)
    with engine.begin() as connection:
        add_source(connection, "App", "mobile", now=1)
        add_source(connection, "Backend", "server", now=1)
        add_connector(connection, box, "Second shop", now=1)
        outlet = add_source(connection, "Outlet", "web", now=1, connect=False)
        second = list_destinations(connection)[1]
        update_destination(connection, box, second.id, DestinationChanges(sources=[outlet.id]))
        if database is not None:
            connection.exec_driver_sql(f"CREATE SCHEMA {_ASIDE}")
            for table in definitions.metadata.sorted_tables:
                connection.exec_driver_sql(f'CREATE TABLE {_ASIDE}."{table.name}" AS TABLE account."{table.name}"')
    engine.dispose()
    return Template(path, database)


def copy_of(template: Template, path: Path) -> Account:
    """An account like the template's, with the same ids and keys."""
    shutil.copytree(template.path, path)
    if template.database is None:
        return Account(path)
    return Account(path, template.database.fresh() if template.is_empty else template.database.copy())
