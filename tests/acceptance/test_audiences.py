"""`order_completed_last_30days` as a destination sees it, on a server whose clock is moved (mission rows S15, S16)."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.roles import roles
from tests.acceptance.test_clock import Clock
from tests.acceptance.test_serve import wait_until
from tests.server import Server, Source, request
from tests.sink import Arrival, Sink

pytestmark = pytest.mark.usefixtures("installation")
KEY = "order_completed_last_30days"
CONDITION = {"event": "Order Completed", "within": {"days": 30}}
SECONDS = 40.0


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A clock that is right."""
    return Clock(tmp_path)


@pytest.fixture
def server(tmp_path: Path, clock: Clock) -> Iterator[Server]:
    """A server by that clock, which may deliver to its neighbours."""
    running = Server(tmp_path / "data", env={**clock.env, "RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"})
    running.start()
    yield running
    running.kill()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A stranger that takes everything."""
    running = Sink(1, moods={"fine": 1})
    yield running
    running.stop()


def call(server: Server, source: Source, kind: str, **fields: Any) -> None:
    message = {"userId": "42", "writeKey": source.write_key, **fields}
    assert request("POST", f"{server.url}/v1/{kind}", json.dumps(message).encode()).status == 200


def engage_of(server: Server) -> str:
    """The source that tells of audiences."""
    return next(str(each["id"]) for each in server.get("/sources")["data"] if each["type"] == "engage")


def connect(server: Server, sink: Sink) -> None:
    """Has audiences told to a stranger."""
    settings = {"apiKey": "key-of-theirs"}
    stranger = {"name": "Stranger", "sources": [engage_of(server)], "settings": settings, "endpoint": sink.start()}
    assert server.api("POST", "/destinations", stranger).status == 201


def said(arrival: Arrival) -> tuple[str, str, str, Any]:
    """Of whom it tells, by which event, and the property with its value."""
    event = arrival.event
    given = event["userProperties"] if event["event"] == "identify" else event["properties"]
    ((key, value),) = ((key, given[key]) for key in (KEY, "orders") if key in given)
    return event["userProperties"]["uid"], event["event"], key, value


def order(server: Server, source: Source, number: int) -> None:
    call(server, source, "track", event="Order Completed", properties={"order_id": str(number), "total": 20})


def test_the_property_follows_the_order_and_the_clock(server: Server, clock: Clock, sink: Sink) -> None:
    source = server.add_source("Shop", "server")
    call(server, source, "identify", traits={"email": "ada@example.com"})
    made = server.api("POST", "/audiences", {"name": "Order Completed Last 30days", "condition": CONDITION})
    assert made.status == 201, made.body
    connect(server, sink)
    wait_until(lambda: server.get(f"/audiences/{KEY}")["status"] == "live", SECONDS, "the first run")
    time.sleep(1.0)  # A change of the definitions is seen within a second.

    def properties() -> list[Any]:
        return [each.event["userProperties"][KEY] for each in list(sink.arrivals)]

    order(server, source, 1)
    wait_until(lambda: len(sink.arrivals) == 1, SECONDS, "delivery 1")
    assert properties() == [True]
    assert sink.arrivals[0].event["userProperties"]["email"] == "ada@example.com"

    clock.move(days=29, hours=23)
    time.sleep(3.0)
    assert properties() == [True]
    clock.move(days=30)
    wait_until(lambda: len(sink.arrivals) == 2, SECONDS, "delivery 2")
    assert properties() == [True, False]
    (ordered,) = server.get("/messages", source=source.id, type="track")["data"]
    left = max(message["timestamp"] for message in server.get("/messages", source=engage_of(server))["data"])
    assert datetime.fromisoformat(left) - datetime.fromisoformat(ordered["timestamp"]) == timedelta(days=30)

    order(server, source, 2)
    wait_until(lambda: len(sink.arrivals) == 3, SECONDS, "delivery 3")
    assert properties() == [True, False, True]
    why = server.get(f"/customers/42/audiences/{KEY}/why")
    assert (why["member"], len(why["reason"]["events"])) == (True, 1)

    later = Sink(2, moods={"fine": 1})
    try:  # Who is connected later is told who is in, it alone.
        connect(server, later)
        wait_until(lambda: len(later.arrivals) == 1, SECONDS, "the backfill")
        assert later.arrivals[0].event["userProperties"] == {"uid": "42", KEY: True, "email": "ada@example.com"}
        wait_until(lambda: server.get(f"/audiences/{KEY}")["backfills"] == [], SECONDS, "the end of it")
        time.sleep(1.0)
        assert (properties(), len(later.arrivals)) == ([True, False, True], 1)
    finally:
        later.stop()


@pytest.mark.soak
def test_a_kill_in_the_middle_neither_loses_nor_repeats(server: Server, clock: Clock, sink: Sink) -> None:
    assert clock.apart == timedelta(0)
    source = server.add_source("Shop", "server")
    made = server.api("POST", "/audiences", {"name": "Order Completed Last 30days", "condition": CONDITION})
    assert made.status == 201, made.body
    time.sleep(1.0)
    people = [f"u{number}" for number in range(100)]
    for number, uid in enumerate(people):
        call(server, source, "identify", userId=uid)
        call(server, source, "track", userId=uid, event="Order Completed", properties={"order_id": str(number)})
        if number % 50 == 49:
            server.kill()
            server.start()
    server.wait_processed()

    def members() -> list[Any]:
        return list(server.get(f"/audiences/{KEY}/members", limit=500)["data"])

    wait_until(lambda: sum(each["told"] is True for each in members()) == len(people), 60.0, "all to be told")
    told = server.get("/messages", source=engage_of(server), limit=500)["data"]
    assert sorted(each["uid"] for each in told if each["outcome"] == "told") == sorted(people)


def test_a_kill_between_computing_and_logging(server: Server, sink: Sink) -> None:
    """Once before a change is in the log, and once after that, before it is folded; with the track calls besides."""
    source = server.add_source("Shop", "server")
    asked = {"name": "Order Completed Last 30days", "condition": CONDITION, "trackCalls": True}
    assert server.api("POST", "/audiences", asked).status == 201
    count = {"name": "Orders", "kind": "count", "event": "Order Completed", "trackCalls": True}
    assert server.api("POST", "/traits", count).status == 201
    connect(server, sink)
    time.sleep(1.0)

    def untold() -> bool:
        members = server.get(f"/audiences/{KEY}/members", limit=500)["data"]
        return any(each["told"] is False for each in members)

    for killed in ("computed", "logged"):
        pids = roles(server.pid)
        os.kill(pids["engage"], signal.SIGSTOP)
        call(server, source, "identify", userId=killed)
        call(server, source, "track", userId=killed, event="Order Completed", properties={"order_id": killed})
        wait_until(untold, SECONDS, "the change")
        if killed == "logged":
            os.kill(pids["process"], signal.SIGSTOP)
            end = server.get("/status")["log"]["last"]
            os.kill(pids["engage"], signal.SIGCONT)
            wait_until(partial(_is_behind, server, end), SECONDS, "the record")
            time.sleep(1.0)
        server.kill()
        server.start()
        expected = 4 if killed == "computed" else 8
        wait_until(partial(_have_come, sink, expected), SECONDS, f"{expected} deliveries")
    time.sleep(2.0)
    assert Counter(map(said, sink.arrivals)) == {
        (uid, *each): 1
        for uid in ("computed", "logged")
        for each in (
            ("identify", KEY, True),
            ("Audience Entered", KEY, True),
            ("identify", "orders", 1),
            ("Trait Computed", "orders", 1),
        )
    }


def _is_behind(server: Server, position: int) -> bool:
    return bool(server.get("/status")["log"]["last"] > position)


def _have_come(sink: Sink, count: int) -> bool:
    return len(sink.arrivals) >= count
