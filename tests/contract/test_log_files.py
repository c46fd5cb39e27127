"""What every engine whose log is files of ours promises beside the rest (log/contract.py): one owner, and archives."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from math import inf

import pytest

from richpanel.log.contract import HEADER_SIZE, LogGone, LogLocked
from tests.contract.engines import IN_FILES, archive_all, everything, fill, payloads

pytestmark = pytest.mark.parametrize("engine", IN_FILES, indirect=True)


async def test_files_have_no_gaps(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 20, 400)
    assert [entry.start for entry in everything(reader)] == [0, *ends[:-1]]
    await writer.close()


async def test_one_owner(engine) -> None:
    writer = engine.writer()
    with pytest.raises(LogLocked, match="owns the log"):
        engine.writer()
    await writer.append(b"still working")
    await writer.close()
    await engine.writer().close()


async def test_retention_keeps_the_newest_piece(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 7, 1000)
    await writer.retain(ends[-1])
    assert reader.first() < ends[-1]
    assert await writer.append(b"next") == ends[-1] + HEADER_SIZE + 4
    assert payloads(reader, ends[-1]) == [b"next"]
    await writer.close()
    writer = engine.writer()
    assert writer.durable == ends[-1] + HEADER_SIZE + 4
    await writer.close()


async def test_what_is_archived_reads_as_before(engine, reader) -> None:
    writer = engine.writer(piece=150_000)
    given = [b"a" * 100_000, b"", bytes(range(256)) * 1200, *(str(n).encode() * (n % 90) for n in range(3000))]
    ends = [await writer.append(payload) for payload in given]
    whole = everything(reader)
    assert await archive_all(writer, 0) == []
    archived = await archive_all(writer, ends[-1])
    assert archived == sorted(archived)
    assert (archived[0], len(archived) > 2) == (0, True)
    for one in (reader, engine.reader()):  # One that had it open, one that begins.
        assert everything(one) == whole
        assert everything(one, max_bytes=1) == whole
        assert one.first() == 0
        for entry in whole[::7]:
            for skip, size in ((0, len(entry.payload)), (len(entry.payload) // 3, len(entry.payload) // 2)):
                place = entry.start + HEADER_SIZE + skip
                assert one.slice(place, size) == entry.payload[skip : skip + size]
    await writer.append(b"more")
    assert payloads(reader, ends[-1]) == [b"more"]
    await writer.close()
    writer = engine.writer()
    assert payloads(reader) == [*given, b"more"]
    await writer.close()


async def test_only_what_is_old_and_below_the_position_is_archived(engine) -> None:
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 12, 1000)
    assert await writer.archive(ends[-1], 0.0) is None
    assert await writer.archive(ends[0], inf) is None, "its piece ends behind the position"
    assert await archive_all(writer, ends[5]) == [0, *ends[1:5:2]]
    assert await writer.retain(ends[-1], 0.0) == [], "archived, and too young to go"
    dropped = await writer.retain(ends[-1], inf)
    assert dropped == [0, *ends[1:5:2]], "what is not archived stays"
    with pytest.raises(LogGone):
        engine.reader().slice(HEADER_SIZE, 4)
    assert len(everything(engine.reader(), ends[5])) == 6
    await writer.close()


async def test_archived_slices_from_many_threads_while_more_is_archived(engine, reader) -> None:
    writer = engine.writer(piece=100_000)
    given = [number.to_bytes(4) * 250 for number in range(600)]
    for payload in given:
        await writer.append(payload)
    entries = everything(reader)

    def check(turn: int) -> bool:
        chosen = entries[turn * 7 % 300 :: 11]
        return all(reader.slice(entry.start + HEADER_SIZE + 4, 8) == entry.payload[4:12] for entry in chosen)

    with ThreadPoolExecutor(8) as pool:
        loop = asyncio.get_running_loop()
        reading = [loop.run_in_executor(pool, check, turn) for turn in range(200)]
        assert len(await archive_all(writer, entries[-1].end)) == 5
        assert all(await asyncio.gather(*reading))
        assert all(pool.map(check, range(100)))
    await writer.close()
