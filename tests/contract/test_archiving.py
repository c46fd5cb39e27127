"""A sealed segment becomes its archive: whatever dies when, nothing is lost (log/archiving.py, log/retention.py)."""

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path

import pytest

from richpanel.log.archive import Archive
from richpanel.log.archiving import archive_segment
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.files import archive_path, segment_path, undisturbed
from richpanel.log.pace import Pace
from richpanel.log.recovery import Recovery
from richpanel.log.retention import log_sizes
from richpanel.log.segments import SegmentReader, SegmentWriter
from tests.contract.dying import DYING
from tests.contract.segment_files import change, publish, read_all, reopen, segments, write_all

PAYLOADS = [str(number).encode() * 4000 for number in range(60)]


@pytest.fixture
def ends(tmp_path: Path) -> list[int]:
    """A log of several segments; where its records end."""
    return asyncio.run(write_all(tmp_path, PAYLOADS, segment_bytes=100_000))


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix in (".log", ".zst", ".new"))


def archivers(directory: Path) -> bytes:
    """The process ids of whoever archives there."""
    return subprocess.run(["pgrep", "-f", f"log.archiving {directory}"], capture_output=True, check=False).stdout


def test_the_archive_takes_the_place_of_the_segment(tmp_path, ends) -> None:
    raw = segments(tmp_path)[0]
    content, last_write = raw.read_bytes(), raw.stat().st_mtime_ns
    about = archive_segment(tmp_path, 0, Pace())
    assert (about.size, about.sealed_ns) == (len(content), last_write)
    assert not raw.exists()
    made = archive_path(tmp_path, 0)
    assert made.stat().st_mode & 0o777 == 0o440
    assert b"".join(Archive(made).blocks()) == content
    assert read_all(tmp_path) == PAYLOADS
    sizes = log_sizes(tmp_path)
    assert (sizes.archived_files, sizes.archived_raw_bytes) == (1, len(content))
    assert sizes.archived_bytes == made.stat().st_size
    assert sizes.raw_bytes == sum(path.stat().st_size for path in segments(tmp_path))
    assert sizes.ratio is not None
    assert sizes.ratio > 5


ARCHIVING = (
    DYING
    + """
from richpanel.log import archiving
from richpanel.log.pace import Pace

die_at(os, "fsync", "fchmod", "open", "pread")
die_at(Path, "replace", "unlink", "open")
die_at(archiving, "write_archive")
archiving.archive_segment(Path(sys.argv[1]), 0, Pace())
print("done")
"""
)


def test_killed_before_and_after_each_step_it_loses_nothing(tmp_path, ends) -> None:
    seen, turn = set(), 0
    while True:
        turn += 1
        done = subprocess.run([sys.executable, "-c", ARCHIVING, tmp_path, str(turn)], capture_output=True, check=False)
        raw, archived = segment_path(tmp_path, 0).exists(), archive_path(tmp_path, 0).exists()
        seen.add((raw, archived))
        assert read_all(tmp_path) == PAYLOADS
        if not raw:  # The last step was done: from now on there is nothing left to do.
            break
        assert done.returncode == -signal.SIGKILL
        assert asyncio.run(reopen(tmp_path)).cut == 0
    assert (done.stdout in (b"done\n", b""), turn > 15) == (True, True)
    assert seen == {(True, False), (True, True), (False, True)}
    assert not list(tmp_path.glob("*.new"))


def test_a_damaged_segment_stays_as_it_is(tmp_path, ends) -> None:
    raw = segments(tmp_path)[1]
    base = int(raw.stem)
    change(raw, 60_000, b"!")
    with pytest.raises(LogDamaged, match="CRC") as caught:
        archive_segment(tmp_path, base, Pace())
    assert base < caught.value.position < base + 60_000
    assert [path.suffix for path in tmp_path.iterdir() if path.stem == raw.stem] == [".log"]
    os.truncate(segments(tmp_path)[2], 50_000)
    with pytest.raises(LogDamaged, match="ends within"):
        archive_segment(tmp_path, int(segments(tmp_path)[2].stem), Pace())


