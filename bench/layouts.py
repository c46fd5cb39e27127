"""`python -m bench layouts`: two layouts of the tables that get a row per message (docs/decisions).

A, as built: `message_ids` and `history` begin with a part of 524,288 messages, and filters tell which ids are new. B:
the same columns without parts: one index each, which finds duplicates by itself. Only these two tables, and nothing
else of what processing does, so that what they cost when they grow is seen alone.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, cast

import msgspec
import numpy as np
from rich.table import Table as Printed
from sqlalchemy import BigInteger, Column, Connection, Engine, Integer, MetaData, SmallInteger, Table

from bench.options import Bench
from bench.processes import MIB
from bench.report import percentile
from bench.workload import FIRST_MS, STEP_MS, scrambled, zipf
from richpanel.store import history, schema
from richpanel.store.bulk import fetch, insert
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.parts import MessageIds, all_spans, widen

BATCH: Final = 15_000
STEP: Final = 500_000
_CACHE_MIB: Final = 64
_PAGE: Final = 4_096 + 24
"""What a page takes in the WAL."""
_REPEATED: Final = 0.01
_READS: Final = 1_000
_PAGE_ROWS: Final = 51
_NEWEST: Final = f"SELECT t, n FROM history WHERE {{}} identity = ? ORDER BY t DESC LIMIT {_PAGE_ROWS}"

_whole = MetaData()
_message_ids = Table(
    "message_ids",
    _whole,
    Column("hash", BigInteger, primary_key=True),
    Column("n", Integer, nullable=False),
    sqlite_with_rowid=False,
)
_history = Table(
    "history",
    _whole,
    Column("identity", Integer, primary_key=True),
    Column("t", BigInteger, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("type", SmallInteger, nullable=False),
    sqlite_with_rowid=False,
)


class Reads(msgspec.Struct):
    """How long the newest 51 messages of an identity take to find, in ms, over 1,000 identities as they come."""

    p50: float
    p99: float


class Step(msgspec.Struct):
    """What half a million messages cost: rows of both tables a second, CPU, the WAL, the slowest transaction."""

    messages: int
    rows_per_second: float
    cpu_us_per_message: float
    wal_mib: float
    slowest_ms: float


class Keys(msgspec.Struct):
    """A batch's keys: (hash of the message id, its identity, event time), as the workload has them; 1 % come again."""

    hashes: list[int]
    identities: list[int]
    times: list[int]


class Layout(Protocol):
    """A way to keep the two tables; `add` gives how many of the ids were new."""

    def add(self, connection: Connection, keys: Keys, first: int) -> int:
        """Store a batch, numbered from `first` on."""

    def newest(self, connection: Connection, identity: int) -> list[tuple[int, int]]:
        """Find (t, n) of the newest messages of an identity, as a timeline's first page does."""


class Parts:
    """A: by parts, as `store.schema` has it."""

    def __init__(self, connection: Connection) -> None:
        schema.metadata.create_all(connection, tables=[schema.message_ids, schema.history, schema.parts])
        self._ids = MessageIds(connection)

    def add(self, connection: Connection, keys: Keys, first: int) -> int:
        """Store a batch."""
        known = self._ids.find(connection, keys.hashes)
        new = [index for index, hashed in enumerate(keys.hashes) if hashed not in known]
        numbers = range(first, first + len(new))
        self._ids.add(connection, [(keys.hashes[index], n) for index, n in zip(new, numbers, strict=True)])
        placed = zip(new, numbers, strict=True)
        history.add(connection, [(keys.identities[index], keys.times[index], n, 1) for index, n in placed])
        spans: dict[int, tuple[int, int]] = {}
        for number in numbers:
            spans[schema.part_of(connection, number)] = (keys.times[0], keys.times[-1])
        widen(connection, spans)
        self._ids.seal(connection, first + len(new))
        return len(new)

    def newest(self, connection: Connection, identity: int) -> list[tuple[int, int]]:
        """Ask part after part, from the newest on, until older ones cannot matter."""
        found: list[tuple[int, int]] = []
        for part, _, last_t in all_spans(connection):
            if len(found) == _PAGE_ROWS and last_t < found[-1][0]:
                break
            found += fetch(connection, _NEWEST.format("part = ? AND"), part, identity)
            found = sorted(found, reverse=True)[:_PAGE_ROWS]
        return found


