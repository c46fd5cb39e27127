"""What a segment log makes of torn, damaged, lost and forgotten bytes (log/recovery.py)."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.log.contract import HEADER_SIZE, LogDamaged
from richpanel.log.recovery import Recovery
from richpanel.log.segments import SegmentReader, SegmentWriter
from tests.contract.segment_files import change, publish, read_all, reopen, segments, write_all

payload_lists = st.lists(
    st.one_of(st.binary(max_size=40), st.binary(min_size=200, max_size=5000)), min_size=1, max_size=8
)


@settings(max_examples=40, deadline=None)
@given(payloads=payload_lists, data=st.data())
def test_a_damaged_tail_leaves_exactly_the_intact_prefix(payloads, data) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        ends = asyncio.run(write_all(directory, payloads, segment_bytes=1 << 30))
        (segment,) = segments(directory)
        whole = segment.read_bytes()
        if data.draw(st.booleans(), label="cut"):
            keep = data.draw(st.integers(0, len(whole)), label="keep")
            os.truncate(segment, keep)
            intact = sum(end <= keep for end in ends)
        else:
            start = ends[-2] if len(ends) > 1 else 0
            place = data.draw(st.integers(start, len(whole) - 1), label="flip")
            change(segment, place, bytes([whole[place] ^ data.draw(st.integers(1, 255), label="bits")]))
            intact = len(payloads) - 1
        recovered = asyncio.run(reopen(directory))
        assert read_all(directory) == payloads[:intact]
        assert recovered.end == ends[-1]  # A position that was published is not given out twice.
        ends = asyncio.run(write_all(directory, [b"after"]))
        assert read_all(directory) == [*payloads[:intact], b"after"]


@settings(max_examples=25, deadline=None)
@given(payloads=payload_lists, tail=st.binary(min_size=1, max_size=300))
def test_a_torn_write_is_cut_and_kept_aside(payloads, tail) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        end = asyncio.run(write_all(directory, payloads, segment_bytes=1 << 30))[-1]
        with segments(directory)[0].open("ab") as file:
            file.write(tail)
        recovered = asyncio.run(reopen(directory))
        assert (recovered.end, recovered.cut, recovered.missing) == (end, len(tail), 0)
        torn = directory / "torn" / f"{end}.bin"
        assert recovered.saved == (torn if any(tail) else None)
        assert torn.exists() == any(tail)
        assert not any(tail) or torn.read_bytes() == tail
        assert asyncio.run(write_all(directory, [b"after"])) == [end + HEADER_SIZE + 5]
        assert read_all(directory) == [*payloads, b"after"]


async def test_what_is_cut_twice_at_one_place_is_kept_twice(tmp_path) -> None:
    (end,) = await write_all(tmp_path, [b"x"])
    for tail in (b"one", b"two"):
        change(segments(tmp_path)[0], end, tail)
        await reopen(tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "torn").iterdir()} == {
        f"{end}.bin": b"one",
        f"{end}-1.bin": b"two",
    }


async def test_records_that_were_written_but_not_acknowledged_count_if_they_are_whole(tmp_path) -> None:
    first, second = await write_all(tmp_path, [b"one", b"two"])
    publish(tmp_path, first)
    assert read_all(tmp_path) == [b"one"]
    assert await reopen(tmp_path) == Recovery(base=0, end=second)
    assert read_all(tmp_path) == [b"one", b"two"]


@pytest.mark.parametrize("mark", [None, b"", b"abc"])
async def test_a_mark_that_is_missing_or_broken_is_made_anew(tmp_path, mark) -> None:
    (end,) = await write_all(tmp_path, [b"one"])
    (tmp_path / "durable").unlink()
    if mark is not None:
        (tmp_path / "durable").write_bytes(mark)
    reader = SegmentReader(tmp_path)
    assert (reader.durable(), reader.read(0)) == (0, [])
    assert (await reopen(tmp_path)).end == end
    assert [entry.payload for entry in reader.read(0)] == [b"one"]
    reader.close()


async def test_a_disk_that_lost_what_it_had_promised_leaves_a_gap_and_says_so(tmp_path) -> None:
    ends = await write_all(tmp_path, [b"a" * 100, b"b" * 100, b"c" * 100])
    reader = SegmentReader(tmp_path)
    change(segments(tmp_path)[0], ends[1] + 50, b"!")
    recovered = await reopen(tmp_path)
    assert (recovered.base, recovered.end) == (ends[2], ends[2])
    assert recovered.missing == recovered.cut == ends[2] - ends[1]
    assert recovered.saved is not None
    assert recovered.saved.stat().st_size == recovered.cut
    await write_all(tmp_path, [b"d"])
    # One who had read all, one who had read a part, one who begins: nobody misses the new record.
    for position, seen in ((ends[2], []), (ends[1], []), (0, [b"a" * 100, b"b" * 100])):
        found = []
        while entries := reader.read(position):
            found += [entry.payload for entry in entries]
            position = entries[-1].end
        assert found == [*seen, b"d"]
    reader.close()


async def test_nothing_is_put_before_what_a_consumer_has_applied(tmp_path) -> None:
    (end,) = await write_all(tmp_path, [b"one"])
    recovered = await reopen(tmp_path, floor=5000)
    assert (recovered.end, recovered.missing) == (5000, 5000 - end)
    assert await write_all(tmp_path, [b"two"]) == [5000 + HEADER_SIZE + 3]
    assert read_all(tmp_path) == [b"one", b"two"]
    assert await reopen(tmp_path, floor=5000) == Recovery(base=5000, end=5000 + HEADER_SIZE + 3)


async def test_a_log_whose_segments_are_gone_goes_on_behind_them(tmp_path) -> None:
    (end,) = await write_all(tmp_path, [b"one"])
    segments(tmp_path)[0].unlink()
    assert await write_all(tmp_path, [b"two"]) == [end + HEADER_SIZE + 3]
    assert read_all(tmp_path, end) == [b"two"]


async def test_until_the_owner_is_back_readers_stop_where_the_disk_does(tmp_path) -> None:
    ends = await write_all(tmp_path, [b"one", b"two"])
    publish(tmp_path, ends[-1] + 1000)
    assert read_all(tmp_path) == [b"one", b"two"]
    os.truncate(segments(tmp_path)[0], ends[-1] - 1)
    assert read_all(tmp_path) == [b"one"]


async def test_recovery_of_a_full_segment_is_quick(tmp_path) -> None:
    writer = SegmentWriter.open(tmp_path)
    for _ in range(2):
        await asyncio.gather(*(writer.append(bytes(2500)) for _ in range(10_000)))
    await writer.close()
    began = time.process_time()
    assert (await reopen(tmp_path)).cut == 0
    assert time.process_time() - began < 1.5  # 50 MB: 0.1 s; a busy machine is forgiven, a slow scan is not.


# ------------------------------------------------------------------------------------------------------------- damage


async def test_a_damaged_record_is_named_and_what_is_before_it_is_read(tmp_path) -> None:
    ends = await write_all(tmp_path, [b"a" * 400, b"b" * 400, b"c" * 400, b"d" * 400], segment_bytes=1000)
    change(segments(tmp_path)[0], ends[1] + HEADER_SIZE, b"!")
    reader = SegmentReader(tmp_path)
    entries = reader.read(0)
    assert [entry.payload[:1] for entry in entries] == [b"a", b"b"]
    with pytest.raises(LogDamaged, match="CRC") as caught:
        reader.read(entries[-1].end)
    assert caught.value.position == ends[1]
    assert reader.read(ends[2])[0].payload == b"d" * 400
    reader.close()


async def test_a_sealed_segment_that_was_shortened_is_damage(tmp_path) -> None:
    ends = await write_all(tmp_path, [b"a" * 600] * 4, segment_bytes=1000)
    segments(tmp_path)[0].chmod(0o640)
    os.truncate(segments(tmp_path)[0], ends[1] - 1)
    reader = SegmentReader(tmp_path)
    assert len(reader.read(0)) == 1
    with pytest.raises(LogDamaged, match="ends within"):
        reader.read(ends[0])
    with pytest.raises(LogDamaged):
        reader.slice(ends[1] - 10, 10)
    reader.close()


async def test_a_position_within_a_record_is_not_read_as_one(tmp_path) -> None:
    await write_all(tmp_path, [b"\xff" * 100, b"next"])
    reader = SegmentReader(tmp_path)
    with pytest.raises(LogDamaged, match="behind the end"):
        reader.read(20)
    with pytest.raises(LogDamaged):
        reader.slice(100, 1000)
    reader.close()
