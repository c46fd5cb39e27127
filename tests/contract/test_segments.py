"""What is the segment engine's own: its files, recovery, crashes, full and failing disks (log/segments.py)."""

import asyncio
import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from richpanel.log.contract import HEADER_SIZE, LogClosed, LogFull, LogLocked
from richpanel.log.segments import SegmentReader, SegmentWriter
from tests.contract.segment_files import read_all, reopen, segments, write_all

PAUSE = 0.3  # Longer than the pause in which a writer refuses after a failure.


def open_files() -> list[str]:
    """What this process has open, as Linux tells it; nothing elsewhere."""
    links = Path("/proc/self/fd")
    return [os.readlink(link) for link in links.iterdir() if link.is_symlink()] if links.exists() else []


def python(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


# ------------------------------------------------------------------------------------------------------------- layout


async def test_segments_are_named_by_their_position_and_sealed_but_for_the_last(tmp_path) -> None:
    ends = await write_all(tmp_path, [bytes(600)] * 5, segment_bytes=1000)
    assert [path.name for path in segments(tmp_path)] == [f"{base:020d}.log" for base in (0, ends[1], ends[3])]
    assert [path.stat().st_mode & 0o777 for path in segments(tmp_path)] == [0o440, 0o440, 0o640]
    assert int.from_bytes((tmp_path / "durable").read_bytes(), "little") == ends[-1]


async def test_a_segment_that_a_crash_left_unsealed_is_sealed_at_the_next_start(tmp_path) -> None:
    await write_all(tmp_path, [bytes(600)] * 5, segment_bytes=1000)
    segments(tmp_path)[0].chmod(0o640)
    assert (await reopen(tmp_path)).cut == 0
    assert [path.stat().st_mode & 0o777 for path in segments(tmp_path)] == [0o440, 0o440, 0o640]


async def test_a_copy_whose_last_segment_is_sealed_goes_on(tmp_path) -> None:
    await write_all(tmp_path, [b"a" * 600] * 3, segment_bytes=1000)
    segments(tmp_path)[-1].unlink()
    (tmp_path / "durable").unlink()
    assert len(await write_all(tmp_path, [b"b"])) == 1
    assert read_all(tmp_path) == [b"a" * 600] * 2 + [b"b"]


async def test_concurrent_appends_share_a_sync(tmp_path, monkeypatch) -> None:
    syncs = []
    really = os.fdatasync

    def sync(fd: int) -> None:
        syncs.append(fd)
        really(fd)

    monkeypatch.setattr(os, "fdatasync", sync)
    writer = SegmentWriter.open(tmp_path)
    await asyncio.gather(*(writer.append(b"x" * 1000) for _ in range(1000)))
    assert len(syncs) == 1
    await writer.close()


async def test_a_write_that_comes_up_short_is_carried_on(tmp_path, monkeypatch) -> None:
    really = os.pwritev

    def short(fd: int, buffers: list[bytes], offset: int) -> int:
        return really(fd, [b"".join(buffers)[:7]], offset)

    monkeypatch.setattr(os, "pwritev", short)
    await write_all(tmp_path, [b"abcdefghij", b"", b"klm" * 20])
    assert read_all(tmp_path) == [b"abcdefghij", b"", b"klm" * 20]


# -------------------------------------------------------------------------------------------------- other processes

APPENDING = """
import asyncio, sys
from pathlib import Path
from richpanel.log.segments import SegmentWriter

async def client(writer, name):
    turn = 0
    while True:
        turn += 1
        payload = f"{name}-{turn} ".encode() * (turn % 300)
        end = await writer.append([payload, b"!"])
        sys.stdout.write(f"{end} {len(payload) + 1}\\n")
        sys.stdout.flush()

async def main():
    writer = SegmentWriter.open(Path(sys.argv[1]), segment_bytes=200_000)
    await asyncio.gather(*(client(writer, f"{sys.argv[2]}-{n}") for n in range(8)))

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path) -> None:
    acknowledged: dict[int, int] = {}
    for turn in range(5):
        child = python(APPENDING, tmp_path, turn)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(300 + 100 * turn)]
        with pytest.raises(LogLocked, match=str(child.pid)):
            asyncio.run(reopen(tmp_path))
        os.kill(child.pid, signal.SIGKILL)
        lines += child.communicate()[0].splitlines()
        whole = [line.split() for line in lines]
        acknowledged |= {int(pair[0]): int(pair[1]) for pair in whole[:-1]}  # The last line may be cut off.
        recovered = asyncio.run(reopen(tmp_path))
        assert recovered.missing == 0
        assert recovered.end >= max(acknowledged)
    reader = SegmentReader(tmp_path)
    position = 0
    found: dict[int, int] = {}
    while entries := reader.read(position):
        found |= {entry.end: len(entry.payload) for entry in entries}
        position = entries[-1].end
    reader.close()
    assert {end: found.get(end) for end in acknowledged} == acknowledged
    assert len(segments(tmp_path)) > 3


FOLLOWING = """
import hashlib, sys, time
from pathlib import Path
from richpanel.log.segments import SegmentReader

reader, position, digest = SegmentReader(Path(sys.argv[1])), 0, hashlib.sha256()
print("ready", flush=True)
for _ in range(int(sys.argv[2])):
    while not (entries := reader.read(position, 3000)):
        time.sleep(0.001)
    for entry in entries:
        digest.update(entry.payload)
        if entry.payload == b"the end":
            print(digest.hexdigest())
            sys.exit()
    position = entries[-1].end
"""


async def test_a_reader_in_another_process_follows_across_segments(tmp_path) -> None:
    child = python(FOLLOWING, tmp_path / "log", 1_000_000)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"  # Before there is a log at all.
    writer = SegmentWriter.open(tmp_path / "log", segment_bytes=20_000)
    digest = hashlib.sha256()
    for number in range(0, 2000, 20):
        given = [f"{n} ".encode() * (n % 90) for n in range(number, number + 20)]
        await asyncio.gather(*(writer.append(payload) for payload in given))
        digest.update(b"".join(given))
    await writer.append(b"the end")
    digest.update(b"the end")
    await writer.close()
    assert len(segments(tmp_path / "log")) > 10
    found, _ = await asyncio.to_thread(child.communicate, timeout=60)
    assert found.strip() == digest.hexdigest()


async def test_a_dropped_segment_is_let_go_by_readers(tmp_path) -> None:
    writer = SegmentWriter.open(tmp_path, segment_bytes=1000)
    ends = [await writer.append(bytes(600)) for _ in range(6)]
    reader = SegmentReader(tmp_path)
    reader.slice(HEADER_SIZE, 10)
    await writer.retain(ends[-1])
    reader.slice(ends[-2] + HEADER_SIZE, 10)
    assert not [name for name in open_files() if name.startswith(str(tmp_path)) and name.endswith("(deleted)")]
    reader.close()
    await writer.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_nobody_waits_for_a_writer_that_died_of_a_fault(tmp_path, monkeypatch) -> None:
    def fault(*_: object) -> int:
        raise ZeroDivisionError

    writer = SegmentWriter.open(tmp_path)
    await writer.append(b"kept")
    monkeypatch.setattr(os, "pwritev", fault)
    outcomes = await asyncio.gather(*(writer.append(b"lost") for _ in range(3)), return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"the log's writer has ended"}
    with pytest.raises(LogClosed):
        await writer.append(b"lost")
    await writer.close()
    monkeypatch.undo()
    assert (await reopen(tmp_path)).cut == 0
    assert read_all(tmp_path) == [b"kept"]


# ------------------------------------------------------------------------------------------- full and failing disks


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte. Only root may mount one; RLIMIT_FSIZE stands in for it elsewhere (below)."""
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tiny], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root; the test with RLIMIT_FSIZE runs everywhere")
    yield tiny
    subprocess.run(["umount", "--lazy", tiny], check=True)


