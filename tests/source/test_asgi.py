"""Paths, methods, CORS, and the promise: 200 only when the record is on disk."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from richpanel import telemetry
from richpanel.core.message import TYPES
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.segments import SegmentWriter
from richpanel.log.stream import Stream
from richpanel.log.stream_reader import JetStreamReader
from richpanel.source.asgi import DoorOptions, message_ids, owns
from tests.contract.nats_server import NatsServer
from tests.source.running import SUCCESS, Running, basic, http, running, track

LETTERS = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
CALL = {"event": "E", "userId": "u-1", "previousId": "u-0", "groupId": "g-1", "name": "N", "messageId": "m-1"}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("path", "kind"), [*((name, name) for name in TYPES), *LETTERS.items()])
async def test_single_calls(door: Running, path: str, kind: str, slash: str) -> None:
    """The path names the type, whatever the call says."""
    source = door.add()
    answer = await door.post(f"/v1/{path}{slash}", {**CALL, "type": "no type"}, source)
    assert (answer.status, answer.body, answer.code) == (200, SUCCESS, None)
    kept = door.record(source)
    assert (kept.meta.type, kept.meta.door, kept.meta.sentAt) == (kind, "tracking", None)
    assert [item.body for item in kept.items] == [json.dumps({**CALL, "type": "no type"}).encode()]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("path", "way"), [("batch", "tracking"), ("b", "tracking"), ("import", "import")])
async def test_batches(door: Running, path: str, way: str, slash: str) -> None:
    source = door.add()
    answer = await door.post(f"/v1/{path}{slash}", {"batch": [track(), {**CALL, "type": "page"}]}, source)
    assert (answer.status, answer.body, answer.code) == (200, SUCCESS, None)
    kept = door.record(source)
    assert (kept.meta.type, kept.meta.door) == (None, way)
    assert door.bodies(source) == [track(), {**CALL, "type": "page"}]


@pytest.mark.parametrize("body", [b'{"series":[{"type":"Counter"}]}', b"", b"not JSON"])
async def test_metrics_of_the_browser_sdk_are_swallowed(door: Running, body: bytes) -> None:
    answer = await door.request("POST", "/v1/m", body, {"Content-Type": "text/plain"})
    assert (answer.status, answer.body) == (200, SUCCESS)


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/x",
        "/v1/batch/more",
        "/v1/projects",
        "/v1/projects/x",
        "/v1/pixel",
        "/v1/pixel/x",
        "/v1//track",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_nothing_there(door: Running, method: str, path: str) -> None:
    answer = await door.request(method, path, b"{}" if method == "POST" else b"")
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/track", "POST, OPTIONS"),
        ("PUT", "/v1/batch", "POST, OPTIONS"),
        ("DELETE", "/segment", "POST, OPTIONS"),
        ("GET", "/v1/m/", "POST, OPTIONS"),
        ("POST", "/v1/projects/x/settings", "GET, HEAD, OPTIONS"),
        ("POST", "/v1/pixel/track", "GET, HEAD, OPTIONS"),
        ("PATCH", "/analytics.js/v1/x/analytics.min.js", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_method(door: Running, method: str, path: str, allowed: str) -> None:
    answer = await door.request(method, path, b"{}")
    assert (answer.status, answer.code, answer.headers["allow"]) == (405, "method_not_allowed", allowed)


@pytest.mark.parametrize(
    "path",
    ["/v1/t", "/v1/batch", "/v1/b/", "/v1/m", "/v1/projects/x/settings", "/v1/pixel/track", "/segment", "/v1/nothing"],
)
async def test_preflight(door: Running, path: str) -> None:
    """From 1.84 on, Segment's browser SDK sends `Authorization`, so the browser asks first."""
    asked = "authorization,content-type,x-retry-count,x-custom"
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": asked,
    }
    answer = await door.request("OPTIONS", path, b"", headers)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == asked
    assert int(answer.headers["access-control-max-age"]) >= 600
    methods = set(answer.headers["access-control-allow-methods"].split(", "))
    assert methods >= {"OPTIONS"}
    assert methods & {"POST", "GET"}


@pytest.mark.parametrize("asked", [{}, {"Access-Control-Request-Headers": "x-\xff"}])
async def test_options_without_a_question(door: Running, asked: dict[str, str]) -> None:
    answer = await door.request("OPTIONS", "/v1/t", headers=asked)
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type, x-retry-count"


async def test_every_answer_may_be_read_by_a_page(door: Running) -> None:
    source = door.add()
    answers = [
        await door.post("/v1/track", CALL, source),
        await door.post("/v1/track", CALL),
        await door.post("/v1/track", b"{", source),
        await door.request("GET", "/v1/nothing"),
        await door.request("GET", "/v1/track"),
        await door.request("GET", f"/v1/projects/{source.write_keys[0]}/settings"),
        await door.request("GET", "/v1/pixel/track?data="),
    ]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "retry-after" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/v1/batch", True),
        ("/v1/no", True),
        ("/segment", True),
        ("/segment/", True),
        ("/analytics.js/v1/k/analytics.min.js", True),
        ("/analytics-next/bundles/1.js", True),
        ("/", False),
        ("/api/v1/customers", False),
        ("/customers", False),
        ("/segments", False),
    ],
)
def test_the_doors_paths(path: str, ours: bool) -> None:
    assert owns(path) is ours


def test_ids_of_the_door_are_never_given_twice() -> None:
    one, other = message_ids(), message_ids()
    given = {make() for _ in range(1000) for make in (one, other)}
    assert len(given) == 2000
    assert all(len(given_id) <= 100 for given_id in given)


# ---------------------------------------------------------------------------------------------------- the promise


