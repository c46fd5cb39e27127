"""Appending from beside the owner: what comes of the owner's death, silence and refusals. The rest is `test_log.py`."""

import asyncio
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from richpanel.log.contract import LogClosed, LogFull, LogUnsure
from richpanel.log.remote import Appends, RemoteWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from tests.contract.engines import listening_at
from tests.contract.segment_files import read_all


@pytest.fixture
def path() -> Iterator[str]:
    folder = Path(tempfile.mkdtemp(prefix="richpanel-"))
    yield str(folder / "log")
    shutil.rmtree(folder)


@pytest.fixture
async def remote(tmp_path: Path, path: str) -> AsyncIterator[RemoteWriter]:
    reader = SegmentReader(tmp_path)
    writer = RemoteWriter(path, reader, seconds=2.0)
    yield writer
    await writer.close()
    reader.close()


@asynccontextmanager
async def owner(folder: Path, listening: object, **options: int) -> AsyncIterator[SegmentWriter]:
    """The owner of a log, as the front is: it ends as an owner that is told to stop does."""
    log = SegmentWriter.open(folder, **options)
    appends = Appends(log, listening)  # type: ignore[arg-type]
    yield log
    await appends.close()
    await log.close()


async def test_the_owner_and_those_beside_it_share_one_log(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    other = RemoteWriter(path, SegmentReader(tmp_path))
    async with owner(tmp_path, listening_at(path)) as log:
        for turn in range(50):
            ends = await asyncio.gather(log.append(b"o%d" % turn), remote.append(b"r%d" % turn), other.append(b"s"))
            assert len(set(ends)) == 3
            assert remote.durable == log.durable == max(ends)
        await other.close()
    assert len(read_all(tmp_path)) == 150


async def test_errors_come_through_as_they_are(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    async with owner(tmp_path, listening_at(path), max_waiting_bytes=50_000) as log:
        with pytest.raises(ValueError, match="60024 bytes is larger"):
            await remote.append(bytes(59_000))
        outcomes = await asyncio.gather(*(remote.append(bytes(9_000)) for _ in range(9)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {int, LogFull}
        assert "wait for the disk" in str(next(outcome for outcome in outcomes if isinstance(outcome, LogFull)))
        await log.close()
        with pytest.raises(LogClosed):
            await remote.append(b"too late")


async def test_an_owner_that_comes_later_finds_what_waits(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    listening = listening_at(path)
    waiting = [asyncio.create_task(remote.append(b"%d" % number)) for number in range(20)]
    await asyncio.sleep(0.2)
    assert not any(task.done() for task in waiting)
    async with owner(tmp_path, listening):
        ends = await asyncio.gather(*waiting)
    assert ends == sorted(ends)
    assert read_all(tmp_path) == [b"%d" % number for number in range(20)]


async def test_an_owner_that_dies_leaves_nobody_waiting(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    """What was sent may be kept or not; what comes afterwards goes to the next owner by itself."""
    listening = listening_at(path)
    loop = asyncio.get_running_loop()
    listening.setblocking(False)
    sent = asyncio.create_task(remote.append(b"lost?"))
    dying, _ = await loop.sock_accept(listening)
    assert len(await loop.sock_recv(dying, 100)) == struct.calcsize("<QBI") + len(b"lost?")
    later = asyncio.create_task(remote.append(b"later"))
    dying.close()
    with pytest.raises(LogUnsure, match="went away"):
        await sent
    async with owner(tmp_path, listening):
        outcome = (await asyncio.gather(later, return_exceptions=True))[0]
        assert isinstance(outcome, int | LogUnsure)
        await remote.append(b"afterwards")
    kept = read_all(tmp_path)
    assert kept == ([b"later"] if isinstance(outcome, int) else []) + [b"afterwards"]


async def test_a_silent_owner_is_given_up(tmp_path: Path, path: str) -> None:
    with listening_at(path):
        writer = RemoteWriter(path, SegmentReader(tmp_path), seconds=0.3)
        with pytest.raises(LogUnsure, match="not answered"):
            await writer.append(b"x")
        await writer.close()


async def test_without_a_socket_it_is_said_at_once(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    with pytest.raises(LogUnsure, match="cannot be reached"):
        await remote.append(b"x")
    async with owner(tmp_path, listening_at(path)):
        await remote.append(b"x")


async def test_an_owner_that_stops_answers_first(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    async with owner(tmp_path, listening_at(path)):
        await remote.append(b"first")
        asked = [asyncio.create_task(remote.append(bytes(50_000))) for _ in range(30)]
        await asyncio.sleep(0.02)
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    kept = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert len(read_all(tmp_path)) == 1 + len(kept), "nobody was told less than was done"


async def test_more_than_may_wait_here_is_refused_here(tmp_path: Path, path: str) -> None:
    with listening_at(path):
        writer = RemoteWriter(path, SegmentReader(tmp_path), seconds=1.0)
        large = [asyncio.create_task(writer.append(bytes(12 << 20))) for _ in range(2)]
        outcomes = await asyncio.gather(*large, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [LogUnsure, LogFull]
        await writer.close()


async def test_nonsense_ends_the_connection_alone(tmp_path: Path, path: str, remote: RemoteWriter) -> None:
    async with owner(tmp_path, listening_at(path)):
        for said in (struct.pack("<QBI", 1, 99, 0), struct.pack("<QBI", 1, 1, 0xFFFFFFFF), b"\0"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(said)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        await remote.append(b"still there")
    assert read_all(tmp_path) == [b"still there"]
