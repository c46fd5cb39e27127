"""What every engine whose log is in files promises of erasing (log/contract.py, `LogEraser`)."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from pathlib import Path

import pytest

from richpanel.core.codes import Code
from richpanel.core.record import Discard, Meta, decode, encode
from richpanel.log.archive import Archive
from richpanel.log.contract import HEADER_SIZE, Entry, LogClosed
from tests.contract.engines import IN_FILES, archive_all, everything, payloads

pytestmark = pytest.mark.parametrize("engine", IN_FILES, indirect=True)


def recorded(number: int, sizes: Sequence[int] = (40, 700), refused: int = 1) -> bytes:
    """A record of as many bodies as there are sizes, the last ones of discards; each can be told from all others."""
    bodies = [(b'{"body":"%d.%d",' % (number, index)).ljust(size, b"x") for index, size in enumerate(sizes)]
    kept = len(sizes) - refused
    meta = Meta(1_790_000_000_000 + number, "src_1", [], ip="203.0.113.9", ids={0: f"door-{number}"} if kept else {})
    meta.discards = [Discard(Code.ID_NOT_STRING, 900, f"bad-{number}.{index}") for index in range(kept, len(sizes))]
    return b"".join(encode(meta, bodies))


def bodies_of(entry: Entry) -> list[tuple[int, int]]:
    """Where each body of an entry stands in the log, and its size."""
    found = decode(entry.payload)
    items = [*found.items, *(item for _, item in found.discarded)]
    return [(entry.start + HEADER_SIZE + item.offset, len(item.body)) for item in items]


def nowhere(directory: Path, *needles: bytes) -> bool:
    """Tell whether none of this is in any file, archives inflated."""
    for path in filter(Path.is_file, directory.rglob("*")):
        content = b"".join(Archive(path).blocks()) if path.suffix == ".zst" else path.read_bytes()
        if any(needle in content for needle in needles):
            return False
    return True


@pytest.mark.parametrize("archived", [False, True], ids=["raw", "archived"])
async def test_what_is_erased_is_gone_and_all_else_reads_as_before(engine, reader, archived) -> None:
    writer = engine.writer(piece=150_000)
    given = [recorded(number, (40, 700, 5 + number)) for number in range(500)]
    given[300] = recorded(300, (200_000, 10))
    for payload in given:
        await writer.append(payload)
    whole = everything(reader)
    if archived:
        assert len(await archive_all(writer, whole[-1].end)) == 4
    chosen = [0, 7, 8, 299, 300, 498, 499]  # In the first, in the large, and in the last, which is appended to.
    spans = [bodies_of(whole[number])[index] for number in chosen for index in (-1, 0)]
    needles = [b'body":"%d.%d"' % (n, index) for n in chosen for index in (0, 1 if n == 300 else 2)]
    needles += [b'door-%d"' % number for number in chosen] + [b"bad-%d.2" % number for number in chosen]
    for place, size in spans:
        assert reader.slice(place, size).strip()
    assert not nowhere(engine.directory, needles[0])
    assert await writer.erase(spans) == len(chosen)
    assert nowhere(engine.directory, *needles)
    for one in (reader, engine.reader()):  # One that had it open, one that begins.
        found = everything(one)
        assert [(entry.start, entry.end) for entry in found] == [(entry.start, entry.end) for entry in whole]
        for number, (old, new) in enumerate(zip(whole, found, strict=True)):
            assert (new == old) is (number not in chosen)
        for place, size in spans:
            assert one.slice(place, size) == b" " * size
        for number in chosen:
            for place, size in bodies_of(whole[number])[1:-1]:
                assert one.slice(place, size) in given[number]
        assert decode(found[300].payload).meta.ip is None, "nothing of the record is left"
        assert decode(found[299].payload).meta.ip is not None
    assert await writer.erase(spans) == 0
    after = payloads(reader)
    await writer.append(recorded(500))
    assert payloads(reader) == [*after, recorded(500)]
    await archive_all(writer, reader.durable())
    assert payloads(reader) == [*after, recorded(500)]
    await writer.close()
    writer = engine.writer()
    assert payloads(engine.reader()) == [*after, recorded(500)]
    await writer.close()


async def test_erasing_goes_on_where_others_append(engine, reader) -> None:
    writer = engine.writer(piece=20_000)
    ends = [await writer.append(recorded(number)) for number in range(60)]
    whole = everything(reader)
    erasing = asyncio.create_task(writer.erase([bodies_of(entry)[0] for entry in whole]))
    while not erasing.done():
        ends.append(await writer.append(recorded(len(ends))))
        assert reader.slice(ends[-1] - 10, 9) == recorded(len(ends) - 1)[-10:-1]
    assert await erasing == 60
    found = everything(reader)
    assert [entry.end for entry in found] == ends
    assert [entry.payload for entry in found[60:]] == [recorded(number) for number in range(60, len(ends))]
    assert nowhere(engine.directory, *(b'body":"%d.0"' % number for number in range(60)))
    await writer.close()


async def test_slices_and_reads_while_bodies_are_erased(engine, reader) -> None:
    """Every read gives the old bytes or the new ones, and never a record that does not match its CRC."""
    writer = engine.writer(piece=30_000)
    for number in range(120):
        await writer.append(recorded(number))
    whole = everything(reader)
    await writer.archive(whole[-1].end, inf)
    spans = [bodies_of(entry)[0] for entry in whole]
    stop = threading.Event()

    def check(turn: int) -> int:
        own, looks = engine.reader(), 0
        while not stop.is_set():
            for (place, size), entry in zip(spans, whole, strict=True):
                assert reader.slice(place, size) in (
                    b" " * size,
                    entry.payload[place - entry.start - HEADER_SIZE :][:size],
                )
            if turn == 0:
                assert [entry.end for entry in everything(own)] == [entry.end for entry in whole]
            looks += 1
        own.close()
        return looks

    with ThreadPoolExecutor(3) as pool:
        reading = [asyncio.get_running_loop().run_in_executor(pool, check, turn) for turn in range(3)]
        for part in (spans[::3], spans[1::3], spans[2::3]):
            assert await writer.erase(part) == 40
        stop.set()
        assert all(await asyncio.gather(*reading))
    assert not any(reader.slice(*span).strip() for span in spans)
    await writer.close()


async def test_what_is_no_body_is_refused_and_the_rest_is_erased(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    for number in range(9):
        await writer.append(recorded(number))
    await writer.append(b"no record of ours")
    whole = everything(reader)
    place, size = bodies_of(whole[0])[0]
    for wrong in ((place, size + 1), (place + 1, size - 1), (whole[0].start, 4), (whole[1].start - 3, 8)):
        with pytest.raises(ValueError, match="body"):
            await writer.erase([wrong])
    for outside in ((whole[-1].end, 1), (whole[-1].end - 5, 6), (-1, 4)):
        with pytest.raises(ValueError, match=r"body|argument|out of range|int"):
            await writer.erase([outside])
    with pytest.raises(ValueError, match="meta"):
        await writer.erase([(whole[-1].start + HEADER_SIZE, 5)])
    assert everything(reader) == whole
    with pytest.raises(ValueError, match="body"):
        await writer.erase([(place + 1, size), bodies_of(whole[8])[0]])
    assert not reader.slice(*bodies_of(whole[8])[0]).strip(), "the other piece was done"
    assert everything(reader)[:8] == whole[:8]
    assert await writer.erase([]) == 0
    await writer.close()


async def test_what_is_no_longer_kept_needs_no_erasing(engine, reader) -> None:
    writer = engine.writer(piece=2_000)
    for number in range(9):
        await writer.append(recorded(number))
    whole = everything(reader)
    await writer.retain(whole[4].end)
    assert reader.first() > whole[1].end
    assert await writer.erase([bodies_of(whole[1])[0], bodies_of(whole[7])[0]]) == 1
    await writer.close()


async def test_a_closed_log_erases_nothing(engine, reader) -> None:
    writer = engine.writer()
    await writer.append(recorded(0))
    await writer.close()
    with pytest.raises(LogClosed):
        await writer.erase(bodies_of(everything(reader)[0]))
