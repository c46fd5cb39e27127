"""What the handlers read and write: the two databases and the log, reached from threads of their own.

A query may take a while, so none runs on the event loop; a small pool bounds what pages can take of the machine.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine

from richpanel.log.contract import Entry, LogReader
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.computations import ComputationRow, list_computations
from richpanel.store.database import open_engine, reading
from richpanel.store.definitions import definitions_version
from richpanel.store.destinations import DestinationRow, all_numbers, list_destinations
from richpanel.store.driver import file_at
from richpanel.store.profiles import count_profiles
from richpanel.store.sources import SourceRow, list_sources
from richpanel.store.tokens import TokenRow, find_token
from richpanel.web.remembered import MUCH, Figured, Remembered

T = TypeVar("T")
THREADS: Final = 3
_CACHE_MIB: Final = 1
"""The page cache of each thread's connection: it is for the upper levels of the trees, all else is the system's."""
_TOKEN_SECONDS: Final = 1.0
_FRESH_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Definitions:
    """The account's settings, all its sources by number, deleted ones too, and its destinations' names by id.

    `destination_ids` has the ids by number, of deleted ones too. `computations` are the audiences and computed traits.
    """

    version: int
    account: AccountSettings
    sources: Mapping[int, SourceRow]
    destinations: Mapping[str, str]
    destination_rows: Sequence[DestinationRow]
    destination_ids: Mapping[int, str]
    computations: Sequence[ComputationRow]


class SharedLog:
    """A reader that several threads share: of its methods, `read` is for one at a time."""

    def __init__(self, log: LogReader) -> None:
        self._log = log
        self._reading = threading.Lock()
        self.durable: Final = log.durable
        self.end_now: Final = log.end_now
        self.slice: Final = log.slice
        self.first: Final = log.first

    def read(self, position: int, max_bytes: int) -> list[Entry]:
        """Return the records from `position`, at most about `max_bytes` of them (`LogReader.read`)."""
        with self._reading:
            return self._log.read(position, max_bytes)


@dataclass(frozen=True)
class Reading:
    """One look at the state: a snapshot of it, with what its readers need beside it. `now` is ms UTC.

    `figured` gives what is counted under a key, as old as `web.remembered` has it, `count` so the number of people.
    `deliveries` and `definitions` are the other databases.
    """

    state: Connection
    known: Definitions
    log: SharedLog
    now: int
    remembered: Remembered
    again: Callable[[Callable[["Reading"], Any]], Any]
    deliveries: Engine
    definitions: Engine

    def figured(self, key: Hashable, count: Callable[["Reading"], Figured[T]]) -> Figured[T]:
        """Give what is counted under a key: by this look where there is nothing to give, else as it is remembered."""
        return self.remembered.give(key, self.now, lambda: count(self), lambda: self.again(count))

    def count(self, customers: bool) -> int:
        """Give the number of customers, or of visitors: a million are counted in 20 ms."""
        return self.figured(("people", customers), partial(_people, customers)).value

    @property
    def account(self) -> AccountSettings:
        """The account's settings."""
        return self.known.account

    @property
    def sources(self) -> Mapping[int, SourceRow]:
        """All sources by number."""
        return self.known.sources

    @property
    def bodies(self) -> Callable[[int, int], bytes]:
        """Where the bodies of messages come from: `(place, size) -> bytes`."""
        return self.log.slice


def _people(customers: bool, reading: Reading) -> Figured[int]:
    number = count_profiles(reading.state, customers)
    return Figured(number, reading.now, number)


@dataclass(frozen=True)
class Places:
    """Where everything is."""

    state_url: str
    account_url: str
    delivery_url: str
    log: LogReader
    now: Callable[[], int]