async def test_the_owner_skips_a_damaged_segment_and_goes_on(tmp_path, ends) -> None:
    bases = [int(path.stem) for path in segments(tmp_path)]
    change(segments(tmp_path)[0], 60_000, b"!")
    writer = SegmentWriter.open(tmp_path)
    with pytest.raises(LogDamaged, match="CRC"):
        await writer.archive(ends[-1], inf)
    assert await writer.archive(ends[-1], inf) == bases[1]
    await writer.close()


async def test_a_full_disk_is_told_and_changes_nothing(tmp_path, ends, monkeypatch) -> None:
    before = names(tmp_path)

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        archive_segment(tmp_path, 0, Pace())
    assert names(tmp_path) == before
    monkeypatch.undo()
    tmp_path.joinpath(f"{0:020d}.new").mkdir()  # The child cannot remove that.
    writer = SegmentWriter.open(tmp_path)
    with pytest.raises(OSError, match="directory"):
        await writer.archive(ends[-1], inf)
    await writer.close()


def test_what_cannot_be_read_back_is_not_put_in_place(tmp_path, ends, monkeypatch) -> None:
    really = os.fsync

    def lose(fd: int) -> None:
        really(fd)
        os.pwrite(fd, b"?", 1000)

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(OSError, match="cannot be read back"):
        archive_segment(tmp_path, 0, Pace())
    assert names(tmp_path) == [path.name for path in segments(tmp_path)]


def test_it_stops_once_the_owner_is_gone(tmp_path, ends) -> None:
    answers = iter([True, False])
    with pytest.raises(InterruptedError):
        archive_segment(tmp_path, 0, Pace(), lambda: next(answers))
    assert names(tmp_path) == [path.name for path in segments(tmp_path)]


async def test_a_cancelled_owner_ends_its_child(tmp_path, ends) -> None:
    writer = SegmentWriter.open(tmp_path)
    task = asyncio.create_task(writer.archive(ends[-1], inf))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert archivers(tmp_path) == b""
    await writer.close()
    assert read_all(tmp_path) == PAYLOADS


async def test_nothing_moves_while_somebody_reads_all(tmp_path, ends) -> None:
    writer = SegmentWriter.open(tmp_path)
    assert await writer.archive(ends[-1], inf) == 0
    before = names(tmp_path)
    with undisturbed(tmp_path), undisturbed(tmp_path):
        assert await writer.archive(ends[-1], inf) is None
        assert await writer.retain(ends[-1]) == []
        assert names(tmp_path) == before
    assert len(await writer.retain(ends[-1])) == len(before) - 1
    await writer.close()


async def test_retention_goes_by_the_age_of_the_last_record_not_of_the_file(tmp_path, ends) -> None:
    now = time.time()
    for number, raw in enumerate(segments(tmp_path)[:3]):
        os.utime(raw, (now, now - 1000 + number * 100))
    writer = SegmentWriter.open(tmp_path)
    bases = [int(path.stem) for path in segments(tmp_path)]
    for base in bases[:3]:
        assert await writer.archive(ends[-1], now - 500) == base
    assert await writer.archive(ends[-1], now - 500) is None
    assert await writer.retain(ends[-1], now - 850) == bases[:2]
    assert SegmentReader(tmp_path).first() == bases[2]
    with pytest.raises(LogGone):
        SegmentReader(tmp_path).read(0)
    await writer.close()


async def test_a_copy_that_ends_with_an_archive_goes_on_behind_it(tmp_path, ends) -> None:
    last = segments(tmp_path)[3]
    archive_segment(tmp_path, int(segments(tmp_path)[2].stem), Pace())
    for raw in segments(tmp_path)[2:]:
        raw.unlink()
    end = int(last.stem)
    publish(tmp_path, end)
    assert await reopen(tmp_path) == Recovery(base=end, end=end)
    whole = read_all(tmp_path)
    assert await write_all(tmp_path, [b"after"]) == [end + 8 + 5]
    assert read_all(tmp_path) == [*whole, b"after"]


def test_a_pace_is_kept() -> None:
    pace, began = Pace(1_000_000), time.monotonic()
    for _ in range(10):
        pace.spend(40_000)
    assert 0.1 < time.monotonic() - began < 2
    pace = Pace()
    pace.spend(1 << 40)
