"""Erasing in the segment engine: whatever dies when, each segment is the old one or the new one (log/erasing.py)."""

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from richpanel.log.archive import Archive
from richpanel.log.archiving import archive_segment
from richpanel.log.contract import Entry, LogBusy, LogClosed, LogDamaged
from richpanel.log.erasing import erase_bodies, erase_in_segment
from richpanel.log.files import archive_path, segment_bases, segment_path, undisturbed
from richpanel.log.pace import Pace
from richpanel.log.remote import Appends, RemoteWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from tests.contract.dying import DYING
from tests.contract.engines import everything, listening_at
from tests.contract.segment_files import change, read_all, reopen, segments, write_all
from tests.contract.test_log_erase import bodies_of, nowhere, recorded

COUNT = 60
FIRST = [b'body":"%d.0"' % number for number in range(COUNT)]


@pytest.fixture
def whole(tmp_path: Path) -> list[Entry]:
    """A log of several segments; its records."""
    payloads = [recorded(number, (400, 3000)) for number in range(COUNT)]
    asyncio.run(write_all(tmp_path, payloads, segment_bytes=40_000))
    return read(tmp_path)


def read(directory: Path) -> list[Entry]:
    reader = SegmentReader(directory)
    found = everything(reader)
    reader.close()
    return found


def spans_in(directory: Path, whole: list[Entry], base: int) -> list[tuple[int, int]]:
    """The first body of each record of a segment."""
    end = next((later for later in segment_bases(directory) if later > base), whole[-1].end)
    return [bodies_of(entry)[0] for entry in whole if base <= entry.start < end]


def files(directory: Path) -> dict[str, int]:
    """The log's files by name, each with its number on the disk."""
    return {path.name: path.stat().st_ino for path in segments(directory) + sorted(directory.glob("*.zst"))}


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.suffix in (".log", ".zst", ".new"))


def test_a_raw_segment_stays_what_it_was_but_for_the_bodies(tmp_path, whole) -> None:
    raw = segments(tmp_path)[1]
    before = raw.stat()
    os.utime(raw, ns=(before.st_atime_ns, 1_700_000_000_123_456_789))
    spans = spans_in(tmp_path, whole, int(raw.stem))
    assert erase_in_segment(tmp_path, int(raw.stem), spans, Pace()) == len(spans) > 5
    after = raw.stat()
    assert (after.st_size, after.st_mode, after.st_mtime_ns) == (
        before.st_size,
        before.st_mode,
        1_700_000_000_123_456_789,
    )
    assert after.st_ino != before.st_ino
    assert erase_in_segment(tmp_path, int(raw.stem), spans, Pace()) == 0
    assert raw.stat().st_ino == after.st_ino, "nothing is rewritten for nothing"


def test_an_archive_stays_an_archive(tmp_path, whole) -> None:
    before = archive_segment(tmp_path, 0, Pace())
    spans = spans_in(tmp_path, whole, 0)
    assert erase_in_segment(tmp_path, 0, spans[:3], Pace()) == 3
    made = Archive(archive_path(tmp_path, 0))
    assert made.about._replace(digest=before.digest) == before
    made.check_file()
    made.check_content()
    assert archive_path(tmp_path, 0).stat().st_mode & 0o777 == 0o440
    assert nowhere(tmp_path, *FIRST[:3])
    assert [entry.end for entry in read(tmp_path)] == [entry.end for entry in whole]


def test_what_crashes_have_left_is_cleared(tmp_path, whole) -> None:
    """An archive beside its raw segment, and drafts: they hold what has to go, too."""
    raw = segment_path(tmp_path, 0).read_bytes()
    archive_segment(tmp_path, 0, Pace())
    segment_path(tmp_path, 0).write_bytes(raw)
    for name in (f"{0:020d}.new", f"{40:020d}.new"):
        (tmp_path / name).write_bytes(raw)
    assert erase_in_segment(tmp_path, 0, spans_in(tmp_path, whole, 0)[:1], Pace()) == 1
    assert names(tmp_path) == [path.name for path in segments(tmp_path)]
    assert nowhere(tmp_path, FIRST[0])
    (tmp_path / f"{0:020d}.new").write_bytes(raw)
    with undisturbed(tmp_path):
        asyncio.run(reopen(tmp_path))
        assert list(tmp_path.glob("*.new")), "somebody may be writing it"
    asyncio.run(reopen(tmp_path))
    assert not list(tmp_path.glob("*.new"))


ERASING = (
    DYING
    + """
import json
from richpanel.log import erasing
from richpanel.log.pace import Pace

die_at(os, "fsync", "fdatasync", "fchmod", "utime", "pread")
die_at(Path, "replace", "unlink", "open")
die_at(erasing, "write_archive")
spans = [tuple(span) for span in json.loads(sys.argv[3])]
print(erasing.erase_bodies(Path(sys.argv[1]), spans, Pace(), lambda: True).changed)
"""
)