class Held:
    """Stands between door and log: what is on disk already is told only once the gate is open."""

    def __init__(self, writer: SegmentWriter) -> None:
        self.writer = writer
        self.gate = asyncio.Event()
        self.appended = asyncio.Event()

    @property
    def durable(self) -> int:
        return self.writer.durable

    async def append(self, payload: object) -> int:
        end = await self.writer.append(payload)  # type: ignore[arg-type]
        self.appended.set()
        await self.gate.wait()
        return end

    async def archive(self, position: int, before: float) -> int | None:
        return await self.writer.archive(position, before)

    async def retain(self, position: int, before: float | None = None) -> list[int]:
        return await self.writer.retain(position, before)

    async def erase(self, spans: Sequence[tuple[int, int]]) -> int:
        return await self.writer.erase(spans)

    async def close(self) -> None:
        await self.writer.close()


async def test_success_is_said_only_when_the_log_has_it(tmp_path: Path) -> None:
    held: list[Held] = []

    def wrap(writer: SegmentWriter) -> Held:
        held.append(Held(writer))
        return held[0]

    async with running(tmp_path, wrap=wrap) as door:
        source = door.add()
        posted = asyncio.create_task(door.post("/v1/track", CALL, source))
        await held[0].appended.wait()
        await asyncio.sleep(0.05)
        assert not posted.done()
        held[0].gate.set()
        assert (await posted).code is None


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[float]]:
    """Make the disk slow, and count how often it is asked."""

    def slow(seconds: float) -> list[float]:
        real, asked, wait = os.fdatasync, [], threading.Event()

        def sync(fd: int) -> None:
            asked.append(seconds)
            wait.wait(seconds)
            real(fd)

        monkeypatch.setattr(os, "fdatasync", sync)
        return asked

    return slow


async def test_requests_that_wait_share_a_sync(tmp_path: Path, syncs: Callable[[float], list[float]]) -> None:
    async with running(tmp_path) as door:
        source = door.add()
        asked = syncs(0.05)
        answers = await asyncio.gather(
            *(door.post("/v1/track", {**CALL, "messageId": f"m-{n}"}, source) for n in range(40))
        )
        assert [answer.code for answer in answers] == [None] * 40
        assert len(door.records(source)) == 40
        assert len(asked) <= 10


async def test_a_full_log_is_told_and_nothing_is_kept(tmp_path: Path, syncs: Callable[[float], list[float]]) -> None:
    """Overload is never a queue that grows."""
    async with running(tmp_path, max_waiting_bytes=6_000, options=DoorOptions(retry_seconds=3)) as door:
        source = door.add()
        syncs(0.3)
        answers = await asyncio.gather(
            *(door.post("/v1/track", {**CALL, "messageId": f"m-{n}"}, source) for n in range(20))
        )
        full = [answer for answer in answers if answer.status == 429]
        assert full
        assert {(answer.code, answer.headers["retry-after"]) for answer in full} == {("log_full", "3")}
        assert len(door.records(source)) == 20 - len(full) > 0
        assert (await door.post("/v1/track", CALL, source)).code is None


async def test_a_closed_log_is_told(tmp_path: Path) -> None:
    writers: list[SegmentWriter] = []

    def wrap(writer: SegmentWriter) -> SegmentWriter:
        writers.append(writer)
        return writer

    async with running(tmp_path, wrap=wrap) as door:
        source = door.add()
        await writers[0].close()
        answer = await door.post("/v1/track", CALL, source)
        assert (answer.status, answer.code) == (503, "shutting_down")
        assert int(answer.headers["retry-after"]) > 0


async def test_a_call_whose_fate_is_not_known_is_to_be_sent_again(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats")
    log = JetStreamReader(Stream((server.url,)))
    writer = JetStreamWriter(Stream((server.url,)), log, seconds=0.5)
    async with running(tmp_path / "log", wrap=lambda _: writer) as door:
        source = door.add()
        assert (await door.post("/v1/track", CALL, source)).code is None
        server.freeze()
        answer = await door.post("/v1/track", CALL, source)
        server.thaw()
        assert (answer.status, answer.code) == (503, "log_unsure")
        assert int(answer.headers["retry-after"]) > 0
        assert (await door.post("/v1/track", CALL, source)).code is None
    await writer.close()
    log.close()
    server.stop()


async def test_what_happens_is_counted(door: Running) -> None:
    source = door.add()
    refused = telemetry.REFUSED.values.get(("invalid_write_key",), 0)
    await door.post("/v1/track", CALL, source)
    await door.post("/v1/batch", {"batch": [track(), {**CALL, "type": "page"}, track(), {}, {}]}, source)
    await door.post("/v1/track", {}, source)
    await door.post("/v1/track", CALL)
    kept = {labels[1]: number for labels, number in telemetry.ACCEPTED.values.items() if labels[0] == source.id}
    bad = {labels[1]: number for labels, number in telemetry.DISCARDED.values.items() if labels[0] == source.id}
    assert kept == {"track": 3, "page": 1}
    assert bad == {"type_unknown": 2, "event_not_defined": 1}
    assert telemetry.REFUSED.values["invalid_write_key",] == refused + 1
    assert sum(telemetry.REQUEST_SECONDS.values["ingest", "200"][:-1]) >= 2


async def test_one_connection_takes_good_and_bad_in_turn(door: Running) -> None:
    source = door.add()
    async with door.connection() as connection:
        for body, status in [
            (b"{", 400),
            (b'{"userId":"u"}', 200),
            (b"[]", 400),
            (b'{"userId":"u","messageId":5}', 200),
        ]:
            await connection.write(http("POST", "/v1/identify", body, basic(source.write_keys[0])))
            assert (await connection.read()).status == status
    assert len(door.bodies(source)) == 2
    assert len(door.discards(source)) == 2
