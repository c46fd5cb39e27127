"""`kill -9` at any instant: what was acknowledged is there once, nothing is applied twice, and it is ready again soon.

The instants are random, from a seed that is printed (the environment variable `KILL_SEED` sets it). The suite kills 4
times, `make soak` 100 times.
"""

import json
import os
import random
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.roles import roles, wait_ready
from tests.acceptance.traffic import Senders, Told, check
from tests.server import COMMAND, Server, Source, kill_group

SEED = int(os.environ.get("KILL_SEED") or time.time_ns() % 1_000_000)
BOUND_SECONDS = 20.0
"""To be ready again, on a machine that does other things, too; docs/reference/guarantees.md has the target."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that does not mind if it was killed."""
    running = Server(tmp_path / "data")
    running.start()
    try:
        yield running
    finally:
        running.kill()


def kill(server: Server, whom: str) -> None:
    """Kill a role, the parent, or all at once; a role alone comes back by itself, else the server is started again."""
    parent = server.pid
    running = roles(parent)
    if whom == "all":
        server.kill()
    elif whom == "parent":
        os.kill(parent, signal.SIGKILL)
        server.kill()
    else:
        role = random.Random(whom).choice(sorted(running))
        os.kill(running[role], signal.SIGKILL)


def killed(server: Server, source: Source, times: int) -> None:
    """Load the server and kill it so many times; then look at everything."""
    print(f"KILL_SEED={SEED}")
    chance, told, seconds = random.Random(SEED), Told(), []
    senders = Senders(source.write_key, told, SEED)
    try:
        for number in range(times):
            senders.go(server.url)
            time.sleep(chance.uniform(0.05, 1.5))
            whom = chance.choice(["all", "all", "parent", f"role {number}"])
            kill(server, whom)
            killed_at = time.monotonic()
            if whom in ("all", "parent"):
                senders.rest()
                killed_at = time.monotonic()
                server.start()
            else:
                time.sleep(0.3)  # The parent has noticed by then.
            wait_ready(server, BOUND_SECONDS)
            seconds.append(time.monotonic() - killed_at)
        senders.go(server.url)
        time.sleep(0.5)
    finally:
        senders.end()
    check(server, source.id, told)
    assert told.kept
    doctor = json.loads(server.command("doctor", "--deep", "--json"))
    assert doctor["ok"], doctor
    print(
        f"{times} kills, {len(told.kept):,} messages kept, {len(told.unknown):,} without an answer;"
        f" ready again after a median of {statistics.median(seconds):.2f} s, {max(seconds):.2f} s at the most"
    )


def test_kill_9_four_times(server: Server) -> None:
    killed(server, server.add_source("Shop", "server"), 4)


@pytest.mark.soak
def test_kill_9_a_hundred_times(server: Server) -> None:
    killed(server, server.add_source("Shop", "server"), 100)


@pytest.mark.soak
def test_kill_9_in_the_middle_of_large_commits(tmp_path: Path) -> None:
    """A backlog is folded in transactions of many thousands of messages; each start is killed in one of them."""
    print(f"KILL_SEED={SEED}")
    chance, count = random.Random(SEED), 24_000
    server = Server(tmp_path / "data")
    file = tmp_path / "backlog.jsonl"
    with file.open("w") as lines:
        for n in range(count):
            order = {"order_id": f"o{n // 4}", "total": "1.25", "currency": "USD"}
            message = {"type": "track", "userId": f"p{n % 50}", "event": "Order Updated", "properties": order}
            lines.write(json.dumps({**message, "messageId": f"m{n:06}", "timestamp": "2026-01-01T00:00:00Z"}) + "\n")
        for n in range(50):
            lines.write(json.dumps({"type": "identify", "userId": f"p{n}", "messageId": f"i{n}"}) + "\n")
    assert json.loads(server.command("import", str(file), "--json"))["accepted"] == count + 50
    positions = []
    for _ in range(4):
        server.start()
        time.sleep(chance.uniform(0.0, 0.6))
        server.kill()
        positions.append(json.loads(server.command("status", "--json"))["processed"])
    server.start()
    try:
        server.wait_processed(120)
        status = server.get("/status")
        assert positions == sorted(positions)
        assert (status["messages"], *status["outcomes"].values()) == (count + 50, {"kept": count + 50})
        customers = server.get("/customers", limit=500)["data"]
        owners = [max(range(4 * order, 4 * order + 4)) % 50 for order in range(count // 4)]
        assert {c["uid"]: c["ordersCount"] for c in customers} == {
            f"p{person}": owners.count(person) for person in range(50)
        }
        assert json.loads(server.command("doctor", "--deep", "--json"))["ok"]
    finally:
        server.kill()


@pytest.mark.parametrize("verb", ["migrate", "serve"])
def test_kill_9_in_the_middle_of_the_first_start(tmp_path: Path, verb: str) -> None:
    """Tables, account, keys and login are made by whichever start gets through, and no start is in the way of it."""
    print(f"KILL_SEED={SEED}")
    chance = random.Random(SEED)
    data = tmp_path / "data"
    args = ["--data", str(data), *([] if verb == "migrate" else ["--port", "0"])]
    for number in range(6):
        with (
            (tmp_path / "out").open("ab") as out,
            subprocess.Popen([COMMAND, verb, *args], stdout=out, stderr=out, start_new_session=True) as process,
        ):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.3 + 0.2 * number + chance.uniform(0, 0.2))
            kill_group(process)
        assert "Traceback" not in (tmp_path / "out").read_text()
    with Server(data) as server:
        wait_ready(server)
        names = [source["name"] for source in json.loads(server.command("source", "list", "--json"))["data"]]
        assert sorted(names) == ["Channels", "Segment", "Website"]
        assert [login["login"] for login in json.loads(server.command("user", "list", "--json"))["data"]] == ["admin"]
        source = server.add_source("Shop", "server")
        told = Told()
        senders = Senders(source.write_key, told, SEED)
        senders.go(server.url)
        time.sleep(0.5)
        senders.end()
        check(server, source.id, told)