@pytest.mark.parametrize("archived", [False, True], ids=["raw", "archived"])
def test_killed_before_and_after_each_step_each_segment_is_old_or_new(tmp_path, whole, archived) -> None:
    if archived:
        archive_segment(tmp_path, 0, Pace())
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "1.bin").write_bytes(whole[2].payload + whole[0].payload[:-3200])
    spans = [bodies_of(whole[0])[0], bodies_of(whole[2])[0]]
    turn, seen = 0, set()
    while True:
        turn += 1
        command = [sys.executable, "-c", ERASING, tmp_path, str(turn), str([list(span) for span in spans])]
        done = subprocess.run(command, capture_output=True, check=False)
        found = read(tmp_path)
        assert [(entry.start, entry.end) for entry in found] == [(entry.start, entry.end) for entry in whole]
        changed = [number for number, (old, new) in enumerate(zip(whole, found, strict=True)) if old != new]
        seen.add(tuple(changed))
        if done.stdout:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert asyncio.run(reopen(tmp_path)).cut == 0
        assert not list(tmp_path.glob("*.new"))
    assert (seen, turn > 15) == ({(), (0, 2)}, True)
    assert nowhere(tmp_path, FIRST[0], FIRST[2])
    assert erase_bodies(tmp_path, spans, Pace(), lambda: True).changed == 0


OWNER = """
import asyncio, json, sys
from pathlib import Path
from richpanel.log import segments

segments.ARCHIVE_BYTES_PER_SECOND = 500_000

async def main():
    writer = segments.SegmentWriter.open(Path(sys.argv[1]), segment_bytes=40_000)
    print("ready", flush=True)
    print(await writer.erase([tuple(span) for span in json.loads(sys.argv[2])]), flush=True)

asyncio.run(main())
"""


def erasers(directory: Path) -> list[int]:
    """The process ids of whoever erases there."""
    found = subprocess.run(["pgrep", "-f", f"log.erasing {directory}"], capture_output=True, check=False)
    return [int(number) for number in found.stdout.split()]


