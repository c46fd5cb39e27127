"""`python -m bench profile`: where the processing role's time goes, function by function."""

import asyncio
import cProfile
import gc
import io
import pstats
import tempfile
import time
from pathlib import Path

from sqlalchemy import Engine

from bench.calls import sent_at
from bench.options import Bench
from bench.whole import OUT_OF_ORDER
from bench.workload import FIRST_MS, IN_ORDER, Shop
from richpanel.core import record
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.process.definitions import Watch
from richpanel.process.worker import CACHE_MIB, Worker
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare
from richpanel.store.sources import list_sources

_SIZE = 100


def profile(bench: Bench, events: int, lines: int, *, mixed: bool) -> None:
    """Fold events in this process, then as many more under cProfile; print the costliest functions."""
    bench.where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="profile-", dir=bench.where) as name:
        directory = DataDirectory(Path(name))
        prepare(directory)
        account, state = open_engine(directory.account_url), open_engine(directory.state_url, cache_mib=CACHE_MIB)
        with bench.task(f"making {2 * events:,} events", 1):
            asyncio.run(fill(directory.log, source_of(account), 2 * events, mixed=mixed))
        reader = SegmentReader(directory.log)
        worker = Worker(reader, state, Watch(account))
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        cpu, start = time.process_time(), time.perf_counter()
        with bench.task("folding", events):
            done = _fold(worker, events)
        plain = time.process_time() - cpu, time.perf_counter() - start
        profiler = cProfile.Profile()
        with bench.task("folding, profiled", events):
            profiler.enable()
            rest = _fold(worker, 2 * events)
            profiler.disable()
        for engine in (account, state):
            engine.dispose()
        reader.close()
    text = io.StringIO()
    pstats.Stats(profiler, stream=text).strip_dirs().sort_stats("tottime").print_stats(lines)
    bench.console.print(text.getvalue(), markup=False, highlight=False)
    cost = f"{plain[0] / done * 1e6:.1f} us of CPU and {plain[1] / done * 1e6:.1f} us each"
    bench.console.print(f"{done:,} events without the profiler: {cost}; {rest:,} more with it")


def source_of(account: Engine) -> str:
    with account.connect() as connection:
        return next(source.id for source in list_sources(connection) if source.type == "web")


async def fill(log: Path, source: str, events: int, *, mixed: bool) -> None:
    writer = SegmentWriter.open(log)
    items = Shop(3, OUT_OF_ORDER if mixed else IN_ORDER).messages(events)
    sent = str(sent_at())
    for start in range(0, events, _SIZE):
        meta = record.Meta(at=FIRST_MS + 10**10 + start, source=source, sizes=[], sentAt=int(sent))
        await writer.append(record.encode(meta, items[start : start + _SIZE]))
    await writer.close()


def _fold(worker: Worker, events: int) -> int:
    """Apply batches until there are no more, or so many events are done."""
    done = 0
    while done < events and (applied := worker.step()) is not None:
        done += applied.messages + applied.repeats
    return done
