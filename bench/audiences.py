"""`python -m bench audiences`: what a live audience costs the processing, beside none, in one run.

The same events are folded into states that differ by what is computed alone, in turns of a few thousand, so that
whatever else the machine does slows each as much. CPU, since a batch waits for its disk.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

from rich.table import Table
from sqlalchemy import Engine

from bench.membership import ABANDONED, MONTH, ORDER, SPENT
from bench.options import Bench
from bench.profiling import fill, source_of
from richpanel.core.announcing import Class
from richpanel.core.computed import Computation, read_computation
from richpanel.core.condition_json import read
from richpanel.core.membership import Audience
from richpanel.log.segments import SegmentReader
from richpanel.process.definitions import Watch
from richpanel.process.worker import CACHE_MIB, Worker
from richpanel.store.bulk import fetch
from richpanel.store.computations import ComputationChanges, add_computation
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare

_TURN_BYTES: Final = 4 << 20
_EVER: Final[dict[str, Any]] = {"event": ORDER}
_CASES: Final[dict[str, Callable[[], Audience | Computation] | None]] = {
    "none": None,
    "ordered in the last 30 days": lambda: Audience(read({**_EVER, **MONTH})),
    "abandoned in the last 7 days": lambda: Audience(read({"sequence": ABANDONED, "within": {"days": 7}})),
    "(computed trait) spent in the last 30 days": lambda: read_computation(SPENT),
    "page viewed in the last 30 days": lambda: Audience(read({"event": "Page Viewed", **MONTH})),
}


class Case:
    """A state, and what is computed with it."""

    def __init__(self, directory: DataDirectory, what: Audience | Computation | None) -> None:
        self.account = open_engine(directory.account_url)
        self.state = open_engine(directory.state_url, cache_mib=CACHE_MIB)
        if what is not None:
            _add(self.account, "one", what)
        self.reader = SegmentReader(directory.log)
        self.worker = Worker(self.reader, self.state, Watch(self.account))
        self.cpu, self.messages = 0.0, 0

    def turn(self) -> bool:
        """Fold some; tell whether there was anything."""
        gc.collect()
        cpu = time.process_time()
        applied = self.worker.step(_TURN_BYTES)
        self.cpu += time.process_time() - cpu
        self.messages += applied.messages if applied is not None else 0
        return applied is not None

    def first_run(self, what: Audience | Computation) -> float:
        """Add another one, compute it for everybody, and give the seconds of CPU that took."""
        _add(self.account, "two", what)
        cpu = time.process_time()
        while self.worker.tend(0):
            pass
        return time.process_time() - cpu

    def people(self) -> int:
        """Count the profiles."""
        with self.state.connect() as connection:
            return int(fetch(connection, "SELECT count(*) FROM profiles")[0][0])

    def rows(self) -> int:
        """Count the memberships."""
        with self.state.connect() as connection:
            return int(fetch(connection, "SELECT count(*) FROM memberships")[0][0])

    def close(self) -> None:
        """Let go of files."""
        self.worker.close()
        self.reader.close()
        self.account.dispose()
        self.state.dispose()


def audiences(bench: Bench, events: int) -> None:
    """Fold the same events with each case."""
    bench.where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="audiences-", dir=bench.where) as name, ExitStack() as stack:
        cases = {}
        with bench.task("making events", len(_CASES)) as task:
            for number, (title, make) in enumerate(_CASES.items()):
                directory = DataDirectory(Path(name) / str(number))
                prepare(directory)
                asyncio.run(fill(directory.log, _source(directory), events, mixed=False))
                cases[title] = stack.enter_context(closing(Case(directory, make and make())))
                task.to(number + 1)
        gc.freeze()
        with bench.task("folding", events) as task:
            going = True
            while going:
                for case in cases.values():
                    going = case.turn()
                task.to(cases["none"].messages)
        table = Table("audience", "us of CPU a message", "more than none", "rows", "first run, us a person")
        none = cases["none"].cpu / cases["none"].messages
        for title, case in cases.items():
            cost = case.cpu / case.messages
            more, rows, make = f"{(cost / none - 1) * 100:+.1f} %", f"{case.rows():,}", _CASES[title]
            run = "" if make is None else f"{case.first_run(make()) / case.people() * 1e6:.1f}"
            table.add_row(title, f"{cost * 1e6:.1f}", more, rows, run)
    bench.console.print(table)


def _add(account: Engine, key: str, what: Audience | Computation) -> None:
    kind: Class = "trait" if isinstance(what, Computation) else "audience"
    with account.begin() as connection:
        add_computation(connection, kind, key, what, ComputationChanges(name=key), draft=False, now=1)


def _source(directory: DataDirectory) -> str:
    account: Engine = open_engine(directory.account_url)
    try:
        return source_of(account)
    finally:
        account.dispose()
