"""The stream engine beyond the contract: servers that die, hang, are full or far away (log/jetstream.py)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from nats.errors import Error as NatsError

from richpanel.log.consumer import StreamConsumer
from richpanel.log.contract import HEADER_SIZE, LogClosed, LogFull, LogGone, LogUnsure
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.stream import SPAN, Link, Stream, make_stream, sequence_at
from richpanel.log.stream_reader import JetStreamReader
from tests.contract.deaf import Deaf
from tests.contract.engines import JetStream, everything, fill, payloads, reached, until
from tests.contract.nats_server import NatsServer
from tests.sdk.network import LOOPBACK, free_port


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[JetStream]:
    made = JetStream(tmp_path)
    yield made
    await made.close()


async def settings(stream: Stream) -> dict:
    link = Link(stream, 5.0, lambda: None)
    await link.open()
    config: dict = (await link.call("STREAM.INFO"))["config"]
    await link.close()
    return config


# ----------------------------------------------------------------------------------------------------- servers that die


async def append_on(writer: JetStreamWriter, name: str, kept: dict[bytes, int], going: Callable[[], bool]) -> None:
    turn = 0
    while going():
        turn += 1
        payload = f"{name}-{turn} ".encode() * (1 + turn % 200)
        with suppress(LogUnsure, LogFull):
            kept[payload] = await writer.append(payload)
        await asyncio.sleep(0.001)


async def grown(kept: dict[bytes, int], count: int) -> None:
    """Wait until so many more were acknowledged."""
    wanted, deadline = len(kept) + count, time.monotonic() + 60
    while len(kept) < wanted:
        assert time.monotonic() < deadline, "nothing is acknowledged"
        await asyncio.sleep(0.002)


async def test_kill_9_of_the_server_loses_nothing_that_was_acknowledged(engine, reader) -> None:
    writer = engine.writer()
    kept: dict[bytes, int] = {}
    ended = False
    clients = [asyncio.create_task(append_on(writer, f"client-{n}", kept, lambda: not ended)) for n in range(8)]
    for turn in range(4):
        await grown(kept, 200 + 50 * turn)
        await asyncio.to_thread(engine.server.kill)
        await asyncio.to_thread(engine.server.start)
    await grown(kept, 200)
    ended = True
    await asyncio.gather(*clients)
    found = everything(reader)
    assert {entry.payload: entry.end for entry in found} == kept, "nobody waited too long, so every append was answered"
    assert len(found) == len(kept), "each of them once"
    for client in range(8):
        own = [entry.payload for entry in found if entry.payload.startswith(f"client-{client}-".encode())]
        assert own == sorted(own, key=lambda payload: int(payload.split()[0].rpartition(b"-")[2]))


async def test_appends_wait_for_a_server_that_comes_back(engine, reader) -> None:
    writer = engine.writer()
    await writer.append(b"before")
    engine.server.kill()
    waiting = [asyncio.create_task(writer.append(b"during %d" % number)) for number in range(50)]
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in waiting)
    engine.server.start()
    ends = await asyncio.gather(*waiting)
    assert ends == sorted(ends)
    assert payloads(reader) == [b"before", *(b"during %d" % number for number in range(50))]


async def test_a_record_whose_answer_was_lost_is_kept_once(engine, reader) -> None:
    async with Deaf(engine.server.port) as between:
        writer = JetStreamWriter(Stream((between.url,)), engine.reader())
        await writer.append(b"heard")
        between.deaf = True
        waiting = [asyncio.create_task(writer.append(b"unheard %d" % number)) for number in range(20)]
        assert await reached(reader, 20 * SPAN + 1) > 20 * SPAN, "the stream has them"
        assert not any(task.done() for task in waiting)
        between.deaf = False
        between.cut()
        ends = await asyncio.gather(*waiting)
        await writer.close()
    whole = everything(reader)
    assert [entry.payload for entry in whole] == [b"heard", *(b"unheard %d" % number for number in range(20))]
    assert [entry.end for entry in whole[1:]] == ends


async def test_who_was_sent_away_by_a_server_comes_back(engine) -> None:
    async with Deaf(engine.server.port) as between:
        log = JetStreamReader(Stream((between.url,)), seconds=5.0)
        writer = JetStreamWriter(Stream((between.url,)), log)
        end = await writer.append(b"one")
        assert await asyncio.to_thread(payloads, log) == [b"one"]
        for number in range(3):
            assert between.say(b"-ERR 'Authorization Violation'\r\n") == 2, "the writer and the reader"
            appended = await writer.append(b"after %d" % number)
            assert appended > end
            end = appended
            assert (await asyncio.to_thread(payloads, log))[-1] == b"after %d" % number
        await writer.close()
        await asyncio.to_thread(log.close)
    assert payloads(engine.reader()) == [b"one", *(b"after %d" % number for number in range(3))]


# ---------------------------------------------------------------------------------- servers that hang, or are not there


async def test_where_nobody_is_nothing_is_kept(tmp_path) -> None:
    stream = Stream((f"nats://{LOOPBACK}:{free_port()}",))
    log = JetStreamReader(stream, seconds=0.5)
    writer = JetStreamWriter(stream, log, seconds=0.5)
    with pytest.raises(LogFull, match="cannot be reached"):
        await writer.append(b"lost")
    for ask in (log.durable, log.first, lambda: log.read(0), lambda: log.slice(HEADER_SIZE, 1)):
        with pytest.raises(ConnectionError, match="cannot be reached"):
            await asyncio.to_thread(ask)
    with pytest.raises(ConnectionError, match="cannot be reached"):
        await writer.retain(1)
    await writer.close()
    with pytest.raises(LogClosed):
        await writer.append(b"lost")
    with pytest.raises(LogClosed):
        await writer.retain(1)
    log.close()


async def test_a_server_that_starts_later_is_found(tmp_path) -> None:
    server = NatsServer(tmp_path / "nats")
    server.stop()
    stream = Stream((server.url,))
    log = JetStreamReader(stream)
    writer = JetStreamWriter(stream, log)
    appending = asyncio.create_task(writer.append(b"early"))
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    assert await appending == HEADER_SIZE + 5
    assert payloads(log) == [b"early"]
    await writer.close()
    log.close()
    server.stop()


async def test_nobody_knows_of_a_record_that_a_hanging_server_was_sent(engine) -> None:
    log = engine.reader()
    writer = JetStreamWriter(engine.stream, log, seconds=1.0)
    await writer.append(b"one")
    engine.server.freeze()
    began = time.monotonic()
    with pytest.raises(LogUnsure, match="not answered"):
        await writer.append(b"two")
    assert time.monotonic() - began > 0.9
    engine.server.thaw()
    patient = engine.writer()
    await patient.append(b"three")
    assert payloads(log) in ([b"one", b"two", b"three"], [b"one", b"three"], [b"one", b"three", b"two"])
    for each in (writer, patient):
        await each.close()


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.5])
async def test_who_hangs_up_on_a_server_that_is_gone_has_no_trouble(engine, pause) -> None:
    log = JetStreamReader(engine.stream)
    writer, consumer = JetStreamWriter(engine.stream, log), StreamConsumer(engine.stream)
    await writer.append(b"one")
    assert len(await asyncio.to_thread(consumer.fetch)) == 1
    engine.server.kill()
    await asyncio.sleep(pause)
    await writer.close()
    await asyncio.to_thread(consumer.close)
    await asyncio.to_thread(log.close)


async def test_readers_find_a_server_that_comes_back(engine) -> None:
    writer, reader = engine.writer(), JetStreamReader(engine.stream, seconds=0.5)
    end = await writer.append(b"one")
    assert await reached(reader, end) == end
    engine.server.kill()
    with pytest.raises(ConnectionError):
        await asyncio.to_thread(reader.read, 0)
    assert reader.durable() == end, "what is known stays known, and nobody waits for it"
    engine.server.start()
    deadline = time.monotonic() + 60
    while True:
        with suppress(ConnectionError):
            assert await asyncio.to_thread(payloads, reader) == [b"one"]
            break
        assert time.monotonic() < deadline
    reader.close()


# --------------------------------------------------------------------------------------------------------- full streams


async def test_a_full_stream_refuses_and_takes_again_once_there_is_room(engine, reader) -> None:
    engine.stream = Stream((engine.server.url,), max_bytes=1 << 20)
    writer = engine.writer()
    kept: list[bytes] = []

    async def append_until_refused() -> None:
        for number in range(1000):
            payload = f"{number} ".encode() * 2000
            await writer.append(payload)
            kept.append(payload)

    with pytest.raises(LogFull, match="maximum bytes"):
        await append_until_refused()
    assert len(kept) > 50
    outcomes = await asyncio.gather(*(writer.append(bytes(20_000)) for _ in range(5)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {LogFull}
    whole = everything(reader)
    assert [entry.payload for entry in whole] == kept, "the oldest stay: what is new is refused"
    await writer.retain(whole[20].end)
    await writer.append(b"there is room again")
    assert payloads(reader, reader.first()) == [*kept[21:], b"there is room again"]


async def test_the_stream_is_made_as_it_is_wanted_and_follows_its_settings(engine) -> None:
    await engine.writer().append(b"one")
    made = await settings(engine.stream)
    assert {key: made[key] for key in ("storage", "discard", "max_bytes", "num_replicas", "allow_direct")} == {
        "storage": "file",
        "discard": "new",
        "max_bytes": 1 << 30,
        "num_replicas": 1,
        "allow_direct": True,
    }
    assert made["duplicate_window"] == 120 * 10**9
    engine.stream = Stream((engine.server.url,), max_bytes=2 << 30)
    writer = engine.writer()
    await writer.append(b"two")
    assert await settings(engine.stream) == {**made, "max_bytes": 2 << 30}
    assert payloads(engine.reader()) == [b"one", b"two"]


async def test_a_record_larger_than_a_message_is_a_fault(engine, reader) -> None:
    writer = engine.writer()
    with pytest.raises(ValueError, match="1048577 bytes is larger than the stream takes"):
        await writer.append(bytes((1 << 20) + 1))
    largest = bytes((1 << 20) - 256)
    await writer.append(largest)
    assert payloads(reader) == [largest]


# ----------------------------------------------------------------------------------------- many writers, gaps, and time


async def test_many_writers_share_a_stream(engine, reader) -> None:
    writers = [engine.writer() for _ in range(3)]

    async def client(number: int) -> list[int]:
        return [await writers[number].append(b"%d %d" % (number, turn)) for turn in range(100)]

    ends = await asyncio.gather(*(client(number) for number in range(3)))
    whole = everything(reader)
    for number, own in enumerate(ends):
        assert own == sorted(own)
        mine = [entry for entry in whole if entry.payload.startswith(b"%d " % number)]
        assert [entry.end for entry in mine] == own
        assert [entry.payload for entry in mine] == [b"%d %d" % (number, turn) for turn in range(100)]
    assert len(whole) == 300
    assert await reached(reader, max(map(max, ends))) == max(map(max, ends))
    assert await reached(writers[0]._log, whole[-1].end) == writers[0].durable  # It knows of what others wrote.


async def test_readers_hear_of_an_append_within_milliseconds(engine, reader) -> None:
    writer, took = engine.writer(), []
    for number in range(25):
        end = await writer.append(b"%d" % number)
        began = time.monotonic()
        await reached(reader, end)
        took.append(time.monotonic() - began)
    assert sorted(took)[12] < 0.05, "a look at the stream each half second would take five times as long"


async def test_reading_goes_on_from_any_gap(engine, reader) -> None:
    writer = engine.writer()
    ends = await fill(writer, 3, 100)
    whole = everything(reader)
    assert [entry.start for entry in whole] == [0, SPAN, 2 * SPAN]
    for position in (ends[0], ends[0] + 1, SPAN - 1, SPAN):
        assert reader.read(position) == whole[1:]
    assert reader.read(3 * SPAN) == reader.read(2 * SPAN + 1) == []
    late = engine.reader()
    await asyncio.to_thread(late.durable)
    await writer.append(b"more")
    assert [entry.payload for entry in late.read(ends[-1])] == [b"more"], "also before it was told of it"


async def test_retention_looks_at_the_time_and_at_whole_records(engine, reader) -> None:
    writer = engine.writer()
    ends = await fill(writer, 5, 100)
    await asyncio.sleep(2.2)
    between = time.time()
    ends += await fill(writer, 5, 100)
    assert await writer.retain(ends[-1], between - 100) == []
    assert await writer.retain(ends[1] - 1, between) == [0]
    assert reader.first() == SPAN, "the second one ends behind that position"
    assert await writer.retain(ends[-1], between) == [SPAN]
    assert reader.first() == 5 * SPAN
    with pytest.raises(LogGone):
        reader.read(ends[3])
    assert [entry.end for entry in reader.read(ends[4])] == ends[5:]


# -------------------------------------------------------------------------- what a writer says of itself, and lost ends


async def test_it_says_why_nothing_is_taken_and_recovers_without_an_append(engine) -> None:
    writer = engine.writer()
    assert "cannot be reached" in writer.refusal
    writer.connect()
    await until(lambda: writer.refusal is None)
    engine.server.kill()
    await until(lambda: writer.refusal is not None)
    assert "cannot be reached" in writer.refusal
    waiting = asyncio.create_task(writer.append(bytes(500)))
    await asyncio.sleep(0.1)
    assert writer.waiting == 500 + 1024
    engine.server.start()
    await until(lambda: writer.refusal is None)
    await waiting
    assert writer.waiting == 0
    engine.server.freeze()
    waiting = asyncio.create_task(writer.append(b"slow"))
    await until(lambda: writer.refusal is not None)
    assert "does not answer" in writer.refusal
    engine.server.thaw()
    await waiting
    await until(lambda: writer.refusal is None)


async def test_a_full_stream_is_told_of_until_there_is_room(engine) -> None:
    engine.stream = Stream((engine.server.url,), max_bytes=1 << 20)
    writer, other = engine.writer(), engine.writer()
    assert writer.waiting == 0
    taken = await asyncio.gather(*(writer.append(bytes(20_000)) for _ in range(100)), return_exceptions=True)
    assert {type(outcome) for outcome in taken} == {int, LogFull}
    assert "maximum bytes" in writer.refusal
    await asyncio.sleep(2.5)
    assert "maximum bytes" in writer.refusal, "it asks, and there is no room"
    await other.retain(30 * SPAN)
    await until(lambda: writer.refusal is None)
    await writer.append(b"one")


async def test_a_stream_that_lost_its_end_gives_no_position_twice(engine) -> None:
    ends = await fill(engine.writer(), 10, 100)
    link = Link(engine.stream, 5.0, lambda: None)
    await link.open()
    await link.call("STREAM.DELETE")
    await link.close()
    log = JetStreamReader(engine.stream)
    writer = JetStreamWriter(engine.stream, log, applied=lambda: ends[-1])
    end = await writer.append(b"after the loss")
    assert end > ends[-1]
    assert [entry.end for entry in log.read(log.first())] == [end]
    with pytest.raises(LogGone):
        log.read(ends[-1])
    again = JetStreamWriter(engine.stream, log, applied=lambda: end)
    assert SPAN < await again.append(b"nothing was lost") - end < 2 * SPAN
    assert payloads(log, log.first()) == [b"after the loss", b"nothing was lost"]
    for each in (writer, again):
        await each.close()
    log.close()


async def test_a_stream_that_is_deleted_under_a_writer_is_made_anew_above_what_was_given(engine) -> None:
    writer = engine.writer()
    ends = await fill(writer, 10, 100)
    link = Link(engine.stream, 5.0, lambda: None)
    await link.open()
    await link.call("STREAM.DELETE")
    await link.close()
    assert await writer.append(b"on") > ends[-1]


async def test_no_record_gets_into_a_new_stream_before_it_is_above_what_was_given(engine) -> None:
    ends = await fill(engine.writer(), 10, 100)
    link, other = (Link(engine.stream, 5.0, lambda: None) for _ in range(2))
    for each in (link, other):
        await each.open()
    for _ in range(5):
        await link.call("STREAM.DELETE")
        making = asyncio.create_task(make_stream(link, engine.stream, ends[-1]))
        taken: list[int] = []
        while len(taken) < 3:
            with suppress(NatsError):
                answer = await other.client.request(engine.stream.records, b"quick", timeout=1)
                taken.append(json.loads(answer.data)["seq"])
        assert await making, "it tells that records are lost"
        assert min(taken) > sequence_at(ends[-1])
        assert (await link.state())[1] >= max(taken), "what was taken stays"
    for each in (link, other):
        await each.close()


async def test_a_stream_whose_maker_was_killed_before_it_took_records_is_made_whole(engine) -> None:
    link = Link(engine.stream, 5.0, lambda: None)
    await link.open()
    await link.call("STREAM.CREATE", name=engine.stream.name, subjects=[engine.stream.unborn], storage="file")
    await link.close()
    writer = JetStreamWriter(engine.stream, engine.reader(), applied=lambda: 5 * SPAN)
    assert await writer.append(b"first") > 5 * SPAN
    await writer.close()