class Stores:
    """Runs queries in threads: `read` on the state, `look_up` and `define` on the definitions."""

    def __init__(self, places: Places, much: int = MUCH, fresh_seconds: float = _FRESH_SECONDS) -> None:
        """`much`: as `web.remembered` has it. For `fresh_seconds` nobody asks whether definitions have changed."""
        self.log: Final = SharedLog(places.log)
        self.now: Final = places.now
        self.state: Final = open_engine(places.state_url, read_only=True, cache_mib=_CACHE_MIB)
        self.deliveries: Final = open_engine(places.delivery_url, read_only=True, cache_mib=_CACHE_MIB)
        self._account = open_engine(places.account_url, read_only=True, cache_mib=1)
        self._account_writer = open_engine(places.account_url, cache_mib=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="web")
        self._known: Definitions | None = None
        self._fresh_seconds = fresh_seconds
        self._fresh_until = 0.0
        self._remembered = Remembered(self._pool.submit, much)
        self._tokens: dict[bytes, tuple[float, TokenRow | None]] = {}

    async def read(self, query: Callable[[Reading], T]) -> T:
        """Run a query on one snapshot of the state."""
        return await self._in_thread(lambda: self._read(query))

    async def look_up(self, query: Callable[[Connection], T]) -> T:
        """Run a query on the definitions."""
        return await self._in_thread(lambda: self._look_up(query))

    async def known_token(self, token: str) -> TokenRow | None:
        """Give a token in force; one that was a moment ago still is, unless this process has ended it."""
        hashed = sha256(token.encode("utf-8", "surrogatepass")).digest()
        until, known = self._tokens.get(hashed, (0.0, None))
        if until > monotonic():
            return known
        known = await self.look_up(lambda conn: find_token(conn, token))
        if known is not None:
            self._tokens[hashed] = (monotonic() + _TOKEN_SECONDS, known)
        return known

    async def define(self, change: Callable[[Connection], T], *, beside: bool = False) -> T:
        """Change definitions in one transaction; `beside`: what is none, so that nobody's snapshot is out of date."""
        return await self._in_thread(lambda: self._define(change, beside))

    async def definitions(self) -> Definitions:
        """Give the settings and sources as they are now."""
        known = self._known
        if known is not None and monotonic() < self._fresh_until:
            return known
        return await self._in_thread(self._definitions)

    def close(self) -> None:
        """Let the threads end and give the connections back."""
        self._pool.shutdown(cancel_futures=True)
        for engine in (self.state, self.deliveries, self._account, self._account_writer):
            engine.dispose()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _read(self, query: Callable[[Reading], T]) -> T:
        known = self._definitions()
        with reading(self.state) as connection:
            now = self.now()
            others = (self._remembered, self._read, self.deliveries, self._account)
            return query(Reading(connection, known, self.log, now, *others))

    def _look_up(self, query: Callable[[Connection], T]) -> T:
        with reading(self._account) as connection:
            return query(connection)

    def _define(self, change: Callable[[Connection], T], beside: bool) -> T:
        with self._account_writer.begin() as connection:
            result = change(connection)
        if not beside:
            self._tokens.clear()
            self._fresh_until = 0.0
        return result

    def _definitions(self) -> Definitions:
        """Give the definitions; whether their version has changed is asked ten times a second at the most."""
        if self._known is not None and monotonic() < self._fresh_until:
            return self._known
        fresh_until = monotonic() + self._fresh_seconds
        with reading(self._account) as connection:
            known, version = self._known, definitions_version(connection)
            if known is None or known.version != version:
                sources = {source.number: source for source in list_sources(connection, deleted=True)}
                rows = list_destinations(connection)
                known = self._known = Definitions(
                    version,
                    read_account(connection),
                    sources,
                    {row.id: row.name for row in rows},
                    rows,
                    {number: id_ for id_, number in all_numbers(connection).items()},
                    list_computations(connection),
                )
        self._fresh_until = fresh_until
        return known


async def follow_file(engine: Engine, every: float) -> None:
    """Let go of a database's file once another has replaced it, though nobody asks: it keeps its room on the disk.

    PostgreSQL's has none.
    """
    if engine.dialect.name != "sqlite":
        return
    path = engine.url.database or ""
    known = file_at(path)
    while True:
        await asyncio.sleep(every)
        found = file_at(path)
        if found != known:
            known = found
            engine.dispose()  # A connection that is in use ends with its query.
