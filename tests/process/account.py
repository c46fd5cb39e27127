"""An account in a data directory of its own: records go into its log, batches of them into its state."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from richpanel.core import record
from richpanel.core.record import Discard, Meta
from richpanel.core.timestamps import iso
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.process.batch import Applied
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.connectors import add_connector
from richpanel.store.database import open_engine
from richpanel.store.destinations import DestinationChanges, list_destinations, update_destination
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare
from richpanel.store.sources import SourceRow, add_source, list_sources

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

    def __init__(self, path: Path) -> None:
        self.directory = DataDirectory(path)
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
            return [tuple(row) for row in connection.exec_driver_sql(statement, parameters)]

    def close(self) -> None:
        """Let go of files and connections."""
        self.reader.close()
        self.account_engine.dispose()
        self.state_engine.dispose()


def make_template(path: Path) -> Path:
    """Make the data directory that accounts are copied from: migrations take longer than a test."""
    directory = DataDirectory(path)
    box = prepare(directory)
    engine: Engine = open_engine(directory.account_url)
    with engine.begin() as connection:
        add_source(connection, "App", "mobile", now=1)
        add_source(connection, "Backend", "server", now=1)
        add_connector(connection, box, "Second shop", now=1)
        outlet = add_source(connection, "Outlet", "web", now=1, connect=False)
        second = list_destinations(connection)[1]
        update_destination(connection, box, second.id, DestinationChanges(sources=[outlet.id]))
    engine.dispose()
    state = open_engine(directory.state_url)
    state.dispose()
    return path


def copy_of(template: Path, path: Path) -> Account:
    """An account like the template's, with the same ids and keys."""
    shutil.copytree(template, path)
    return Account(path)