async def append_until_refused(writer: SegmentWriter, kept: list[bytes]) -> None:
    for number in range(1000):
        payload = f"{number} ".encode() * 2000
        await writer.append(payload)
        kept.append(payload)


async def test_a_full_disk_refuses_and_recovers_by_itself(tiny_disk) -> None:
    directory = tiny_disk / "log"
    filler = tiny_disk / "filler"
    filler.write_bytes(bytes(500_000))
    writer = SegmentWriter.open(directory, segment_bytes=100_000)
    kept: list[bytes] = []
    with pytest.raises(LogFull, match="No space left"):
        await append_until_refused(writer, kept)
    assert len(kept) > 10
    assert read_all(directory) == kept
    with pytest.raises(LogFull, match="No space left"):  # At once, without asking the disk.
        await writer.append(b"x")
    await asyncio.sleep(PAUSE)
    outcomes = await asyncio.gather(*(writer.append(bytes(100_000)) for _ in range(3)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {LogFull}
    assert "No space left" in str(writer.refusal)
    filler.unlink()
    await asyncio.sleep(PAUSE)
    for number in range(20):
        kept.append(f"after {number}".encode() * 1000)
        await writer.append(kept[-1])
    assert str(writer.refusal) == "None"
    await writer.close()
    assert read_all(directory) == kept
    assert (await reopen(directory)).cut == 0
    assert read_all(directory) == kept


async def test_a_full_disk_is_asked_again_though_nobody_appends(tiny_disk) -> None:
    """Who is told to come back later may look whether we are ready first: that has to come true without an append."""
    filler = tiny_disk / "filler"
    filler.write_bytes(bytes(500_000))
    writer = SegmentWriter.open(tiny_disk / "log", segment_bytes=1 << 20)
    kept: list[bytes] = []
    with pytest.raises(LogFull):
        await append_until_refused(writer, kept)
    await asyncio.sleep(1.5)
    assert "No space left" in str(writer.refusal)
    filler.unlink()
    deadline = time.monotonic() + 60
    while writer.refusal is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    [segment] = (tiny_disk / "log").glob("*.log")
    assert segment.stat().st_size == writer.durable
    await writer.close()
    assert read_all(tiny_disk / "log") == kept


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from richpanel.log.contract import LogFull
from richpanel.log.segments import SegmentWriter

async def main():
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    writer = SegmentWriter.open(Path(sys.argv[1]))
    await writer.append(b"a" * 50_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, hard))
    await writer.append(b"b" * 50_000)
    for _ in range(3):
        try:
            await writer.append(b"lost" * 10_000)
        except LogFull as error:
            print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await asyncio.sleep(0.3)
    print(await writer.append(b"c" * 50_000))
    await writer.close()

asyncio.run(main())
"""


async def test_a_file_that_may_not_grow_refuses_and_recovers_by_itself(tmp_path) -> None:
    child = python(LIMITED, tmp_path)
    out, _ = await asyncio.to_thread(child.communicate, timeout=60)
    lines = out.splitlines()
    assert lines[-1] == str(3 * 50_008)
    assert len(lines) == 4
    assert all("File too large" in line for line in lines[:3])
    assert read_all(tmp_path) == [letter * 50_000 for letter in (b"a", b"b", b"c")]


async def test_a_sync_that_fails_keeps_nothing_of_its_commit(tmp_path, monkeypatch) -> None:
    really = os.fdatasync
    failing = False

    def sync(fd: int) -> None:
        if failing:
            raise OSError(errno.EIO, "Input/output error")
        really(fd)

    monkeypatch.setattr(os, "fdatasync", sync)  # Disks that fail on request are hard to come by.
    writer = SegmentWriter.open(tmp_path)
    await writer.append(b"one")
    failing = True
    outcomes = await asyncio.gather(*(writer.append(b"never") for _ in range(5)), return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"the log takes nothing: [Errno 5] Input/output error"}
    assert segments(tmp_path)[0].stat().st_size == writer.durable == HEADER_SIZE + 3
    await asyncio.sleep(PAUSE)
    with pytest.raises(LogFull):
        await writer.append(b"never")
    failing = False
    await asyncio.sleep(PAUSE)
    await writer.append(b"two")
    await writer.close()
    assert read_all(tmp_path) == [b"one", b"two"]


async def test_a_disk_that_lost_synced_bytes_takes_no_more(tmp_path, monkeypatch) -> None:
    really = os.fdatasync
    writer = SegmentWriter.open(tmp_path)
    await writer.append(b"one")
    await writer.append(b"two")

    def lose(fd: int) -> None:
        monkeypatch.setattr(os, "fdatasync", really)
        os.pwrite(fd, b"?", HEADER_SIZE + 3 + HEADER_SIZE)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", lose)
    for reason in ("Input/output error", "cannot be read back", "cannot be read back"):
        with pytest.raises(LogFull, match=reason):
            await writer.append(b"never")
        await asyncio.sleep(PAUSE)
    await writer.close()
    recovered = await reopen(tmp_path)
    assert recovered.missing == recovered.cut == HEADER_SIZE + 3
    assert read_all(tmp_path) == [b"one"]
