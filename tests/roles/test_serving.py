"""Heads of requests: in time, and with an end; the date of answers, and the server's own end."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest

from richpanel.roles.serving import MAX_HEAD_BYTES, BoundedConnection
from tests.roles.relaying import serving
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


async def _answer(_scope: object, _receive: object, send: Callable[[dict[str, object]], Awaitable[None]]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})


async def test_answers_are_dated_and_it_ends_at_once() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]

    async def date() -> datetime:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        (given,) = [line for line in (await reader.read()).split(b"\r\n") if line.startswith(b"date: ")]
        writer.close()
        return parsedate_to_datetime(given.removeprefix(b"date: ").decode())

    async with serving(_answer, listening) as server:
        first = await date()
        await asyncio.sleep(2.2)
        assert await date() > first
        began = time.monotonic()
        server.stop()
    assert time.monotonic() - began < 0.8
