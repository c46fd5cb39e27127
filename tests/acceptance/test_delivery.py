"""Delivery to a stranger that misbehaves, with `kill -9` in the middle: nothing is lost, and nobody overtakes himself.

The stranger is a real server; the ones that deliver to it are real, too, on either set-up.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from richpanel.core.retrying import STATUSES
from richpanel.store.bulk import fetch, run
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from tests.acceptance.roles import roles, wait_ready
from tests.acceptance.test_serve import wait_until
from tests.installation import environment
from tests.server import Server, Source, request
from tests.sink import AWFUL, FINE, Sink

pytestmark = pytest.mark.usefixtures("installation")
SEED = int(os.environ.get("DELIVERY_SEED") or time.time_ns() % 1_000_000)
STARTED = 1_767_225_600_000
SETTLED_SECONDS = 150.0

Message = dict[str, Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that may deliver to its neighbours, and does not mind if it was killed."""
    running = Server(tmp_path / "data", env={"RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"})
    running.start()
    try:
        yield running
    finally:
        running.kill()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A stranger in a good mood."""
    running = Sink(SEED)
    yield running
    running.stop()


def connected(server: Server, url: str, **settings: object) -> Source:
    """A source whose messages go to the stranger."""
    source = server.add_source("Shop", "server")
    made = server.api(
        "POST",
        "/destinations",
        {
            "name": "Stranger",
            "catalogId": "richpanel",
            "sources": [source.id],
            "settings": {"apiKey": "key-of-theirs", "apiSecret": "secret-of-theirs", **settings},
            "endpoint": url,
        },
    )
    assert made.status == 201, made.body
    time.sleep(1.0)  # A change of the definitions is seen within a second.
    return source


def loaded(server: Server) -> bytes:
    """The libraries that the delivering process has loaded."""
    return Path(f"/proc/{roles(server.pid)['deliver']}/maps").read_bytes()


def test_it_is_small_before_there_is_somebody_to_deliver_to(server: Server, sink: Sink) -> None:
    assert b"httptools" not in loaded(server)
    send(server, connected(server, sink.start()), story(1, 1))
    wait_until(lambda: b"httptools" in loaded(server), 30, "it is loaded")


def story(people: int, calls: int) -> list[Message]:
    """What people do, a step of each after the other, in log order."""
    told: list[Message] = []
    for step in range(calls):
        for person in range(people):
            message: Message = {"messageId": f"m-{person}-{step}", "timestamp": STARTED + step * 1000, "type": "track"}
            if person % 4 == 3 and step < calls // 2:
                message |= {"anonymousId": f"a-{person}"}
            elif person % 4 == 3:
                message |= {"anonymousId": f"a-{person}", "userId": f"u-{person}"}
            else:
                message |= {"userId": f"u-{person}"}
            if step % 3 == 0 and "userId" in message:
                message |= {"type": "identify", "traits": {"step": step, "email": f"p{person}@example.com"}}
            else:
                message |= {"event": "Step Taken", "properties": {"step": step}}
            told.append(message)
    return told


def send(server: Server, source: Source, messages: list[Message]) -> None:
    """Send messages, in order."""
    for start in range(0, len(messages), 50):
        body = {"batch": messages[start : start + 50], "writeKey": source.write_key}
        answer = request(
            "POST", f"{server.url}/v1/batch", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        assert answer.status == 200, answer.body


def rows(server: Server, statement: str) -> list[tuple[Any, ...]]:
    """Query the deliveries."""
    settings = environment(server.data)
    url = DataDirectory(server.data, settings.get("RICHPANEL_DATABASE_URL")).delivery_url
    engine = open_engine(url, read_only=True)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in fetch(connection, statement)]
    finally:
        engine.dispose()


def statuses(server: Server) -> Counter[str]:
    """How many deliveries have each status."""
    found = rows(server, "SELECT status, count(*) FROM deliveries GROUP BY status")
    return Counter({STATUSES[status]: count for status, count in found})


def wait_settled(server: Server, count: int, seconds: float = SETTLED_SECONDS) -> Counter[str]:
    """Wait until so many deliveries are finished, and none waits."""
    deadline = time.monotonic() + seconds
    while True:
        found = statuses(server)
        if found.total() == count and not found["queued"] + found["retrying"]:
            return found
        assert time.monotonic() < deadline, f"after {seconds} s: {found} of {count}\n{server.printed()[-3000:]}"
        time.sleep(0.2)


def check_order(sink: Sink, messages: list[Message]) -> None:
    """Of each person, nothing arrives before the last time that the one before it arrives."""
    arrived = sink.by_event()
    people: dict[str, list[str]] = {}
    for message in messages:
        people.setdefault(message["messageId"].split("-")[1], []).append(message["messageId"])
    for ids in people.values():
        for one, next_ in pairwise(ids):
            assert arrived[one][-1].request < arrived[next_][0].request, (one, next_)


def test_a_call_arrives_in_richpanels_words_and_signed(server: Server, sink: Sink) -> None:
    source = connected(server, sink.start(), signatureMode="sha256")
    send(server, source, [{"messageId": "m-1", "type": "identify", "userId": "u-1", "traits": {"first_name": "Ada"}}])
    assert wait_settled(server, 1) == Counter(delivered=1)
    (arrival,) = sink.arrivals
    assert arrival.event["event"] == "identify"
    assert arrival.event["userProperties"] == {"uid": "u-1", "firstName": "Ada"}
    assert arrival.event["appClientId"] == "key-of-theirs"
    ((at, status, asked, said),) = rows(server, "SELECT at, status_code, request, response FROM attempts")
    assert (status, bytes(said)) == (200, b"{}")
    assert json.loads(bytes(asked))["eventId"] == "m-1"
    assert b"key-of-theirs" not in bytes(asked)
    assert abs(at - time.time() * 1000) < 60_000
    server.stop()
    assert "secret-of-theirs" not in server.printed()


def test_a_stranger_that_misbehaves_and_kill_9_in_the_middle(server: Server, sink: Sink) -> None:
    print(f"DELIVERY_SEED={SEED}")
    chance = random.Random(SEED)
    messages = story(people=24, calls=9)
    by_person = [message for message in messages if message["type"] == "track"]
    sink.refused = frozenset(message["messageId"] for message in chance.sample(by_person, 12))
    source = connected(server, sink.start())
    sink.moods = AWFUL
    send(server, source, messages[:100])
    for number in range(3):
        time.sleep(chance.uniform(1.0, 4.0))
        if number == 1:
            server.kill()
            server.start()
            wait_ready(server)
        else:
            os.kill(roles(server.pid)["deliver"], signal.SIGKILL)
        send(server, source, messages[100 + number * 30 : 130 + number * 30])
    send(server, source, messages[190:])
    time.sleep(10)
    sink.moods = FINE
    found = wait_settled(server, len(messages))
    assert found == Counter(delivered=len(messages) - len(sink.refused), failed=len(sink.refused))
    check_all(server, sink, messages)
    server.stop()


def check_all(server: Server, sink: Sink, messages: list[Message]) -> None:
    """Nothing is lost, nobody overtakes himself, and the figures are those of what was sent."""
    ids = {message["messageId"] for message in messages}
    assert set(sink.answered(200)) == ids - sink.refused
    assert set(sink.answered(400)) == sink.refused
    check_order(sink, messages)
    for arrivals in sink.by_event().values():
        same = {json.dumps({**each.event, "time": 0, "userProperties": 0}, sort_keys=True) for each in arrivals}
        assert len(same) == 1
    assert set(sink.by_event()) == ids
    settled = Counter[str]()
    for status, count in rows(server, "SELECT status, sum(count) FROM figures GROUP BY status"):
        settled[STATUSES[status]] = int(count)
    assert settled["delivered"] == len(ids - sink.refused)
    assert settled["failed"] == len(sink.refused)
    tries = dict(rows(server, "SELECT coalesce(status_code, 0), count(*) FROM attempts GROUP BY status_code"))
    assert tries[200] == len(ids - sink.refused)
    assert tries[400] == len(sink.refused)
    assert settled["retrying"] == sum(tries.values()) - tries[200] - tries[400]
    # What was answered and is not on record was answered to one that was killed.
    answered = Counter(sink.answers.values())
    assert all(tries.get(status, 0) <= count for status, count in answered.items())
    assert sum(tries.values()) <= sink.requests
    assert tries[503] >= 0.8 * answered[503]


def test_a_stop_finishes_what_is_under_way_and_marks_nothing_else(server: Server, sink: Sink) -> None:
    source = connected(server, sink.start())
    sink.moods = {"slow": 1.0}
    messages = story(people=60, calls=1)
    send(server, source, messages)
    deadline = time.monotonic() + 60
    while not sink.arrivals or statuses(server).total() < len(messages):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    server.stop()
    found = statuses(server)
    assert found["delivered"] == len(sink.answered(200)) == len(sink.arrivals)
    assert found["queued"] == len(messages) - found["delivered"] > 0
    server.start()
    assert wait_settled(server, len(messages)) == Counter(delivered=len(messages))
    assert set(sink.answered(200).values()) == {1}


def test_a_refused_batch_is_halved_down_to_the_offender(server: Server, sink: Sink) -> None:
    source = connected(server, sink.start(), batchSize=25)
    messages = story(people=40, calls=2)
    sink.refused = frozenset({"m-7-1", "m-23-1"})
    send(server, source, messages)
    assert wait_settled(server, len(messages)) == Counter(delivered=len(messages) - 2, failed=2)
    assert set(sink.answered(200)) == {message["messageId"] for message in messages} - sink.refused
    assert set(sink.answered(200).values()) == {1}
    assert sink.requests < len(messages)
    check_order(sink, messages)


def test_a_value_that_is_superseded_is_never_sent(server: Server, sink: Sink) -> None:
    sink.moods = {"unavailable": 1.0}
    source = connected(server, sink.start())
    first = {"messageId": "m-1", "type": "identify", "userId": "u-1", "traits": {"plan": "basic", "city": "Bern"}}
    send(server, source, [first])
    deadline = time.monotonic() + 60
    while not sink.arrivals:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    gone = {"messageId": "m-2", "type": "identify", "userId": "u-1", "traits": {"coupon": "X"}}
    changed = {"plan": "gold", "city": None, "coupon": None}
    send(server, source, [gone, {"messageId": "m-3", "type": "identify", "userId": "u-1", "traits": changed}])
    server.wait_processed()
    before = len(sink.arrivals)
    time.sleep(0.3)  # What was claimed before is under way.
    sink.moods = FINE
    assert wait_settled(server, 3) == Counter(delivered=2, superseded=1)
    late = [each.event for each in sink.arrivals[before + 1 :]]
    assert {json.dumps(event["userProperties"], sort_keys=True) for event in late} == {'{"plan": "gold", "uid": "u-1"}'}
    assert "m-2" not in sink.by_event()


def ids(server: Server, status: str) -> list[int]:
    """The deliveries that have a status, in log order."""
    statement = f"SELECT id FROM deliveries WHERE status = {STATUSES.index(status)} ORDER BY place"
    return [row[0] for row in rows(server, statement)]


def test_somebody_drops_what_waits_and_the_rest_goes_on(server: Server, sink: Sink) -> None:
    """While the stranger is away, too: nothing but the database is needed for it."""
    sink.moods = {"reset": 1.0}
    source = connected(server, sink.start())
    messages = story(people=1, calls=4)
    send(server, source, messages)
    wait_until(lambda: len(ids(server, "retrying")) == 1, 30, "the first is tried")
    first, second, *_ = [row[0] for row in rows(server, "SELECT id FROM deliveries ORDER BY place")]
    for number in (first, second):
        assert server.api("POST", f"/deliveries/{number}/drop").status == 202
    wait_until(lambda: ids(server, "failed") == [first, second], 30, "they are dropped")
    wait_until(lambda: server.api("GET", f"/deliveries/{second}").json()["asked"] is None, 30, "the note goes after it")
    wait_until(lambda: len(ids(server, "retrying")) == 1, 30, "the next one's turn has come")
    (third,) = ids(server, "retrying")
    before = sink.requests
    sink.moods = FINE
    server.api("POST", f"/deliveries/{third}/retry")
    assert wait_settled(server, len(messages)) == Counter(delivered=2, failed=2)
    assert sink.requests > before
    assert set(sink.answered(200)) == {message["messageId"] for message in messages[2:]}
    server.stop()


def test_a_dead_letter_of_a_destination_that_is_gone_is_dropped(server: Server, sink: Sink) -> None:
    sink.refused = frozenset({"m-0-1"})
    source = connected(server, sink.start())
    send(server, source, story(people=1, calls=2))
    wait_settled(server, 2)
    (refused,) = ids(server, "failed")
    settings = environment(server.data)
    engine = open_engine(DataDirectory(server.data, settings.get("RICHPANEL_DATABASE_URL")).delivery_url)
    with engine.begin() as connection:  # Hours later, as far as it matters here.
        run(connection, "UPDATE deliveries SET status = ? WHERE id = ?", STATUSES.index("dead"), refused)
    engine.dispose()
    (stranger,) = [each for each in server.api("GET", "/destinations").json()["data"] if each["name"] == "Stranger"]
    assert server.api("DELETE", f"/destinations/{stranger['id']}").status == 204
    assert server.api("POST", f"/deliveries/{refused}/drop").status == 202
    wait_until(lambda: ids(server, "failed") == [refused], 30, "it is dropped")
    assert server.api("GET", f"/deliveries/{refused}").json()["code"] == "dropped"
    wait_until(
        lambda: server.api("GET", f"/deliveries/{refused}").json()["asked"] is None, 10, "the note goes after it"
    )
    server.stop()


@pytest.mark.soak
def test_a_rate_is_never_exceeded(server: Server, sink: Sink) -> None:
    source = connected(server, sink.start(), rate=20)
    sink.moods = {"fine": 0.7, "unavailable": 0.3}
    messages = story(people=50, calls=1)
    send(server, source, messages)
    wait_settled(server, len(messages), 300)
    times = [each.at for each in sink.arrivals]
    for at in times:
        assert sum(1 for each in times if at - 30 < each <= at) <= 20
