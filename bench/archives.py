"""`python -m bench archives`: what archiving a segment saves and costs, by codec and size of block (docs/decisions).

First the codecs, in memory; then a log as built, with the same segment raw and archived: what archiving takes, and how
long it takes to read a body, fifty of them as a timeline's page does, and all records in order. At last, what it takes
to erase bodies from it (docs/decisions/0011).
"""

import asyncio
import random
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from rich.table import Table
from zstandard import ZstdCompressor, ZstdDecompressor

from bench.options import Bench
from bench.processes import MIB
from bench.report import percentile
from bench.workload import Shop
from richpanel.core import record
from richpanel.log.archiving import archive_segment
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.log.erasing import erase_in_segment
from richpanel.log.files import archive_path, segment_path
from richpanel.log.pace import Pace
from richpanel.log.segments import SegmentReader, SegmentWriter

_KIB: Final = 1024
_BLOCKS: Final = (16, 32, 64, 128, 256)
_READS: Final = 5_000
_PAGE: Final = 50
_SAMPLE_BYTES: Final = 16 * MIB
_BATCH: Final = 100
_ITEMS: Final = 2_000
_EVERY: Final = 100


class Codec(NamedTuple):
    """A way to compress a block, and the way back."""

    name: str
    compress: Callable[[bytes], bytes]
    inflate: Callable[[bytes], bytes]


def archives(bench: Bench, mib: int) -> None:
    """Measure codecs on a sample of each kind of record, then a segment of `mib` MiB as built."""
    bench.where.mkdir(parents=True, exist_ok=True)
    for size in (_BATCH, 1):
        with tempfile.TemporaryDirectory(prefix="archives-", dir=bench.where) as folder:
            directory = Path(folder)
            with bench.task(f"making a segment of {mib} MiB, {size} to a record", 1):
                asyncio.run(_fill(directory, size, mib * MIB))
            raw = segment_path(directory, 0).read_bytes()[:_SAMPLE_BYTES]
            bench.console.print(_codecs(raw, f"{size} to a record"))
            bodies = _bodies(directory)
            raw_erased = _erased(directory, bodies[::2])
            bench.console.print(_built(directory, f"{size} to a record"))
            bench.console.print(_erasing(raw_erased, _erased(directory, bodies[1::2]), f"{size} to a record"))


def _records(size: int) -> Iterator[list[bytes]]:
    shop, at = Shop(size), 1_780_000_000_000
    while True:
        items = shop.messages(_ITEMS)
        for start in range(0, _ITEMS, size):
            at += 3
            meta = record.Meta(at, "src_kx2v9q4c7m1d5t8w", [], sentAt="2026-11-27T10:00:00.000Z", ip="203.0.113.9")
            yield record.encode(meta, items[start : start + size])


