"""What every log engine promises (log/contract.py). One suite, run on each engine and on one asked over a socket.

What only logs in files promise stands in `test_log_files.py` and `test_log_erase.py`.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from richpanel.log.contract import HEADER_SIZE, LogClosed, LogDamaged, LogFull, LogGone
from tests.contract.engines import everything, fill, payloads, reached


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
    assert entries[0].start == 0
    assert all(entry.start >= end for entry, end in zip(entries[1:], ends, strict=False))
    assert all(type(entry.payload) is bytes for entry in entries)
    assert writer.durable == await reached(reader, ends[-1]) == ends[-1]
    await writer.close()


async def test_positions_are_header_and_payload(engine, reader) -> None:
    writer = engine.writer()
    await writer.append(b"abc")
    await writer.append(b"0123456789")
    entries = everything(reader)
    for entry in entries:
        assert entry.end == entry.start + HEADER_SIZE + len(entry.payload)
        assert reader.slice(entry.start + HEADER_SIZE, len(entry.payload)) == entry.payload
    place = entries[1].start + HEADER_SIZE
    assert reader.slice(place + 3, 4) == b"3456"
    assert reader.slice(place, 0) == b""
    for wrong, size in ((place + 3, 8), (place + 10, 1)):
        with pytest.raises(LogDamaged, match=f"no {size} bytes"):
            reader.slice(wrong, size)
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
            assert await reached(reader, end) >= end
            assert reader.slice(end - len(payload), len(payload)) == payload

    await asyncio.gather(*(client(number) for number in range(20)))
    assert len(everything(reader)) == 400
    await writer.close()


async def test_whoever_asks_for_the_end_is_told_of_all_that_was_promised(engine, reader) -> None:
    """At once, by a reader that has been told of less so far, whoever appends."""
    writer = engine.writer()
    ends = [await writer.append(b"told of by and by")]
    assert await reached(reader, ends[0]) == ends[0]
    for _ in range(200):
        ends += await asyncio.gather(*(writer.append(bytes(50)) for _ in range(5)))
        assert await asyncio.to_thread(reader.end_now) == ends[-1]
    assert writer.durable == ends[-1]
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
    assert writer.durable == await reached(reader, ends[-1]) == ends[-1]
    with pytest.raises(LogClosed):
        await writer.append(b"too late")
    await writer.close()


async def test_a_log_opened_again_goes_on(engine, reader) -> None:
    given, end = [], 0
    for turn in range(4):
        writer = engine.writer(piece=1000)
        assert writer.durable == await reached(reader, end) == end
        for number in range(5):
            given.append(f"{turn} {number}".encode() * 50)
            end = await writer.append(given[-1])
        await writer.close()
    assert payloads(reader) == given


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


async def test_retention_drops_from_the_front_and_keeps_what_comes_behind(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 30, 1000)
    whole = everything(reader)
    assert await writer.retain(0) == []
    assert (await writer.retain(ends[10]))[0] == 0
    assert reader.first() > 0
    assert everything(reader, ends[10]) == whole[11:]
    assert everything(reader, reader.first()) == [entry for entry in whole if entry.start >= reader.first()]
    late = engine.reader()
    for one in (reader, late):
        with pytest.raises(LogGone):
            one.read(0)
        with pytest.raises(LogGone):
            one.slice(HEADER_SIZE, 4)
    late.close()
    await writer.append(b"more")
    assert payloads(reader, ends[10])[-1] == b"more"
    await writer.close()


async def test_retention_of_all_keeps_positions_growing(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    ends = await fill(writer, 7, 1000)
    await writer.retain(ends[-1])
    assert 0 < reader.first() < ends[-1], "the newest stays"
    assert await writer.append(b"next") > ends[-1]
    assert payloads(reader, ends[-1]) == [b"next"]
    await writer.close()
    writer = engine.writer()
    assert await writer.append(b"and more") > ends[-1]
    assert payloads(reader, ends[-1]) == [b"next", b"and more"]
    await writer.close()
