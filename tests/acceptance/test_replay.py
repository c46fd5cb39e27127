"""A wrong key, and the gap that a replay repairs: at the built-in account and outside, with `kill -9` in the middle."""

import json
import signal
import subprocess
import time
from collections import Counter
from typing import Any

import pytest

from tests.acceptance.roles import wait_ready
from tests.acceptance.test_delivery import Message, connected, rows, send, server, sink, statuses, wait_settled
from tests.acceptance.test_serve import wait_until
from tests.installation import environment
from tests.server import COMMAND, Server, Source
from tests.sink import Sink

__all__ = ["server", "sink"]
pytestmark = pytest.mark.usefixtures("installation")
WRONG = {"settings": {"apiKey": "wrong"}}
REFUSES, FINE = {"unauthorized": 1.0}, {"fine": 1.0}


def story(people: int, calls: int) -> list[Message]:
    """An identify and what follows, of each person in turn."""
    told: list[Message] = []
    for step in range(calls):
        for person in range(people):
            message: Message = {"messageId": f"m-{person}-{step}", "type": "track", "userId": f"u-{person}"}
            message |= {"event": "Step Taken", "properties": {"step": step}}
            if step == 0:
                message |= {"type": "identify", "traits": {"email": f"p{person}@example.com"}}
            told.append(message)
    return told


def replay(server: Server, destination: str, **more: Any) -> Any:
    """Begin a replay."""
    answer = server.api("POST", "/replays", {"destination": destination, **more})
    assert answer.status in (200, 202), answer.body
    return answer.json()


def wait_done(server: Server, id: str, seconds: float = 60.0) -> Any:
    """Wait until a replay is done."""
    deadline = time.monotonic() + seconds
    while (job := server.get(f"/replays/{id}"))["status"] == "running":
        assert time.monotonic() < deadline, f"{job}\n{server.printed()[-3000:]}"
        time.sleep(0.1)
    assert job["status"] == "done", job
    return job


def wait_more(server: Server, id: str) -> None:
    """Wait until a replay has gone on."""
    at = server.get(f"/replays/{id}")["replayed"]
    wait_until(lambda: bool(server.get(f"/replays/{id}")["replayed"] > at), 30, "it goes on")


def change(server: Server, destination: str, **changes: Any) -> None:
    """Change a destination, and wait until it is seen."""
    answer = server.api("PATCH", f"/destinations/{destination}", changes)
    assert answer.status == 200, answer.body
    time.sleep(1.0)


def built_in(server: Server) -> tuple[str, Source, str]:
    """The built-in account's destination, a source of it, and the right key."""
    destination = server.get("/destinations")["data"][0]
    assert destination["endpoint"] == "account"
    return destination["id"], server.add_source("Shop", "server"), destination["settings"]["apiKey"]


def test_a_wrong_key_is_fixed_and_the_gap_repaired(server: Server) -> None:
    destination, source, key = built_in(server)
    change(server, destination, **WRONG)
    told = story(people=5, calls=3)
    send(server, source, told)
    server.wait_processed()
    (trace,) = server.traces("m-1-0")
    assert (trace["outcome"], trace["code"]) == ("failed", "invalid_settings")
    assert server.api("GET", "/customers/u-1").status == 404
    (funnel,) = server.get("/deliveries/overview", window="1h")["destinations"]
    assert (funnel["failed"], funnel["delivered"]) == (15, 0)

    change(server, destination, settings={"apiKey": key})
    found = replay(server, destination, dryRun=True)
    assert (found["matched"], found["dryRun"]) == (15, True)
    assert found["breakdown"] == [
        {"type": "track", "outcome": "failed", "code": "invalid_settings", "count": 10},
        {"type": "identify", "outcome": "failed", "code": "invalid_settings", "count": 5},
    ]
    assert server.get("/replays")["data"] == []
    job = replay(server, destination)
    assert (job["status"], job["matched"]) == ("running", 15)
    done = wait_done(server, job["id"])
    assert (done["replayed"], done["problem"]) == (15, None)
    assert server.customer("u-1")["email"] == "p1@example.com"
    assert len(server.timeline("u-4")) == 3  # Two calls, and "became a customer".
    (trace,) = server.traces("m-1-0")
    (decision,) = trace["decisions"]
    assert (decision["outcome"], decision["replay"]) == ("kept", job["id"])
    (funnel,) = server.get("/deliveries/overview", window="1h")["destinations"]
    assert (funnel["failed"], funnel["delivered"], funnel["replayed"]) == (0, 15, 15)
    assert replay(server, destination, dryRun=True)["matched"] == 0
    server.stop()


def failed_outside(server: Server, sink: Sink, told: list[Message]) -> tuple[str, Source]:
    """Messages that the stranger refuses; give the destination and the source."""
    source = connected(server, sink.start())
    sink.moods = REFUSES
    send(server, source, told)
    assert wait_settled(server, len(told)) == Counter(failed=len(told))
    destination = next(each for each in server.get("/destinations")["data"] if each["name"] == "Stranger")
    return destination["id"], source


