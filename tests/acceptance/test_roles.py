"""A server's roles die, hang and are told to stop, one without the others; what each goes on doing meanwhile."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.acceptance.test_serve import identify, processor_seconds, roles, wait_until
from tests.server import Server, request

ROLES = {"front", "web", "process", "deliver", "engage"}
AGAIN_SECONDS = 45.0
"""Generous: other tests may have the machine."""


@pytest.fixture(scope="module")
def server(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all: what a test breaks must mend by itself."""
    with Server(tmp_path_factory.mktemp("roles") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    listed = json.loads(server.command("source", "list", "--json"))["data"]
    return str(next(source["writeKey"] for source in listed if source["name"] == "Website"))


@pytest.fixture
def pids(server: Server) -> dict[str, int]:
    """The roles' processes, all of them ready."""
    wait_until(lambda: request("GET", f"{server.url}/ready").status == 200, AGAIN_SECONDS, "all roles are ready")
    found = roles(server.pid)
    assert set(found) == ROLES
    return found


def address(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    return str(parts.hostname), int(parts.port or 0)


def write_message(server: Server, message_id: str) -> int:
    """Adds channel activity, which the pages' role appends to the log through the front."""
    body = {"from": {"email": "ada@example.com"}, "body": "Hello?", "id": message_id}
    return server.api("POST", "/channels/email/messages", body).status


def test_pages_that_are_killed_come_back_and_calls_go_on(server: Server, key: str, pids: dict[str, int]) -> None:
    assert server.api("GET", "/customers").status == 200
    os.kill(pids["web"], signal.SIGKILL)
    seen: list[int] = []
    count = 0
    deadline = time.monotonic() + AGAIN_SECONDS
    while (roles(server.pid).get("web", pids["web"]) == pids["web"] or seen[-1:] != [200]) and (
        time.monotonic() < deadline
    ):
        count += 1
        assert identify(server, key, f"while-{count}") == 200, "calls are taken in"
        answer = server.api("GET", "/customers")
        seen.append(answer.status)
        if answer.status == 503:
            assert answer.headers["retry-after"].isdecimal()
            assert answer.json()["status"] == 503
            page = request("GET", f"{server.url}/customers")
            assert page.status != 503 or page.headers["content-type"].startswith("text/html")
    # Who asks before the front has heard of it waits for the new process; who asks after is told to try again.
    assert seen[-1] == 200
    assert set(seen) <= {200, 503}
    after = roles(server.pid)
    assert after["web"] != pids["web"]
    assert {**after, "web": 0} == {**pids, "web": 0}
    server.wait_processed()
    assert server.customer(f"while-{count}")["uid"] == f"while-{count}"
    figures = request("GET", f"{server.url}/metrics").body.decode()
    assert 'richpanel_role_restarts_total{role="web"} 1.0' in figures
    assert "richpanel_web_up 1.0" in figures


def test_a_front_that_is_killed_leaves_the_others_and_the_log(server: Server, key: str, pids: dict[str, int]) -> None:
    assert identify(server, key, "before") == 200
    assert write_message(server, "m-before") == 202
    last = server.get("/status")["log"]["last"]
    os.kill(pids["front"], signal.SIGKILL)
    wait_until(lambda: _answers(server), AGAIN_SECONDS, "it answers again")
    after = roles(server.pid)
    assert after["front"] != pids["front"]
    assert {**after, "front": 0} == {**pids, "front": 0}, "the others go on"
    assert server.get("/status")["log"]["last"] >= last
    assert identify(server, key, "after") == 200
    assert write_message(server, "m-after") == 202, "the pages reach the new owner of the log"
    server.wait_processed()
    assert [server.customer(uid)["uid"] for uid in ("before", "after")] == ["before", "after"]
    assert [server.traces(each)[0]["outcome"] for each in ("m-before", "m-after")] == ["kept", "kept"]


def _answers(server: Server) -> bool:
    with suppress(OSError):
        return request("GET", f"{server.url}/health").status == 200
    return False


def test_pages_that_hang_do_not_slow_calls(server: Server, key: str, pids: dict[str, int]) -> None:
    """A stopped process is the worst of slow pages: nothing that it was asked is ever answered."""
    os.kill(pids["web"], signal.SIGSTOP)
    hanging = []
    try:
        for _ in range(200):  # More than the relay asks at a time.
            asking = socket.create_connection(address(server), timeout=30)
            asking.sendall(b"GET /api/v1/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n")
            hanging.append(asking)
        took = []
        for number in range(100):
            started = time.monotonic()
            assert identify(server, key, f"hang-{number}") == 200
            took.append(time.monotonic() - started)
        assert sorted(took)[90] < 0.5, took
        assert request("GET", f"{server.url}/health").status == 200
    finally:
        os.kill(pids["web"], signal.SIGCONT)
    statuses = {asking.recv(4_096)[9:12] for asking in hanging}
    assert statuses <= {b"401", b"503"}
    assert b"401" in statuses, "those that were asked are answered after all"
    for asking in hanging:
        asking.close()
    assert roles(server.pid) == pids


def _resident_mib(pid: int) -> float:
    line = next(each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/sources", "/nowhere"])
def test_a_body_without_end_is_cut_off(server: Server, pids: dict[str, int], path: str) -> None:
    before = _resident_mib(pids["front"]) + _resident_mib(pids["web"])
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    piece, sent = b"10000\r\n" + b"x" * 65_536 + b"\r\n", 0
    with socket.create_connection(address(server), timeout=10) as endless:
        endless.sendall(head)
        with suppress(ConnectionError):
            while sent < 256 << 20:
                endless.sendall(piece)
                sent += len(piece)
    assert sent < 64 << 20, "what the sockets' buffers hold, and no more"
    assert _resident_mib(pids["front"]) + _resident_mib(pids["web"]) < before + 32
    assert server.api("GET", "/customers").status == 200


def test_what_works_behind_gives_way(pids: dict[str, int]) -> None:
    niceness = {
        role: int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[16]) for role, pid in pids.items()
    }
    own = os.nice(0)
    behind = min(own + 10, 19)
    assert niceness == {"front": own, "web": own, "process": behind, "deliver": behind, "engage": behind}


def test_a_page_request_under_way_is_answered_before_the_end(installation: str, tmp_path: Path) -> None:
    """The front is told to stop first, and the pages when it has no more questions for them."""
    with Server(tmp_path / "data") as server:
        token = server.token
        body = json.dumps({"from": {"uid": "u-1"}, "body": "Hello?", "id": "m-1"}).encode()
        with socket.create_connection(address(server), timeout=20) as slow:
            slow.sendall(
                f"POST /api/v1/channels/email/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body[:10]
            )
            time.sleep(0.3)
            os.kill(server.pid, signal.SIGTERM)
            time.sleep(0.5)
            slow.sendall(body[10:])
            assert slow.recv(65_536).startswith(b"HTTP/1.1 202")
        server.stop()
        server.start()
        server.wait_processed()
        assert server.traces("m-1")[0]["outcome"] == "kept"


def test_all_is_ready_soon_after_a_crash(server: Server, key: str, pids: dict[str, int]) -> None:
    """Processor time, all processes together: on two cores that is less than 3 s, also where neighbours slow them."""
    assert identify(server, key, "crash") == 200
    server.kill()
    server.start()
    parent = server.pid
    spent = processor_seconds(parent) + sum(map(processor_seconds, roles(parent).values()))
    assert spent < 4.5, "targets.md: ready again in 3 s"
    server.wait_processed()
    assert server.customer("crash")["uid"] == "crash"
