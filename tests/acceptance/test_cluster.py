"""Servers of each role over PostgreSQL and JetStream: who takes calls, who shows them, who says what is missing."""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from richpanel.log.stream import Link, Stream
from tests.acceptance.cluster import Cluster, cluster
from tests.server import COMMAND, Server, Source, request


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as made:
        yield made


def send(server: Server, source: Source, number: int, size: int = 10) -> int:
    call = {"writeKey": source.write_key, "userId": f"u{number}", "messageId": f"m{number}", "event": "Seen"}
    body = json.dumps({**call, "properties": {"text": "x" * size}}).encode()
    return request("POST", f"{server.url}/v1/track", body, {"Content-Type": "application/json"}).status


def ready(server: Server) -> tuple[int, Any]:
    answer = request("GET", f"{server.url}/ready")
    return answer.status, answer.json()


def until(found: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_two_fronts_two_workers_and_two_pages_are_one_shop(engines) -> None:
    with engines.server("web") as pages, engines.server("web", data="shared") as others:
        fronts = [engines.server("ingest", data="shared"), engines.server("ingest", data="shared")]
        with fronts[0], fronts[1]:
            source = fronts[0].add_source("Shop", "server")
            until(lambda: all(send(front, source, number) == 200 for number, front in enumerate(fronts)))
            for number in range(2, 40):
                assert send(fronts[number % 2], source, number) == 200
            assert pages.get("/messages/m7")["data"][0]["outcome"] == "pending"
            assert pages.get("/status")["oldestUnprocessedSeconds"] > 0
            status, told = ready(fronts[0])
            assert (status, told["reasons"]) == (200, [])
            assert told["log"]["pending"] >= 40
            assert "one server" in told["durability"]
            assert "2.10" in told["durability"]
            with engines.server("process", data="shared"), engines.server("process"):
                channel = {"from": {"uid": "u1"}, "subject": "Hello", "body": "Where is it?"}
                assert others.api("POST", "/channels/email/messages", channel).status in (200, 202)
                for server in (pages, others):
                    server.wait_processed()
                    assert [entry["type"] for entry in server.timeline("u1")].count("channel") == 1
                assert pages.get("/messages/m7")["data"][0]["outcome"] == "kept"
        assert not (engines.path / "shared" / "log").exists()
        assert not (engines.path / "shared" / "process.lock").exists()


def test_a_front_says_when_the_stream_or_the_database_is_away_and_takes_calls_again(engines) -> None:
    with engines.server() as server:
        source = server.add_source("Shop", "server")
        assert send(server, source, 1) == 200
        server.wait_processed()
        assert ready(server)[0] == 200
        engines.nats.kill()
        until(lambda: ready(server)[0] == 503)
        assert any("stream" in reason for reason in ready(server)[1]["reasons"])
        assert request("GET", f"{server.url}/metrics").status == 200
        engines.nats.start()
        until(lambda: ready(server)[0] == 200)
        assert send(server, source, 2) == 200
        server.wait_processed()
        engines.postgres.kill()
        until(lambda: ready(server)[0] == 503)
        assert any("read" in reason for reason in ready(server)[1]["reasons"]), ready(server)
        assert send(server, source, 3) == 200, "calls are taken in meanwhile"
        engines.postgres.start()
        until(lambda: ready(server)[0] == 200)
        server.wait_processed()
        assert server.get("/messages/m3")["data"][0]["outcome"] == "kept"


def test_a_stream_that_is_deleted_is_made_anew_and_nothing_that_comes_then_is_passed_over(engines) -> None:
    with engines.server() as server:
        source = server.add_source("Shop", "server")
        assert [send(server, source, number) for number in range(20)] == [200] * 20
        server.wait_processed()
        asyncio.run(delete_stream(engines.nats.url))
        assert send(server, source, 100) == 200
        until(lambda: server.get("/messages/m100")["data"][0]["outcome"] == "kept")
        until(lambda: ready(server)[0] == 200)
    asyncio.run(delete_stream(engines.nats.url))
    with server:
        until(lambda: send(server, source, 101) == 200)
        until(lambda: server.get("/messages/m101")["data"][0]["outcome"] == "kept")
        server.wait_processed()
        assert server.get("/messages/m7")["data"][0]["body"]["event"] == "Seen"


async def delete_stream(url: str) -> None:
    link = Link(Stream((url,)), 5.0, lambda: None)
    await link.open()
    await link.call("STREAM.DELETE")
    await link.close()


def test_doctor_tells_of_the_stream_and_of_what_an_answer_is_worth(engines) -> None:
    with engines.server() as server:
        assert send(server, server.add_source("Shop", "server"), 1) == 200
        server.wait_processed()
        checks = examine(server)
        assert "nats-server 2." in checks["NATS"]["text"]
        assert "stream RICHPANEL: " in checks["log"]["text"]
        assert "of 10.7 GB" in checks["log"]["text"]
        assert checks["replicas"]["text"] == "one server keeps each record"
        assert checks["durability"]["text"] == ready(server)[1]["durability"]
        assert checks["processing"]["text"] == "has applied all"
        assert {checks[name]["state"] for name in ("NATS", "log", "replicas", "processing")} == {"ok"}
        engines.nats.stop()
        checks = examine(server)
        assert {checks[name]["state"] for name in ("NATS", "log")} == {"problem"}
        assert "calls are refused" in checks["log"]["text"]  # And it stops in order all the same.


def examine(server: Server) -> dict[str, Any]:
    line = [str(COMMAND), "doctor", "--json", "--data", str(server.data)]
    done = subprocess.run(line, capture_output=True, timeout=60, env=server._environment(), check=False)
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_a_full_stream_is_429_and_recovers_once_the_workers_have_caught_up(engines) -> None:
    engines.stream = f"?max_bytes={1 << 20}"
    with engines.server("ingest") as front, engines.server("web") as pages:
        source = front.add_source("Shop", "server")
        until(lambda: send(front, source, 0) == 200)
        taken = [send(front, source, number, 20_000) for number in range(1, 80)]
        assert set(taken) == {200, 429}
        status, told = ready(front)
        assert status == 503
        assert "maximum bytes" in told["reasons"][0]
        assert told["log"]["maxBytes"] == 1 << 20
        with engines.server("process"):
            until(lambda: ready(front)[0] == 200)
            assert send(front, source, 100, 20_000) == 200
            pages.wait_processed()
        kept = [number for number, answer in enumerate(taken, 1) if answer == 200]
        for number in (kept[0], kept[-1], 100):
            trace = pages.get(f"/messages/m{number}")["data"][0]
            assert (trace["outcome"], len(trace["body"]["properties"]["text"])) == ("kept", 20_000)
