"""Heads of requests: in time, and with an end."""

import asyncio
import time
from contextlib import suppress

import pytest

from richpanel.roles.serving import MAX_HEAD_BYTES, BoundedConnection
from tests.source.running import Running, basic, http, track

BODY = b'{"event":"E","userId":"u","messageId":"m"}'


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedConnection, "head_seconds", 0.3)


@pytest.mark.parametrize(
    "beginning", [b"", b"P", b"POST /v1/track HTTP/1.1\r\nHost: x\r\n", b"POST /v1/track HTTP/1.1\r\nX-Y"]
)
async def test_a_head_has_its_time(door: Running, beginning: bytes) -> None:
    async with door.connection() as connection:
        await connection.write(beginning)
        began = time.monotonic()
        assert await connection.closed()
        assert 0.2 < time.monotonic() - began < 3
    assert (await door.post("/v1/track", track(), door.add())).code is None


async def test_the_second_head_has_its_time_too(door: Running) -> None:
    source = door.add()
    whole = http("POST", "/v1/track", BODY, basic(source.write_keys[0]))
    async with door.connection() as connection:
        await connection.write(whole + whole[:40])
        assert (await connection.read()).code is None
        assert await connection.closed()
    assert len(door.bodies(source)) == 1


async def test_a_head_in_pieces_is_in_time(door: Running) -> None:
    source = door.add()
    async with door.connection() as connection:
        for _ in range(4):
            for piece in http("POST", "/v1/track", BODY, basic(source.write_keys[0])).split(b"\r\n")[:-1]:
                await connection.write(piece + b"\r\n")
                await asyncio.sleep(0.001)
            await connection.write(BODY)
            assert (await connection.read()).code is None
            await asyncio.sleep(0.15)
    assert len(door.bodies(source)) == 4


@pytest.mark.parametrize("beginning", [b"POST /v1/track HTTP/1.1\r\nX-Y: ", b"POST /v1/track?", b"GET /"])
async def test_a_head_has_an_end(door: Running, beginning: bytes) -> None:
    async with door.connection() as connection:
        await connection.write(beginning)
        sent = 0
        with suppress(ConnectionError):
            while not connection.reader.at_eof() and sent < 100:
                await connection.write(b"x" * MAX_HEAD_BYTES)
                await connection.peek()
                sent += 1
        assert sent < 100
    assert (await door.post("/v1/track", track(), door.add())).code is None


async def test_a_large_body_is_no_head(door: Running) -> None:
    """Several requests in one piece: only what belongs to an open head counts."""
    source = door.add()
    large = b'{"event":"E","userId":"u","messageId":"m"}' + b" " * 30_000
    whole = http("POST", "/v1/track", large, basic(source.write_keys[0]))
    async with door.connection() as connection:
        pieces = whole * 20
        for at in range(0, len(pieces), 150_000):
            await connection.write(pieces[at : at + 150_000])
        assert [(await connection.read()).code for _ in range(20)] == [None] * 20
    assert len(door.bodies(source)) == 20
