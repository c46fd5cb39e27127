"""The relay: requests go on as they came and answers come back as they were, within bounds; the front goes on."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from richpanel.core.message import MAX_INFLATED_BYTES
from richpanel.roles import relay
from tests.roles.relaying import body_of, front, mirror, read, request


async def test_paths_and_queries_go_on_byte_for_byte(tmp_path: Path) -> None:
    async with front(tmp_path, mirror) as running:
        for path, query in (
            ("/api/v1/customers/gid%3A%2F%2Fshopify%2FCustomer%2F42/timeline", "limit=5&cursor=a%2Bb+c"),
            ("//x/../y/./%2e%2E/", "q=%20&q=a%26b=c"),
            ("/customers/%C3%A9%FF;p=1", "x=%"),
            ("/", "next=https://shop.example/?a=b"),
        ):
            answer = await running.get(f"{path}?{query}")
            told = json.loads(answer.body)
            assert (told["path"], told["query"]) == (path, query)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_methods_and_bodies_go_on(tmp_path: Path, method: str) -> None:
    async with front(tmp_path, mirror) as running:
        body = b'{"a": 1}\x00\xff' * 10_000
        told = json.loads((await running.send(request(method, "/api/v1/sources", body=body))).body)
        assert (told["method"], told["body"]) == (method, body.decode("latin-1"))
        chunked = f"{method} /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        told = json.loads((await running.send(chunked + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).body)
        names = [name for name, _ in told["headers"]]
        assert (told["body"], "transfer-encoding" in names, names.count("content-length")) == ("abcde", False, 1)


async def test_headers_go_on_but_those_of_this_connection(tmp_path: Path) -> None:
    async with front(tmp_path, mirror) as running:
        answer = await running.get(
            "/",
            "Connection: keep-alive, X-Mine",
            "X-Mine: 1",
            "Keep-Alive: timeout=5",
            "TE: trailers",
            "Upgrade: h2c",
            "Proxy-Authorization: Basic eA==",
            "Authorization: Bearer rp_x",
            "Cookie: a=1; b=Zo\xc3\xab",
            "Accept-Encoding: br",
            "X-Same: 1",
            "X-Same: 2",
        )
        headers = json.loads(answer.body)["headers"]
        names = {name for name, _ in headers}
        assert not names & {"connection", "x-mine", "keep-alive", "te", "upgrade", "proxy-authorization"}
        assert ["authorization", "Bearer rp_x"] in headers
        assert ["cookie", "a=1; b=Zo\xc3\xab"] in headers
        assert ["accept-encoding", "br"] in headers
        assert ["host", "shop.example"] in headers
        assert [value for name, value in headers if name == "x-same"] == ["1", "2"]
        assert not names & {"user-agent", "accept", "content-type"}, "nothing is made up"


CLAIMS = (
    "X-Forwarded-For: 203.0.113.9",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-Port: 1",
    "X-Real-IP: 203.0.113.9",
    "Forwarded: for=203.0.113.9",
)


async def test_what_a_client_claims_to_be_is_not_passed_on(tmp_path: Path) -> None:
    async with front(tmp_path, mirror) as running:
        told = json.loads((await running.get("/", *CLAIMS)).body)
    assert (told["client"], told["origin"]) == ("127.0.0.1", ["http", "shop.example"])
    assert "203.0.113.9" not in str(told["headers"])
    assert "evil.example" not in str(told["headers"])


async def test_what_a_trusted_proxy_says_is_what_the_pages_believe(tmp_path: Path) -> None:
    async with front(tmp_path, mirror, trusted=("127.0.0.1",)) as running:
        told = json.loads((await running.get("/", "X-Forwarded-For: 198.51.100.1, 203.0.113.9", *CLAIMS[1:3])).body)
    assert (told["client"], told["origin"]) == ("203.0.113.9", ["https", "evil.example"])


async def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    async def pages(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"location", b"/x?y=%20"), (b"x-odd", b"\xe9")]
        gone = [(b"connection", b"x-secret"), (b"x-secret", b"1"), (b"keep-alive", b"timeout=5")]
        await send({"type": "http.response.start", "status": 308, "headers": headers + gone})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    async with front(tmp_path, pages) as running:
        answer = await running.get("/")
    assert (answer.status, answer.body, answer.whole) == (308, b"one two", True)
    assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
    assert (answer.header("location"), answer.header("x-odd")) == ("/x?y=%20", "\xe9")
    names = [name for name, _ in answer.headers]
    assert names.count("date") == 1
    assert not {"x-secret", "keep-alive", "server"} & set(names)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
async def test_answers_without_a_body(tmp_path: Path, method: str, status: int) -> None:
    async def pages(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")] if status == 200 else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"12345" if status == 200 else b""})

    async with front(tmp_path, pages) as running:
        for _ in range(2):
            answer = await running.send(request(method, "/"))
            assert (answer.status, answer.body) == (status, b"")
            assert answer.header("content-length") == ("5" if status == 200 else None)


async def test_a_slow_reader_holds_the_pages_back(tmp_path: Path) -> None:
    """What is not read stays at its origin: the relay holds no more than a few buffers of it."""
    whole, piece, sent = 64 << 20, 1 << 20, 0

    async def pages(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % whole)]})
        for number in range(whole // piece):
            await send({"type": "http.response.body", "body": bytes([number]) * piece, "more_body": True})
            sent += piece
        await send({"type": "http.response.body"})

    async with front(tmp_path, pages) as running:
        reader, writer = await running.open()
        writer.write(request("GET", "/"))
        await reader.readuntil(b"\r\n\r\n")
        held = -1
        while held != sent:
            held = sent
            await asyncio.sleep(0.3)
        assert held < 24 << 20
        assert await reader.readexactly(whole) == b"".join(bytes([number]) * piece for number in range(whole // piece))
        writer.close()


async def test_a_client_that_leaves_ends_the_request(tmp_path: Path) -> None:
    began, left = asyncio.Event(), asyncio.Event()

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await body_of(receive)
            began.set()
            assert (await receive())["type"] == "http.disconnect"
            left.set()
        else:
            await mirror(scope, receive, send)

    async with front(tmp_path, pages) as running, asyncio.timeout(10):
        _, writer = await running.open()
        writer.write(request("GET", "/slow"))
        await began.wait()
        writer.close()
        await left.wait()
        assert (await running.get("/")).status == 200


async def test_an_answer_that_breaks_off_is_seen_to(tmp_path: Path) -> None:
    async def pages(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})

    async with front(tmp_path, pages) as running:
        answer = await running.get("/")
    assert (answer.status, answer.body, answer.whole) == (200, b"half", False)


async def silent(_scope: Any, receive: Any, _send: Any) -> None:
    """Pages that never answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


