"""What every log engine promises (log/contract.py). One suite, run on each engine and on one asked over a socket."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from math import inf

import pytest

from richpanel.log.contract import HEADER_SIZE, LogClosed, LogFull, LogGone, LogLocked, LogWriter
from tests.contract.engines import archive_all, everything, payloads


async def fill(writer: LogWriter, count: int, size: int) -> list[int]:
    """Append one after the other, so that no two share a commit."""
    return [await writer.append(number.to_bytes(4) * (size // 4)) for number in range(count)]


async def test_an_empty_log_stands_at_0(engine, reader) -> None:
    assert (reader.durable(), reader.first(), reader.read(0)) == (0, 0, [])
    writer = engine.writer()
    assert (writer.durable, reader.durable(), reader.read(0)) == (0, 0, [])
    await writer.close()
    assert reader.read(0) == []


async def test_what_was_appended_is_read_as_it_was(engine, reader) -> None:
    writer = engine.writer()
    given = [b"first", b"", b"\0\0\0\0", bytes(range(256)) * 1000, b"last"]
    ends = [await writer.append(payload) for payload in given]
    entries = everything(reader)
    assert [entry.payload for entry in entries] == given
    assert [entry.end for entry in entries] == ends
    assert [entry.start for entry in entries] == [0, *ends[:-1]]
    assert all(type(entry.payload) is bytes for entry in entries)
    assert writer.durable == reader.durable() == ends[-1]
    await writer.close()


async def test_positions_are_header_and_payload(engine, reader) -> None:
    writer = engine.writer()
    await writer.append(b"abc")
    await writer.append(b"0123456789")
    for entry in everything(reader):
        assert entry.end == entry.start + HEADER_SIZE + len(entry.payload)
        assert reader.slice(entry.start + HEADER_SIZE, len(entry.payload)) == entry.payload
    assert reader.slice(11 + HEADER_SIZE + 3, 4) == b"3456"
    assert reader.slice(11 + HEADER_SIZE, 0) == b""
    await writer.close()


async def test_parts_are_one_payload(engine, reader) -> None:
    writer = engine.writer()
    await writer.append([b"one ", b"", b"two ", b"three"])
    await writer.append([])
    many = [str(number).encode() for number in range(5000)]  # More buffers than one system call takes.
    await writer.append(many)
    assert payloads(reader) == [b"one two three", b"", b"".join(many)]
    await writer.close()


async def test_concurrent_appends_keep_the_order_of_the_calls(engine, reader) -> None:
    writer = engine.writer()
    given = [str(number).encode() * (number % 50) for number in range(2000)]
    ends = await asyncio.gather(*(writer.append(payload) for payload in given))
    assert ends == sorted(ends)
    assert payloads(reader) == given
    await writer.close()


async def test_readers_see_a_record_once_its_append_returned(engine, reader) -> None:
    writer = engine.writer(piece=2000)

    async def client(number: int) -> None:
        for turn in range(20):
            payload = f"{number} {turn} ".encode() * 10
            end = await writer.append(payload)
            assert reader.durable() >= end
            assert reader.slice(end - len(payload), len(payload)) == payload

    await asyncio.gather(*(client(number) for number in range(20)))
    assert len(everything(reader)) == 400
    await writer.close()


async def test_reading_goes_on_from_any_entry(engine, reader) -> None:
    writer = engine.writer(piece=3000)
    ends = await fill(writer, 50, 400)
    whole = everything(reader)
    for number, end in enumerate(ends):
        assert everything(reader, end) == whole[number + 1 :]
    assert reader.read(ends[-1]) == []
    await writer.close()


@pytest.mark.parametrize("max_bytes", [0, 1, 500, 1000, 5000])
async def test_at_least_one_entry_however_large(engine, reader, max_bytes) -> None:
    writer = engine.writer()
    await fill(writer, 10, 1200)
    first = reader.read(0, max_bytes)
    assert len(first) == max(1, max_bytes // (1200 + HEADER_SIZE))
    assert len(everything(reader, max_bytes=max_bytes)) == 10
    await writer.close()


async def test_too_much_waiting_is_refused_at_once_and_the_rest_is_kept(engine, reader) -> None:
    writer = engine.writer(waiting=100_000)
    outcomes = await asyncio.gather(*(writer.append(bytes([n]) * 9_000) for n in range(12)), return_exceptions=True)
    kept = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert 1 <= len(kept) <= 11
    assert {type(outcome) for outcome in refused} == {LogFull}
    assert [payload[0] for payload in payloads(reader)] == kept
    await writer.append(b"there is room again")
    assert payloads(reader)[-1] == b"there is room again"
    await writer.close()


async def test_many_small_ones_are_too_much_too(engine) -> None:
    writer = engine.writer(waiting=1 << 20)
    outcomes = await asyncio.gather(*(writer.append(b"x") for _ in range(20_000)), return_exceptions=True)
    assert any(isinstance(outcome, LogFull) for outcome in outcomes)
    await writer.close()


async def test_a_payload_that_can_never_be_taken_is_a_fault(engine, reader) -> None:
    writer = engine.writer(waiting=100_000)
    with pytest.raises(ValueError, match="100001"):
        await writer.append(bytes(100_001 - 1024))
    await writer.append(bytes(100_000 - 1024))
    assert len(everything(reader)) == 1
    await writer.close()


async def test_a_cancelled_caller_disturbs_nobody(engine, reader) -> None:
    writer = engine.writer(waiting=200_000)
    for _ in range(5):
        tasks = [asyncio.create_task(writer.append(str(number).encode() * 100)) for number in range(50)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes[::2]} == {asyncio.CancelledError}
        stored = {entry.end: entry.payload for entry in everything(reader)}
        for number in range(1, 50, 2):
            assert stored[tasks[number].result()] == str(number).encode() * 100
    await writer.append(bytes(150_000))  # What the cancelled ones counted for was given back.
    await writer.close()


async def test_close_keeps_what_was_appended_before(engine, reader) -> None:
    writer = engine.writer()
    tasks = [asyncio.create_task(writer.append(str(number).encode())) for number in range(500)]
    await asyncio.sleep(0)
    await asyncio.gather(writer.close(), writer.close())
    ends = await asyncio.gather(*tasks)
    assert len(everything(reader)) == 500
    assert writer.durable == reader.durable() == ends[-1]
    with pytest.raises(LogClosed):
        await writer.append(b"too late")
    await writer.close()


async def test_a_log_opened_again_goes_on(engine, reader) -> None:
    given = []
    for turn in range(4):
        writer = engine.writer(piece=1000)
        assert writer.durable == reader.durable()
        for number in range(5):
            given.append(f"{turn} {number}".encode() * 50)
            await writer.append(given[-1])
        await writer.close()
    assert payloads(reader) == given


async def test_one_owner(engine) -> None:
    writer = engine.writer()
    with pytest.raises(LogLocked, match="owns the log"):
        engine.writer()
    await writer.append(b"still working")
    await writer.close()
    await engine.writer().close()


async def test_two_readers_are_strangers(engine) -> None:
    early, late = engine.reader(), engine.reader()
    writer = engine.writer(piece=1000)
    await fill(writer, 10, 400)
    first = everything(early)
    await fill(writer, 10, 400)
    second = everything(early, first[-1].end)
    assert everything(late) == first + second
    early.close()
    assert len(everything(late)) == 20
    late.close()
    await writer.close()


async def test_slices_from_many_threads(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    await fill(writer, 300, 1000)  # More pieces than a reader keeps open.
    entries = everything(reader)

    def check(turn: int) -> bool:
        chosen = entries[turn * 7 % 300 :: 11]
        return all(reader.slice(entry.start + HEADER_SIZE + 4, 8) == entry.payload[4:12] for entry in chosen)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(100)))
    await writer.close()


async def test_retention_drops_whole_pieces_from_the_front(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 30, 1000)
    whole = everything(reader)
    assert await writer.retain(0) == []
    dropped = await writer.retain(ends[10])
    assert dropped[0] == 0
    assert 0 < reader.first() <= ends[10]
    assert everything(reader, reader.first()) == [entry for entry in whole if entry.start >= reader.first()]
    with pytest.raises(LogGone):
        reader.read(0)
    with pytest.raises(LogGone):
        reader.slice(HEADER_SIZE, 4)
    late = engine.reader()
    with pytest.raises(LogGone):
        late.slice(HEADER_SIZE, 4)
    late.close()
    await writer.append(b"more")
    assert payloads(reader, ends[10])[-1] == b"more"
    await writer.close()


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


async def test_a_reader_goes_on_where_what_it_has_read_is_gone(engine) -> None:
    reader = engine.reader()
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 2, 1000)
    assert len(everything(reader)) == 2
    await writer.append(b"more")
    assert await writer.retain(ends[-1]) == [0]
    assert payloads(reader, ends[-1]) == [b"more"]
    with pytest.raises(LogGone):
        reader.read(ends[0])
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
