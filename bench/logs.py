"""`python -m bench logs`: the log's two engines side by side (docs/decisions/0015-jetstream.md).

Records of 100 events and of one are appended, by one caller after the other and by many at once; then all of them are
read in order, and some bodies one by one. The engines take turns, so that what else goes on meets both.
"""

import asyncio
import os
import random
import secrets
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.table import Table

from bench.options import Bench
from bench.report import percentile
from richpanel.log.contract import HEADER_SIZE, LogFull, LogReader, LogWriter
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.log.stream import Stream
from richpanel.log.stream_reader import JetStreamReader

_APPENDS: Final = ((110_000, 1), (110_000, 16), (1_100, 1), (1_100, 64), (1_100, 512))
"""Sizes of records, and how many callers there are at once."""
_SLICES: Final = 2_000
_TURNS: Final = 3


@dataclass
class _Engine:
    """One engine under measurement."""

    name: str
    writer: LogWriter
    reader: LogReader
    ends: dict[int, list[int]] = field(default_factory=dict)
    """Where the records of each size end."""


def logs(bench: Bench, server: str, seconds: float) -> None:
    """Measure segments, and a stream that is made on `server` and removed by whoever removes its store."""
    bench.where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="logs-", dir=bench.where) as folder:
        bench.console.print(asyncio.run(_measure(bench, Path(folder), server, seconds)))


async def _measure(bench: Bench, folder: Path, server: str, seconds: float) -> Table:
    stream = Stream((server,), name=f"bench-{secrets.token_hex(4)}")
    log = JetStreamReader(stream)
    engines = [
        _Engine("segments", SegmentWriter.open(folder), SegmentReader(folder)),
        _Engine("stream", JetStreamWriter(stream, log), log),
    ]
    table = Table("", "engine", "per second", "MB/s", "p50 ms", "p99 ms", "CPU us")
    with bench.task("appending", len(_APPENDS)) as task:
        for number, (size, callers) in enumerate(_APPENDS):
            found: dict[str, list[_Appended]] = {engine.name: [] for engine in engines}
            for _ in range(_TURNS):
                for engine in engines:
                    found[engine.name].append(await _append(engine, size, callers, seconds / _TURNS))
            for engine in engines:
                table.add_row(f"append {size:,} B, {callers} at once", engine.name, *_row(found[engine.name], size))
            task.to(number + 1)
    for engine in engines:
        await engine.writer.close()
        table.add_row("read all in order", engine.name, *_read(engine.reader))
        for size, ends in engine.ends.items():
            table.add_row(f"a body of 1 KB, records of {size:,} B", engine.name, *_slices(engine.reader, ends))
        engine.reader.close()
    return table


@dataclass
class _Appended:
    milliseconds: list[float]
    seconds: float
    cpu: float


async def _append(engine: _Engine, size: int, callers: int, seconds: float) -> _Appended:
    payload, ends = os.urandom(size), engine.ends.setdefault(size, [])
    took: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    async def client() -> None:
        while (start := time.perf_counter()) < began + seconds:
            try:
                ends.append(await engine.writer.append(payload))
            except LogFull:
                await asyncio.sleep(0.001)
            else:
                took.append((time.perf_counter() - start) * 1000)

    await asyncio.gather(*(client() for _ in range(callers)))
    return _Appended(took, time.perf_counter() - began, time.process_time() - cpu)


def _row(parts: list[_Appended], size: int) -> tuple[str, ...]:
    took = sorted(one for part in parts for one in part.milliseconds)
    seconds, cpu = sum(part.seconds for part in parts), sum(part.cpu for part in parts)
    rate = len(took) / seconds
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return f"{rate:,.0f}", f"{rate * size / 1e6:,.0f}", f"{p50:.2f}", f"{p99:.2f}", f"{cpu / len(took) * 1e6:,.0f}"


def _read(reader: LogReader) -> tuple[str, ...]:
    began, cpu, position, count, size = time.perf_counter(), time.process_time(), 0, 0, 0
    while entries := reader.read(position):
        position = entries[-1].end
        count += len(entries)
        size += sum(len(entry.payload) for entry in entries)
    seconds = time.perf_counter() - began
    used = (time.process_time() - cpu) / count * 1e6
    return f"{count / seconds:,.0f}", f"{size / seconds / 1e6:,.0f}", "", "", f"{used:,.0f}"


def _slices(reader: LogReader, ends: list[int]) -> tuple[str, ...]:
    took, cpu = [], time.process_time()
    for end in random.Random(7).choices(ends, k=_SLICES):
        began = time.perf_counter()
        reader.slice(end - 1_024 - HEADER_SIZE, 1_024)
        took.append((time.perf_counter() - began) * 1000)
    used = (time.process_time() - cpu) / _SLICES * 1e6
    took.sort()
    return (
        f"{1000 * _SLICES / sum(took):,.0f}",
        "",
        f"{percentile(took, 0.5):.3f}",
        f"{percentile(took, 0.99):.3f}",
        f"{used:,.0f}",
    )
