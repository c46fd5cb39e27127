"""Carrying a log's records to a stream: all of them, in order, above every place of the old log, seen by digest."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from richpanel.log import ground
from richpanel.log.carrying import Carrier, CarryError
from richpanel.log.contract import LogFull
from richpanel.log.ground import GroundError
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.log.stream import Stream
from richpanel.log.stream_reader import JetStreamReader
from tests.contract.engines import everything, payloads
from tests.contract.nats_server import NatsServer

pytestmark = pytest.mark.anyio
TERABYTE = 1 << 40


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path_factory.mktemp("nats"))
    yield made
    made.stop()


@pytest.fixture
def stream(server: NatsServer, request: pytest.FixtureRequest) -> Stream:
    return Stream((server.url,), f"S{abs(hash(request.node.name))}", max_bytes=64 << 20)


async def append(path: Path, records: list[bytes]) -> None:
    writer = SegmentWriter.open(path)
    await asyncio.gather(*(writer.append(each) for each in records))
    await writer.close()


async def test_the_stream_begins_far_above_and_holds_every_record_in_order(stream: Stream, tmp_path: Path) -> None:
    records = [os.urandom(number * 37 % 5000 + 1) for number in range(2_500)] + [b"x" * 900_000]
    await append(tmp_path, records[:2_000])
    assert (await ground.survey(stream)).made is None
    made = await ground.make(stream)
    assert await ground.make(stream) == made
    with closing(SegmentReader(tmp_path)) as old, closing(JetStreamReader(stream)) as new:
        start = await ground.clear(stream, old.durable())
        assert start > old.durable() + TERABYTE
        begun = everything(old)[500].start
        writer = JetStreamWriter(stream, new, applied=lambda: start)
        carrier = Carrier(old, begun, writer, new, start)
        await carrier.carry(old.durable())
        await append(tmp_path, records[2_000:])
        await carrier.carry(old.durable())
        await carrier.carry(old.durable())
        await writer.close()
        assert carrier.position == old.durable()
        assert carrier.sent.records == 2_001
        assert payloads(new, start) == records[500:]
        assert everything(new, start)[0].start == start
        found = await ground.survey(stream)
        assert (found.made, found.records) == (made, 2_001)


async def test_a_stream_that_is_cleared_begins_above_what_it_held(stream: Stream) -> None:
    await ground.make(stream)
    first = await ground.clear(stream, 0)
    with closing(JetStreamReader(stream)) as new:
        writer = JetStreamWriter(stream, new, applied=lambda: first)
        assert first < await writer.append(b"half a copy") < first + 100
        await writer.close()
    again = await ground.clear(stream, 0)
    assert again > first + TERABYTE
    assert (await ground.survey(stream)).records == 0
    with closing(JetStreamReader(stream)) as new:
        writer = JetStreamWriter(stream, new, applied=lambda: again)
        assert again < await writer.append(b"the copy") < again + 100
        assert payloads(new, again) == [b"the copy"]
        await writer.close()


class Forging(JetStreamWriter):
    """Changes one record of many, as a broken network card would."""

    async def append(self, payload: object) -> int:
        return await super().append(bytes(payload).replace(b"300", b"3OO"))  # type: ignore[call-overload]


async def test_what_did_not_arrive_as_it_was_sent_is_noticed(stream: Stream, tmp_path: Path) -> None:
    await append(tmp_path, [b"record %d" % number for number in range(500)])
    await ground.make(stream)
    start = await ground.clear(stream, 0)
    with closing(SegmentReader(tmp_path)) as old, closing(JetStreamReader(stream)) as new:
        writer = Forging(stream, new)
        with pytest.raises(CarryError, match="does not hold"):
            await Carrier(old, 0, writer, new, start).carry(old.durable())
        await writer.close()


async def test_a_stream_that_is_too_small_says_so(server: NatsServer, tmp_path: Path) -> None:
    await append(tmp_path, [os.urandom(100_000) for _ in range(30)])
    small = Stream((server.url,), "SMALL", max_bytes=1 << 20)
    await ground.make(small)
    start = await ground.clear(small, 0)
    with closing(SegmentReader(tmp_path)) as old, closing(JetStreamReader(small)) as new:
        writer = JetStreamWriter(small, new)
        with pytest.raises(LogFull):
            await Carrier(old, 0, writer, new, start).carry(old.durable())
        await writer.close()


async def test_where_no_server_answers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ground, "SECONDS", 0.5)
    with pytest.raises(ConnectionError, match="do not answer"):
        await ground.survey(Stream(("nats://127.0.0.1:1",)))


async def test_servers_without_jetstream_are_refused(tmp_path: Path, server: NatsServer) -> None:
    wrong = Stream((server.url,), "A", replicas=3)
    with pytest.raises(GroundError, match="cannot be made"):
        await ground.make(wrong)