async def _fill(directory: Path, size: int, limit: int) -> None:
    """Write one sealed segment, and one record more."""
    writer = SegmentWriter.open(directory, segment_bytes=limit)
    records = _records(size)
    while writer.durable < limit:
        await asyncio.gather(*(writer.append(next(records)) for _ in range(4_000 // size)))
    await writer.append(next(records))
    await writer.close()


def _codecs(raw: bytes, title: str) -> Table:
    table = Table("codec", "block", "ratio", "compress MB/s", "inflate MB/s", "us a block", title=title)
    for codec in _all_codecs():
        for kib in _BLOCKS:
            blocks = [raw[start : start + kib * _KIB] for start in range(0, len(raw), kib * _KIB)]
            packed, compressing = _timed(codec.compress, blocks)
            _, inflating = _timed(codec.inflate, packed)
            rates = (len(raw) / compressing / 1e6, len(raw) / inflating / 1e6)
            ratio = len(raw) / sum(map(len, packed))
            table.add_row(codec.name, f"{kib} KiB", f"{ratio:.2f}", *(f"{rate:,.0f}" for rate in rates),
                          f"{inflating / len(blocks) * 1e6:.0f}")  # fmt: skip
    return table


def _all_codecs() -> Iterator[Codec]:
    yield Codec("zlib 6", lambda block: zlib.compress(block, 6), zlib.decompress)
    for level in (1, 3, 9):
        compressor = ZstdCompressor(level=level, write_checksum=True)
        yield Codec(f"zstd {level}", compressor.compress, ZstdDecompressor().decompress)


def _timed(work: Callable[[bytes], bytes], blocks: list[bytes]) -> tuple[list[bytes], float]:
    began = time.process_time()
    done = [work(block) for block in blocks]
    return done, time.process_time() - began


def _built(directory: Path, title: str) -> Table:
    """Read one segment raw, archive it, and read it again."""
    table = Table("segment", "bytes", "body p50 us", "body p99 us", "page of 50 ms", "in order MB/s", title=title)
    path = segment_path(directory, 0)
    size = path.stat().st_size
    reader = SegmentReader(directory)
    places = [entry.start + HEADER_SIZE for entry in _entries(reader, size) if len(entry.payload) > _KIB]
    reader.close()
    table.add_row("raw", f"{size:,}", *_reading(directory, places, size))
    began, wall = time.process_time(), time.perf_counter()
    archive_segment(directory, 0, Pace())
    took = f"archived in {time.perf_counter() - wall:.2f} s, {time.process_time() - began:.2f} s of CPU"
    table.add_row("archived", f"{archive_path(directory, 0).stat().st_size:,}", *_reading(directory, places, size))
    table.caption = took
    return table


def _bodies(directory: Path) -> list[tuple[int, int]]:
    """Find the first body of each record of the first segment."""
    reader = SegmentReader(directory)
    found = []
    for entry in _entries(reader, segment_path(directory, 0).stat().st_size):
        item = record.decode(entry.payload).items[0]
        found.append((entry.start + HEADER_SIZE + item.offset, len(item.body)))
    reader.close()
    return found


def _erased(directory: Path, bodies: list[tuple[int, int]]) -> list[list[str]]:
    """Erase one body, then one in a hundred, each time by writing the segment anew."""
    rows = []
    for spans in (bodies[:1], bodies[1::_EVERY]):
        began, wall = time.process_time(), time.perf_counter()
        changed = erase_in_segment(directory, 0, spans, Pace())
        took = (time.perf_counter() - wall, time.process_time() - began)
        rows.append([f"{changed:,}", *(f"{seconds:.2f}" for seconds in took)])
    return rows


def _erasing(raw: list[list[str]], archived: list[list[str]], title: str) -> Table:
    table = Table("segment", "records changed", "seconds", "of CPU", title=f"erasing, {title}")
    for name, rows in (("raw", raw), ("archived", archived)):
        for row in rows:
            table.add_row(name, *row)
    return table


def _entries(reader: SegmentReader, size: int) -> Iterator[Entry]:
    position = 0
    while position < size:
        found = reader.read(position)
        position = found[-1].end
        yield from found


def _reading(directory: Path, places: list[int], size: int) -> list[str]:
    """Read bodies of 1 KB at random, fifty at a time, and then every record."""
    dice, reader = random.Random(7), SegmentReader(directory)
    took = []
    for _ in range(_READS):
        place = dice.choice(places)
        began = time.perf_counter()
        reader.slice(place, _KIB)
        took.append(time.perf_counter() - began)
    pages = [sum(took[start : start + _PAGE]) for start in range(0, _READS, _PAGE)]
    began = time.perf_counter()
    for _ in _entries(reader, size):
        pass
    rate = size / (time.perf_counter() - began) / 1e6
    reader.close()
    figures = (percentile(took, 0.5) * 1e6, percentile(took, 0.99) * 1e6, percentile(pages, 0.5) * 1e3)
    return [*(f"{figure:.1f}" for figure in figures), f"{rate:,.0f}"]
