"""Bodies of every kind: compressed, in pieces, slow, broken, too large. The bound holds and the next call gets in."""

import asyncio
import gzip
import json
import time
import zlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from richpanel.core.record import MAX_DISCARD_BYTES
from richpanel.source.asgi import DoorOptions
from richpanel.source.body import Refused, inflate
from richpanel.source.keys import Source
from tests.source.running import Running, basic, chunks, http, running, track

ZIPPED = {"Content-Encoding": "gzip"}
LIMIT, INFLATED = 524_288, 1 << 20


def batch_of(size: int) -> bytes:
    """A batch of good calls, of so many bytes."""
    items = [json.dumps(track(messageId=f"m-{n}", properties={"text": "x" * 20_000})).encode() for n in range(20)]
    body = b'{"batch":[' + b",".join(items) + b"]}"
    return body + b" " * (size - len(body))


async def still_works(door: Running, source: Source) -> None:
    """Whatever came before, the next good call is taken."""
    assert (await door.post("/v1/track", track(messageId="after"), source)).code is None


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " gzip ", "x-gzip"])
async def test_gzip(door: Running, encoding: str) -> None:
    source = door.add()
    body = gzip.compress(json.dumps(track()).encode())
    assert (await door.post("/v1/track", body, source, headers={"Content-Encoding": encoding})).code is None
    assert door.bodies(source) == [track()]


@pytest.mark.parametrize("encoding", ["identity", ""])
async def test_not_compressed_and_saying_so(door: Running, encoding: str) -> None:
    source = door.add()
    assert (await door.post("/v1/track", track(), source, headers={"Content-Encoding": encoding})).code is None


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
async def test_other_encodings(door: Running, encoding: str) -> None:
    source = door.add()
    answer = await door.post("/v1/track", track(), source, headers={"Content-Encoding": encoding})
    assert (answer.status, answer.code) == (415, "unsupported_encoding")
    assert [code for code, _ in door.discards(source)] == ["unsupported_encoding"]
    await still_works(door, source)


GOOD = gzip.compress(json.dumps(track()).encode(), mtime=0)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no gzip",
        json.dumps(track()).encode(),
        GOOD[:-1],
        GOOD[:-9],
        GOOD[:12],
        GOOD[:-8] + b"\0" * 8,
        GOOD + b"trailing garbage",
        GOOD + GOOD,
        zlib.compress(json.dumps(track()).encode()),
        GOOD[:20] + b"\xff" + GOOD[21:],
    ],
)
async def test_broken_gzip(door: Running, body: bytes) -> None:
    source = door.add()
    answer = await door.post("/v1/track", body, source, headers=ZIPPED)
    assert (answer.status, answer.code) == (400, "invalid_gzip")
    assert door.discards(source) == [("invalid_gzip", body)]
    await still_works(door, source)


@pytest.mark.parametrize("size", [INFLATED + 1, 100 << 20])
async def test_gzip_bombs(door: Running, size: int) -> None:
    source = door.add()
    bomb = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(bomb.compress(b" " * (1 << 20)) for _ in range(size >> 20)) + bomb.compress(b" ") + bomb.flush()
    began = time.process_time()
    answer = await door.post("/v1/batch", body, source, headers=ZIPPED)
    assert (answer.status, answer.code) == (413, "inflated_too_large")
    assert time.process_time() - began < 0.5
    await still_works(door, source)


@pytest.mark.parametrize("zipped", [False, True])
async def test_the_size_of_a_request(door: Running, zipped: bool) -> None:
    """524,288 bytes after decompression."""
    source = door.add()
    assert (await door.post("/v1/batch", batch_of(LIMIT), source, zipped=zipped)).code is None
    over = batch_of(LIMIT + 1)
    answer = await door.post("/v1/batch", over, source, zipped=zipped)
    assert (answer.status, answer.code) == (400, "payload_too_large")
    kept, refused = door.records(source)
    assert len(kept.items) == 20
    ((discard, item),) = refused.discarded
    assert (discard.size, item.body) == (LIMIT + 1, over[:MAX_DISCARD_BYTES])


async def test_a_request_too_large_by_its_key_alone(door: Running) -> None:
    """Up to the megabyte that is read, a body tells whose it is."""
    source = door.add()
    body = b'{"writeKey":"' + source.write_keys[0].encode() + b'",' + batch_of(LIMIT + 50)[1:]
    assert (await door.post("/v1/batch", body)).code == "payload_too_large"
    assert [code for code, _ in door.discards(source)] == ["payload_too_large"]


@pytest.mark.parametrize("size", [INFLATED, INFLATED + 1, 9 << 20])
@pytest.mark.parametrize("chunked", [False, True])
async def test_far_too_large(door: Running, size: int, chunked: bool) -> None:
    """No more is kept than the limit, the answer arrives although it comes early, and the connection goes on."""
    source = door.add()
    body = b'{"batch":[' + b" " * (size - 12) + b"]}"
    raw = http("POST", "/v1/batch", body, basic(source.write_keys[0]))
    if chunked:
        head = raw.partition(b"\r\n\r\n")[0].replace(b"Content-Length: %d" % size, b"Transfer-Encoding: chunked")
        pieces = [body[at : at + 100_000] for at in range(0, size, 100_000)]
        raw = head + b"\r\n\r\n" + chunks(*pieces) + b"0\r\n\r\n"
    async with door.connection() as connection:
        await connection.write(raw)
        answer = await connection.read()
        assert (answer.status, answer.code) == (400, "payload_too_large")
        await connection.write(http("POST", "/v1/track", json.dumps(track()).encode(), basic(source.write_keys[0])))
        assert (await connection.read()).code is None
    assert [code for code, _ in door.discards(source)] == ["payload_too_large"]
    assert door.bodies(source) == [track()]