def refused(answer: Any, status: int) -> str:
    """What a refusal to an API client says."""
    assert (answer.status, answer.header("content-type")) == (status, "application/problem+json")
    problem = json.loads(answer.body)
    assert problem["status"] == status
    return str(problem["detail"])


async def test_bodies_are_bounded(tmp_path: Path) -> None:
    async with front(tmp_path, mirror) as running:
        reader, writer = await running.open()
        writer.write(b"POST /api/v1/sources HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent = 0
        while not reader.at_eof() and sent < 10 * MAX_INFLATED_BYTES:
            try:
                writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
                await writer.drain()
                sent += 0x10000
                async with asyncio.timeout(0.001):
                    await reader.readuntil(b"HTTP/1.1 413")
                    break
            except TimeoutError:
                continue
            except (ConnectionError, asyncio.IncompleteReadError):
                break
        assert MAX_INFLATED_BYTES < sent < 4 * MAX_INFLATED_BYTES
        writer.close()
        assert running.asked == [], "the pages never heard of it"
        assert (await running.get("/")).status == 200


async def test_bodies_have_their_time(tmp_path: Path) -> None:
    async with front(tmp_path, mirror, body_seconds=0.2) as running:
        answer = await running.send(request("POST", "/api/v1/sources", "Content-Length: 10") + b"123")
        assert refused(answer, 408) == "The body took too long to arrive."
        assert answer.header("connection") == "close"
        assert running.asked == []


async def test_without_pages_everybody_is_told_to_come_back(tmp_path: Path) -> None:
    async with front(tmp_path, None) as running:
        answer = await running.get("/api/v1/customers")
        assert "Calls are taken in" in refused(answer, 503)
        assert answer.header("retry-after") == "2"
        page = await running.get("/customers")
        assert (page.status, page.header("content-type")) == (503, "text/html; charset=utf-8")
        assert page.header("retry-after") == "2"
        assert b'<meta http-equiv="refresh" content="2">' in page.body
        assert b"<h1>We will be back in a moment</h1>" in page.body
        assert b"<script" not in page.body
        assert b"style=" not in page.body
        form = await running.send(request("POST", "/sign-in", body=b"a=b"))
        assert form.status == 503
        assert b"refresh" not in form.body, "a form is not sent again by itself"
        assert b"may not have been taken" in form.body


async def test_the_page_without_pages_has_its_styles(tmp_path: Path) -> None:
    async with front(tmp_path, None) as running:
        page = await running.get("/customers")
        [path] = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.body.decode())
        assert "style-src 'self'" in (page.header("content-security-policy") or "")
        styles = await running.get(path)
        assert (styles.status, styles.header("content-type")) == (200, "text/css; charset=utf-8")
        used = {each for names in re.findall(r'class="([^"]+)"', page.body.decode()) for each in names.split()}
        assert {name for name in used if f".{name}".encode() not in styles.body} == set()
        assert b"prefers-color-scheme: dark" in styles.body
        other = await running.get(path.replace("away.css", "app.css"))
        assert other.status == 503, "all else is the pages' own"


