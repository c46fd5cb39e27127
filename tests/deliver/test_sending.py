"""Sending, against real servers on this machine that answer as strangers do."""

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from richpanel.core.codes import Code
from richpanel.core.retrying import Outcome
from richpanel.deliver.sending import ANSWER_BYTES, Answer, Sender, retry_after, url_of

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
TOTAL = 0.5


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """Read a request to its end; empty where there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head + await reader.readexactly(length)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """A server that does with each request what the script says."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await request_of(reader):
                await script(reader, writer, request)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def asked(url: str, *, allow_private: bool = True, total: float = TOTAL) -> Answer:
    sender = Sender("tests", allow_private=allow_private, total=total)
    try:
        return await sender.send(url, {"h": "x"})
    finally:
        await sender.close()


def saying(answer: bytes, *, close: bool = False) -> Script:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _request: bytes) -> None:
        writer.write(answer)
        await writer.drain()
        if close:
            writer.close()

    return script


async def test_a_request_is_one_post_of_json() -> None:
    seen: list[bytes] = []

    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        seen.append(request)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    async with serving(script) as url:
        answer = await asked(url_of(url, False))
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v2/t HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == {"h": "x"}
    assert answer.outcome == Outcome(200)
    assert answer.body == b"{}"
    assert 0 <= answer.milliseconds < TOTAL * 1000


@pytest.mark.parametrize("status", [200, 204, 400, 401, 429, 500, 503])
async def test_the_status_is_the_answer(status: int) -> None:
    async with serving(saying(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as url:
        assert (await asked(url)).outcome == Outcome(status)


async def test_retry_after_comes_with_it() -> None:
    async with serving(saying(b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")) as url:
        assert (await asked(url)).outcome == Outcome(429, retry_after=7_000)


async def test_nobody_is_sent_elsewhere() -> None:
    other: list[bytes] = []

    async def elsewhere(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        other.append(request)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with serving(elsewhere) as target:
        moved = b"HTTP/1.1 307 X\r\nLocation: %s/v2/t\r\nContent-Length: 0\r\n\r\n" % target.encode()
        async with serving(saying(moved)) as url:
            assert (await asked(url)).outcome == Outcome(307)
    assert not other


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", Code.CONNECTION_RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Code.CONNECTION_RESET),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", Code.CONNECTION_RESET),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Code.ANSWER_UNREADABLE),
    ],
)
async def test_what_is_no_whole_answer_is_none(answer: bytes, code: Code) -> None:
    async with serving(saying(answer, close=True)) as url:
        assert (await asked(url)).outcome == Outcome(None, code)


async def test_a_reset_is_none() -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _request: bytes) -> None:
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()

    async with serving(script) as url:
        assert (await asked(url)).outcome == Outcome(None, Code.CONNECTION_RESET)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["silent", "slow"])
async def test_an_answer_that_takes_too_long_is_none(first: bytes) -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _request: bytes) -> None:
        writer.write(first)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if first:
                writer.write(b".")
                await writer.drain()

    async with serving(script) as url:
        answer = await asked(url)
    assert answer.outcome == Outcome(None, Code.ANSWER_TIMED_OUT)
    assert TOTAL * 1000 - 50 <= answer.milliseconds < TOTAL * 1000 + 2_000  # Clocks are not one.


async def test_an_answer_that_is_slow_but_ends_counts() -> None:
    async def script(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _request: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
        for _ in range(3):
            await asyncio.sleep(0.05)
            writer.write(b".")

    async with serving(script) as url:
        answer = await asked(url, total=5.0)
    assert (answer.outcome, answer.body) == (Outcome(200), b"...")


async def test_of_a_long_answer_the_beginning_is_kept() -> None:
    async with serving(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + bytes(200_000))) as url:
        answer = await asked(url)
    assert answer.outcome == Outcome(200)
    assert answer.body == bytes(ANSWER_BYTES)


async def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert (await asked(url)).outcome == Outcome(None, Code.CONNECTION_REFUSED)


async def test_a_host_without_address() -> None:
    assert (await asked("http://nobody.invalid/")).outcome == Outcome(None, Code.HOST_NOT_FOUND)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*made, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    return files


async def test_a_certificate_that_nobody_vouches_for(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    assert (await asked(url, total=5.0)).outcome == Outcome(None, Code.TLS_FAILED)
    server.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_a_private_address_is_not_even_connected_to(host: str) -> None:
    met = asyncio.Event()

    def meet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        met.set()
        writer.close()

    server = await asyncio.start_server(meet, host.strip("[]"), 0)
    port = server.sockets[0].getsockname()[1]
    answer = await asked(f"http://{host}:{port}", allow_private=False)
    assert answer.outcome == Outcome(None, Code.PRIVATE_ADDRESS)
    await asyncio.sleep(0.05)
    assert not met.is_set()
    server.close()


@pytest.mark.parametrize(
    ("value", "milliseconds"),
    [
        *((None, None), ("7", 7_000), (" 0 ", 0), ("-1", None), ("soon", None), ("1.5", None), ("9" * 400, 10**12)),
        *(("Thu, 01 Jan 1970 00:00:10 GMT", 7_000), ("Thu, 01 Jan 1970 00:00:01 GMT", 0), ("\u0663", None)),
    ],
)
def test_what_retry_after_says(value: str | None, milliseconds: int | None) -> None:
    assert retry_after(value, 3.0) == milliseconds


@pytest.mark.parametrize(
    ("endpoint", "batch", "url"),
    [
        ("https://api.richpanel.com", False, "https://api.richpanel.com/v2/t"),
        ("https://api.richpanel.com/", True, "https://api.richpanel.com/v2/bt"),
        ("https://api.richpanel.com/v3", False, "https://api.richpanel.com/v3/t"),
        ("https://shop.example/richpanel/v2/", True, "https://shop.example/richpanel/v2/bt"),
    ],
)
def test_where_it_is_sent(endpoint: str, batch: bool, url: str) -> None:
    assert url_of(endpoint, batch) == url