async def test_chunked_and_compressed(door: Running) -> None:
    """As kotlin and android-legacy send."""
    source = door.add()
    content = json.dumps({"batch": [track()], "writeKey": source.write_keys[0]}).encode()
    body = gzip.compress(content)
    head = b"POST /v1/b HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with door.connection() as connection:
        for piece in (head, *(chunks(body[at : at + 7]) for at in range(0, len(body), 7)), b"0\r\n\r\n"):
            await connection.write(piece)
            await asyncio.sleep(0.001)
        assert (await connection.read()).code is None
    assert door.bodies(source) == [track()]


SLOW = [
    ("/v1/track", "Content-Length: 100", b""),
    ("/v1/track", "Content-Length: 100", b'{"userId":'),
    ("/v1/batch", "Transfer-Encoding: chunked", b""),
    ("/v1/batch", "Transfer-Encoding: chunked", b'5\r\n{"bat\r\n'),
    ("/segment", "Content-Length: 100", b"{"),
]


@pytest.mark.parametrize(("path", "length", "beginning"), SLOW)
async def test_slow_bodies(door: Running, path: str, length: str, beginning: bytes) -> None:
    """A body has its time; then the connection is needed for somebody else."""
    source = door.add("segment" if path == "/segment" else "web")
    key = basic(source.write_keys[0])["Authorization"]
    began = time.monotonic()
    async with door.connection() as connection:
        await connection.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n{length}\r\n\r\n".encode())
        await connection.write(beginning)
        answer = await connection.read()
        assert (answer.status, answer.code) == (408, "request_timeout")
        assert 0.4 < time.monotonic() - began < 5
        assert await connection.closed()
    assert door.records(source) == []
    await still_works(door, door.add())


NEVER_FINISHED = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n"


async def test_a_trickle_is_slow_too(door: Running) -> None:
    """The time is for the whole body, not for each byte."""
    async with door.connection() as connection:
        await connection.write(NEVER_FINISHED)
        reading = asyncio.create_task(connection.read())
        while not reading.done():
            await connection.write(b" ")
            await asyncio.sleep(0.05)
        assert (await reading).code == "request_timeout"


async def test_many_slow_bodies_have_a_time_each(door: Running) -> None:
    source = door.add()
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(door.connection()) for _ in range(30)]
        for connection in connections:
            await connection.write(NEVER_FINISHED)
            await asyncio.sleep(0.01)
        await still_works(door, source)
        answers = [await connection.read() for connection in connections]
    assert {answer.code for answer in answers} == {"request_timeout"}


async def test_a_client_that_goes_away(door: Running) -> None:
    """A body shorter than its Content-Length is no call."""
    source = door.add()
    async with door.connection() as connection:
        raw = http("POST", "/v1/track", json.dumps(track()).encode(), basic(source.write_keys[0]))
        await connection.write(raw[:-1])
        await asyncio.sleep(0.02)
    await still_works(door, source)
    assert [body["messageId"] for body in door.bodies(source)] == ["after"]


@pytest.mark.parametrize("difference", [-1, -20, 1])
async def test_a_wrong_content_length(door: Running, difference: int) -> None:
    """What is too much is the next request, and none that HTTP knows; what is missing never comes."""
    source = door.add()
    body = json.dumps(track()).encode()
    raw = http("POST", "/v1/track", body, basic(source.write_keys[0]))
    wrong = raw.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % (len(body) + difference))
    answer = await door.send(wrong)
    assert answer.status == (408 if difference > 0 else 400)
    await still_works(door, source)


async def test_what_unfinished_bodies_may_hold(tmp_path: Path) -> None:
    """All requests together, whoever sends them."""
    async with running(tmp_path, DoorOptions(unfinished_bytes=300_000)) as door:
        source = door.add()
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(door.connection()) for _ in range(3)]
            reading = [asyncio.create_task(connection.read()) for connection in connections]
            for connection in connections:
                await connection.write(NEVER_FINISHED + b" " * 140_000)
            done, waiting = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
            (answer,) = (task.result() for task in done)
            for task in waiting:
                task.cancel()
        assert (answer.status, answer.code) == (429, "log_full")
        assert int(answer.headers["retry-after"]) > 0
        assert (await door.post("/v1/batch", batch_of(440_000), source)).code == "log_full"
        fits = {"batch": [track(properties={"a": "x" * 20_000})] * 10}
        for _ in range(500):  # The door has yet to hear that the others left.
            if (await door.post("/v1/batch", fits, source)).code is None:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("what others held is not given back")


def test_inflating_costs_no_more_than_its_limit() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    began = time.process_time()
    refused = inflate(bomb, b"gzip")
    assert isinstance(refused, Refused)
    assert len(refused.head) <= INFLATED + 1
    assert time.process_time() - began < 0.2