def test_what_a_stranger_refused_arrives_once_and_is_marked(server: Server, sink: Sink) -> None:
    told = story(people=4, calls=5)
    destination, source = failed_outside(server, sink, told)
    sink.moods = FINE
    send(server, source, [{"messageId": "m-late", "type": "track", "userId": "u-late", "event": "Seen"}])
    wait_settled(server, 21)
    before = len(sink.arrivals)
    assert replay(server, destination, dryRun=True)["matched"] == 20
    job = replay(server, destination)
    assert wait_done(server, job["id"])["replayed"] == 20
    assert wait_settled(server, 41) == Counter(failed=20, delivered=21)
    again = [arrival.event["eventId"] for arrival in sink.arrivals[before:]]
    assert sorted(again) == sorted(message["messageId"] for message in told)
    for person in range(4):
        assert [one for one in again if one.split("-")[1] == str(person)] == [f"m-{person}-{step}" for step in range(5)]
    marks = Counter(rows(server, "SELECT status, replay, lane FROM deliveries"))
    assert marks == Counter({(5, "", 0): 20, (2, job["id"], 1): 20, (2, "", 0): 1})
    (trace,) = server.traces("m-0-1")
    assert [each["replay"] for each in trace["deliveries"]] == [None, job["id"]]
    funnel = next(
        each for each in server.get("/deliveries/overview", window="1h")["destinations"] if each["name"] == "Stranger"
    )
    assert (funnel["replayed"], funnel["delivered"]) == (20, 21)
    assert replay(server, destination, dryRun=True)["matched"] == 0
    server.stop()


def test_one_dead_letter_is_replayed_by_itself(server: Server, sink: Sink) -> None:
    failed_outside(server, sink, story(people=1, calls=2))
    sink.moods = FINE
    (newest, first) = server.get("/deliveries", status="failed")["data"]
    answer = server.api("POST", f"/deliveries/{first['id']}/replay")
    assert answer.status == 202, answer.body
    job = wait_done(server, answer.json()["id"])
    assert (job["delivery"], job["matched"], job["replayed"]) == (first["id"], 1, 1)
    assert wait_settled(server, 3) == Counter(failed=2, delivered=1)
    assert server.api("POST", f"/deliveries/{first['id']}/replay").status == 409
    assert server.api("POST", "/deliveries/99/replay").status == 404
    assert newest["event"] == "Step Taken"
    server.stop()


def test_what_a_filter_kept_back_is_sent_once_the_filter_is_gone(server: Server, sink: Sink) -> None:
    source = connected(server, sink.start())
    destination = next(each for each in server.get("/destinations")["data"] if each["name"] == "Stranger")["id"]
    change(server, destination, filters=[{"title": "Nothing", "if": "all", "actions": [{"type": "DROP"}]}])
    send(server, source, story(people=2, calls=2))
    server.wait_processed()
    change(server, destination, filters=[])
    assert replay(server, destination, dryRun=True)["matched"] == 0
    job = replay(server, destination, outcome="discarded", uid="u-1")
    assert wait_done(server, job["id"])["replayed"] == 2
    wait_settled(server, 2)
    assert [arrival.event["eventId"] for arrival in sink.arrivals] == ["m-1-0", "m-1-1"]
    server.stop()


@pytest.mark.parametrize("outside", [pytest.param(False, marks=pytest.mark.soak), True], ids=["account", "outside"])
def test_kill_9_in_the_middle_doubles_nothing_and_loses_nothing(server: Server, sink: Sink, outside: bool) -> None:
    told = story(people=20, calls=5)
    if outside:
        destination, _ = failed_outside(server, sink, told)
        sink.moods = FINE
    else:
        sink.start()
        destination, source, key = built_in(server)
        change(server, destination, **WRONG)
        send(server, source, told)
        server.wait_processed()
        change(server, destination, settings={"apiKey": key})
    before = len(sink.arrivals)
    job = replay(server, destination, rate=20)
    answer = server.api("POST", "/replays", {"destination": destination})
    assert (answer.status, job["id"] in answer.json()["detail"]) == (409, True)
    for _ in range(2):
        wait_more(server, job["id"])
        server.kill()
        server.start()
        wait_ready(server)
    assert server.api("POST", f"/replays/{job['id']}/cancel").json()["status"] == "cancelled"
    assert server.api("POST", f"/replays/{job['id']}/resume").json()["status"] == "running"
    assert wait_done(server, job["id"])["replayed"] == 100
    if outside:
        wait_settled(server, 200)
        assert statuses(server) == Counter(failed=100, delivered=100)
        again = Counter(arrival.event["eventId"] for arrival in sink.arrivals[before:])
        assert set(again) == {message["messageId"] for message in told}
        assert sum(again.values()) <= 100 + 10, "only what was being sent when it was killed may come twice"
    else:
        for person in range(20):
            assert [each["type"] for each in server.timeline(f"u-{person}")].count("track") == 4
        assert json.loads(server.command("rebuild", "--json", "--yes"))
    server.stop()


def test_the_command_counts_replays_and_is_cancelled(server: Server) -> None:
    destination, source, key = built_in(server)
    name = server.get(f"/destinations/{destination}")["name"]
    change(server, destination, **WRONG)
    send(server, source, story(people=5, calls=4))
    server.wait_processed()
    change(server, destination, settings={"apiKey": key})
    found = json.loads(server.command("replay", "--destination", name, "--dry-run", "--json"))
    assert (found["matched"], found["id"]) == (20, None)
    assert "20 messages would be replayed" in server.command("replay", "--destination", destination, "--dry-run")
    slow = subprocess.Popen(
        [str(COMMAND), "replay", "--destination", name, "--rate", "4", "--data", str(server.data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(server.data),
    )
    wait_until(lambda: any(each["replayed"] for each in server.get("/replays")["data"]), 30, "it goes on")
    slow.send_signal(signal.SIGINT)
    _, said = slow.communicate(timeout=30)
    (job,) = server.get("/replays")["data"]
    assert (slow.returncode, job["status"]) == (130, "cancelled"), said
    assert f"`richpanel replay --resume {job['id']}` goes on" in said
    done = json.loads(server.command("replay", "--resume", job["id"], "--json"))
    assert (done["status"], done["replayed"]) == ("done", 20)
    assert "nothing to replay" in server.command("replay", "--destination", name)
    server.stop()