def wait_until(come: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not come():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_at_any_instant_a_second_call_finishes(tmp_path, whole) -> None:
    """The owner, its child, or both, with some of the segments archived."""
    for base in segment_bases(tmp_path)[:2]:
        archive_segment(tmp_path, base, Pace())
    dice, cut_short = random.Random(11), 0
    for turn in range(12):
        spans = [bodies_of(entry)[turn % 2] for entry in whole[turn // 2 :: 7]]
        command = [sys.executable, "-c", OWNER, tmp_path, str([list(span) for span in spans])]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
            assert owner.stdout is not None
            owner.stdout.readline()
            wait_until(lambda: erasers(tmp_path))
            time.sleep(dice.uniform(0.1, 0.8))
            if turn % 3:
                owner.kill()
            for process in erasers(tmp_path) if turn % 3 != 1 else []:
                os.kill(process, signal.SIGKILL)
        found = read(tmp_path)
        assert [(entry.start, entry.end) for entry in found] == [(entry.start, entry.end) for entry in whole]
        left = asyncio.run(erase(tmp_path, spans))
        cut_short += 0 < left < len(spans)
        reader = SegmentReader(tmp_path)
        assert not any(reader.slice(*span).strip() for span in spans)
        reader.close()
    assert not list(tmp_path.glob("*.new"))
    assert cut_short > 2, "kills that came in the middle"


async def erase(directory: Path, spans: list[tuple[int, int]]) -> int:
    """Own the log and erase; a dying child of an owner before may hold it for a moment."""
    writer = SegmentWriter.open(directory, segment_bytes=40_000)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    return await writer.erase(spans)
                except LogBusy:
                    await asyncio.sleep(0.05)
    finally:
        await writer.close()


async def test_a_backup_is_not_disturbed(tmp_path, whole) -> None:
    writer = SegmentWriter.open(tmp_path)
    before = files(tmp_path)
    with undisturbed(tmp_path):
        with pytest.raises(LogBusy, match="backup"):
            await writer.erase([bodies_of(whole[0])[0]])
        assert files(tmp_path) == before
        assert read_all(tmp_path) == [entry.payload for entry in whole]
    assert await writer.erase([bodies_of(whole[0])[0]]) == 1
    await writer.close()


async def test_damage_is_told_and_keeps_nothing_else_from_being_erased(tmp_path, whole) -> None:
    raw = segments(tmp_path)[1]
    base = int(raw.stem)
    inside = [entry for entry in whole if entry.start >= base]
    change(raw, inside[3].end - base - 2, b"!")
    raw.chmod(0o440)
    writer = SegmentWriter.open(tmp_path)
    assert await writer.erase([bodies_of(inside[1])[0], bodies_of(inside[5])[0]]) == 2, "damaged is another record"
    with pytest.raises(LogDamaged, match="CRC") as caught:
        await writer.erase([bodies_of(entry)[0] for entry in (whole[0], inside[3], whole[-1])])
    assert caught.value.position == inside[3].start
    await writer.close()
    reader = SegmentReader(tmp_path)
    assert not any(reader.slice(*bodies_of(entry)[0]).strip() for entry in (whole[0], inside[1], inside[5], whole[-1]))
    with pytest.raises(LogDamaged):
        reader.read(inside[3].start)
    assert reader.read(inside[4].start)[0] == inside[4]
    reader.close()


def test_what_was_cut_from_the_end_is_erased_as_well(tmp_path, whole) -> None:
    """The sender of what was never answered has sent it again."""
    torn = tmp_path / "torn"
    torn.mkdir()
    (place, size), start = bodies_of(whole[0])[0], whole[0].start + 8
    body = whole[0].payload[place - start :][:size]
    other = whole[1].payload
    contents = {"whole.bin": b"ab" + body + other + body, "cut.bin": other + body[:200], "other.bin": other + body[:15]}
    for name, content in contents.items():
        (torn / name).write_bytes(content)
    assert erase_in_segment(tmp_path, 0, [(place, size)], Pace()) == 1
    blank = b" " * size
    assert (torn / "whole.bin").read_bytes() == b"ab" + blank + other + blank
    assert (torn / "cut.bin").read_bytes() == other + blank[:200]
    assert (torn / "other.bin").read_bytes() == contents["other.bin"]


def test_a_full_disk_changes_nothing(tmp_path, whole, monkeypatch) -> None:
    archive_segment(tmp_path, 0, Pace())
    before = files(tmp_path)

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for base in segment_bases(tmp_path)[:2]:
        with pytest.raises(OSError, match="No space"):
            erase_in_segment(tmp_path, base, spans_in(tmp_path, whole, base), Pace())
    assert files(tmp_path) == before


def test_what_cannot_be_read_back_is_not_put_in_place(tmp_path, whole, monkeypatch) -> None:
    archive_segment(tmp_path, 0, Pace())
    before = files(tmp_path)

    def losing(really):
        def lose(fd: int) -> None:
            really(fd)
            os.pwrite(fd, b"?", 1000)

        return lose

    monkeypatch.setattr(os, "fsync", losing(os.fsync))
    monkeypatch.setattr(os, "fdatasync", losing(os.fdatasync))
    for base in segment_bases(tmp_path)[:2]:
        with pytest.raises(OSError, match="cannot be read back"):
            erase_in_segment(tmp_path, base, spans_in(tmp_path, whole, base), Pace())
    assert files(tmp_path) == before


def test_it_stops_once_the_owner_is_gone(tmp_path, whole) -> None:
    before = files(tmp_path)
    answers = iter([True, False])
    with pytest.raises(InterruptedError):
        erase_in_segment(tmp_path, 0, spans_in(tmp_path, whole, 0), Pace(), lambda: next(answers))
    assert files(tmp_path) == before


async def test_a_cancelled_owner_ends_its_child(tmp_path, whole) -> None:
    writer = SegmentWriter.open(tmp_path)
    task = asyncio.create_task(writer.erase([bodies_of(entry)[0] for entry in whole]))
    await asyncio.to_thread(wait_until, lambda: erasers(tmp_path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert erasers(tmp_path) == []
    await writer.close()
    assert [entry.end for entry in read(tmp_path)] == [entry.end for entry in whole]


def deleted_files(directory: Path) -> list[str]:
    """What this process has open of a log though it was deleted."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:  # The one that lists them.
            continue
    return [link for link in links if link.startswith(f"{directory}/") and link.endswith(" (deleted)")]


async def test_a_reader_that_nobody_asks_lets_go_of_the_old_file(tmp_path, whole) -> None:
    writer, idle = SegmentWriter.open(tmp_path), SegmentReader(tmp_path)
    bases = segment_bases(tmp_path)
    await writer.archive(whole[-1].end, inf)
    spans = [spans_in(tmp_path, whole, base)[0] for base in bases[:2]]
    assert all(idle.slice(*span).strip() for span in spans)
    assert await writer.erase(spans) == 2
    await asyncio.to_thread(wait_until, lambda: not deleted_files(tmp_path))
    assert not any(idle.slice(*span).strip() for span in spans)
    idle.close()
    await writer.close()


async def test_an_owner_that_stops_waits_for_no_erasing(tmp_path, whole, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # The path of a Unix socket may have a hundred bytes.
    owner = SegmentWriter.open(tmp_path)
    appends = Appends(owner, listening_at("socket"))
    remote = RemoteWriter("socket", SegmentReader(tmp_path), seconds=0.001)
    with undisturbed(tmp_path), pytest.raises(LogBusy, match="backup"):
        await remote.erase([bodies_of(whole[0])[0]])
    asked = asyncio.create_task(remote.erase([bodies_of(entry)[0] for entry in whole]))
    await asyncio.to_thread(wait_until, lambda: erasers(tmp_path))
    began = time.monotonic()
    await appends.close()
    with pytest.raises(LogClosed):
        await asked
    assert time.monotonic() - began < 1.0
    assert erasers(tmp_path) == []
    await remote.close()
    await owner.close()