async def test_pages_that_are_down_are_not_waited_for(tmp_path: Path) -> None:
    async with front(tmp_path, mirror) as running:
        running.relay.up = False
        assert refused(await running.get("/api/v1/x"), 503)
        assert running.asked == []
        running.relay.up = True
        assert (await running.get("/api/v1/x")).status == 200


async def test_pages_that_die_amid_requests_are_told_of(tmp_path: Path) -> None:
    async with front(tmp_path, silent) as running:
        asking = [asyncio.create_task(running.send(request("POST", "/api/v1/x", body=b"{}"))) for _ in range(3)]
        await running.has_asked(3)
        connector: Any = running.relay._session.connector
        for connection in list(connector._acquired):
            connection.transport.abort()  # What the end of the other process looks like from here.
        for answer in await asyncio.gather(*asking):
            assert refused(answer, 503)
        assert len(running.asked) == 3, "what may have changed something is not asked again"


async def test_silence_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ANSWER_SECONDS", 0.3)
    async with front(tmp_path, silent) as running:
        assert refused(await running.get("/api/v1/x"), 504) == "The pages took too long to answer."


async def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "CONNECTIONS", 2)
    monkeypatch.setattr(relay, "WAIT_SECONDS", 0.3)
    going_on = asyncio.Event()

    async def pages(scope: Any, receive: Any, send: Any) -> None:
        await going_on.wait()
        await mirror(scope, receive, send)

    async with front(tmp_path, pages) as running:
        asking = [asyncio.create_task(running.get("/")) for _ in range(2)]
        await running.has_asked(2)
        assert "more to do than they can" in refused(await running.get("/api/v1/x"), 503)
        going_on.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200, 200]
        assert len(running.asked) == 2


async def test_connections_are_used_again(tmp_path: Path) -> None:
    async with front(tmp_path, mirror) as running:
        reader, writer = await running.open()
        for _ in range(20):
            writer.write(request("GET", "/"))
            assert (await read(reader)).status == 200
        connector: Any = running.relay._session.connector
        assert sum(map(len, connector._conns.values())) == 1
        writer.close()