class Whole:
    """B: one index for each table; the unique key finds the duplicates."""

    def __init__(self, connection: Connection) -> None:
        _whole.create_all(connection)

    def add(self, connection: Connection, keys: Keys, first: int) -> int:
        """Store a batch."""
        rows = sorted((hashed, first + index) for index, hashed in enumerate(keys.hashes))
        last = first + len(rows) - 1
        connection.exec_driver_sql("INSERT OR IGNORE INTO message_ids (hash, n) VALUES (?, ?)", rows)
        stored = connection.exec_driver_sql(
            "SELECT n FROM message_ids WHERE hash IN (SELECT value FROM json_each(?)) AND n >= ?",
            (msgspec.json.encode(keys.hashes).decode(), first),
        )
        numbers = sorted(row[0] for row in stored if row[0] <= last)
        placed = [(keys.identities[n - first], keys.times[n - first], n, 1) for n in numbers]
        insert(connection, _history, sorted(placed))
        return len(numbers)

    def newest(self, connection: Connection, identity: int) -> list[tuple[int, int]]:
        """Ask once."""
        return list(fetch(connection, _NEWEST.format(""), identity))


class Fill:
    """One layout in a store of its own, filled step by step."""

    def __init__(self, engine: Engine, make: Callable[[Connection], Layout]) -> None:
        self._engine = engine
        self._connection = engine.connect()
        with self._connection.begin():
            self._layout = make(self._connection)
        self._driver = cast("Any", self._connection.connection.driver_connection)
        # SQLite would do the same at the end of each commit; done by hand, it tells how many pages it was.
        self._driver.execute("PRAGMA wal_autocheckpoint = 0")
        self._next = 1

    def step(self, batches: Iterator[Keys]) -> Step:
        """Store batches; the making of their keys is not counted."""
        messages = pages = 0
        seconds = cpu = slowest = 0.0
        for keys in batches:
            used, start = time.process_time(), time.perf_counter()
            with self._connection.begin():
                new = self._layout.add(self._connection, keys, self._next)
            _, written, _ = self._driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            took = time.perf_counter() - start
            cpu += time.process_time() - used
            seconds, slowest = seconds + took, max(slowest, took)
            self._next += len(keys.hashes)
            messages, pages = messages + new, pages + written
        return Step(self._next - 1, 2 * messages / seconds, cpu / messages * 1e6, pages * _PAGE / MIB, slowest * 1000)

    def read(self) -> Reads:
        """Read first pages of timelines."""
        took = []
        with self._connection.begin():
            for identity in zipf(np.random.default_rng(12), _READS):
                start = time.perf_counter()
                self._layout.newest(self._connection, identity)
                took.append(time.perf_counter() - start)
        return Reads(percentile(took, 0.5) * 1000, percentile(took, 0.99) * 1000)

    def close(self) -> None:
        """Close the store."""
        self._connection.close()
        self._engine.dispose()


def _batches(first: int, count: int) -> Iterator[Keys]:
    """Make the keys of messages `first` and on: the same for either layout."""
    for start in range(first, first + count, BATCH):
        size = min(BATCH, first + count - start)
        dice = np.random.default_rng([11, start])
        numbers = np.arange(start, start + size, dtype=np.int64)
        again = dice.random(size) < _REPEATED
        numbers[again] = (dice.random(int(again.sum())) * start).astype(np.int64)
        hashes = np.frombuffer(scrambled(numbers.tolist(), 1), ">i8")
        times = [FIRST_MS + STEP_MS * number for number in range(start, start + size)]
        yield Keys(list(dict.fromkeys(hashes.tolist())), zipf(dice, size), times)


def layouts(bench: Bench, messages: int) -> dict[str, list[Step]]:
    """Fill both layouts with the same keys, a step of each in turn, and print what every step cost."""
    bench.where.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[Connection], Layout]] = {"A: parts": Parts, "B: one index": Whole}
    found: dict[str, list[Step]] = {name: [] for name in makers}
    with tempfile.TemporaryDirectory(prefix="layouts-", dir=bench.where) as folder:
        fills = {}
        for name, make in makers.items():
            directory = Path(folder) / name[0]
            directory.mkdir()
            fills[name] = Fill(open_engine(sqlite_url(directory, "state"), cache_mib=_CACHE_MIB), make)
        with bench.task("filling two layouts", messages * len(fills)) as task:
            for start in range(0, messages, STEP):
                size = min(STEP, messages - start)
                for index, (name, fill) in enumerate(fills.items()):
                    found[name].append(fill.step(_batches(start, size)))
                    task.to(start * 2 + size * (index + 1))
        reads = {name: fill.read() for name, fill in fills.items()}
        for fill in fills.values():
            fill.close()
    _print(bench, found, reads)
    return found


def _print(bench: Bench, found: dict[str, list[Step]], reads: dict[str, Reads]) -> None:
    table = Printed("layout", "up to", "rows/s", "CPU us/message", "WAL MiB", "slowest transaction ms")
    for name, steps in found.items():
        for step in steps:
            values = (step.messages, step.rows_per_second, step.cpu_us_per_message, step.wal_mib, step.slowest_ms)
            table.add_row(name, *(f"{value:,.1f}" if value < 100 else f"{value:,.0f}" for value in values))
    bench.console.print(table)
    for name, read in reads.items():
        bench.console.print(f"{name}: first page of a timeline p50 {read.p50:.2f} ms, p99 {read.p99:.2f} ms")
