"""Delivery by several nodes: each destination is one's to serve, and another one goes on where that is killed."""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psycopg
import pytest

from richpanel.core.retrying import STATUSES
from tests.acceptance.cluster import Cluster, cluster
from tests.acceptance.grep import found_in_tables
from tests.acceptance.roles import roles
from tests.acceptance.test_delivery import STARTED, Message, check_order, send, story
from tests.acceptance.test_erasure import UID, WORDS, regulation, tell
from tests.acceptance.test_erasure_cluster import verified, wait_nothing_left
from tests.acceptance.test_serve import wait_until
from tests.server import COMMAND, Server, Source
from tests.sink import Sink

SEED = int(os.environ.get("DELIVERY_SEED") or time.time_ns() % 1_000_000)
UNEASY: Mapping[str, float] = {"fine": 78, "slow": 20, "reset": 2}
TAKEN_OVER_SECONDS = 30.0
PRIVATE = {"allow_private_endpoints": "true"}


@dataclass
class Fleet:
    """One server of each role but the delivering one, of which there are any number, and strangers by destination."""

    engines: Cluster
    pages: Server
    front: Server
    source: Source
    nodes: dict[str, Server]
    sinks: dict[int, Sink] = field(default_factory=dict)

    def connect(self, sink: Sink, **settings: object) -> int:
        """Have what the source sends delivered to a stranger; give the number of the destination."""
        made = destination(self.pages, self.source, sink.start(), **settings)
        (number,) = self.ask("SELECT number FROM account.destinations WHERE id = %s", made)[0]
        self.sinks[number] = sink
        return int(number)

    def ask(self, statement: str, *values: object) -> list[tuple[int, ...]]:
        """Query the database."""
        with psycopg.connect(self.engines.postgres.url()) as connection:
            return connection.execute(statement, values).fetchall()

    def holders(self) -> dict[int, str]:
        """Which node serves which destination, by the locks that PostgreSQL knows of."""
        return holders(self.engines, self.sinks, self.nodes)

    def wait_settled(self, count: int, seconds: float = 90.0) -> Counter[str]:
        """Wait until each destination has so many deliveries, all of them finished."""
        wanted = count * len(self.sinks)
        wait_until(lambda: statuses(self.engines).total() == wanted, seconds, f"{wanted} are taken over")
        wait_until(lambda: not statuses(self.engines)["queued"] + statuses(self.engines)["retrying"], seconds, "done")
        return statuses(self.engines)


def destination(pages: Server, source: Source, url: str, **settings: object) -> str:
    """Make a destination outside; give its id."""
    made = pages.api(
        "POST",
        "/destinations",
        {
            "name": f"Stranger at {url}",
            "catalogId": "richpanel",
            "sources": [source.id],
            "settings": {"apiKey": "key-of-theirs", "apiSecret": "secret-of-theirs", **settings},
            "endpoint": url,
        },
    )
    assert made.status == 201, made.body
    return str(made.json()["id"])


def statuses(engines: Cluster) -> Counter[str]:
    """How many deliveries have each status."""
    with psycopg.connect(engines.postgres.url()) as connection:
        found = connection.execute("SELECT status, count(*) FROM delivery.deliveries GROUP BY status").fetchall()
    return Counter({STATUSES[status]: count for status, count in found})


def holders(engines: Cluster, numbers: Mapping[int, object], nodes: Mapping[str, Server]) -> dict[int, str]:
    """Which node serves which destination: whose connection it is that has the lock."""
    ports = {port: name for name, server in nodes.items() if server.runs for port in ports_of(server)}
    found = {}
    with psycopg.connect(engines.postgres.url()) as connection:
        for number in numbers:
            rows = connection.execute(
                "SELECT client_port FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' "
                "AND granted AND (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0)",
                (f"richpanel delivering {number}",),
            ).fetchall()
            assert len(rows) <= 1, (number, rows)
            if rows and rows[0][0] in ports:
                found[number] = ports[rows[0][0]]
    return found


def ports_of(server: Server) -> set[int]:
    """The ports of this side of the connections that a server's delivering process has."""
    process = roles(server.pid).get("deliver")
    if process is None:
        return set()
    sockets = set()
    for entry in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):
            sockets.add(os.readlink(entry))
    rows = [line.split() for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows if f"socket:[{row[9]}]" in sockets}


def are_taken_over(engines: Cluster) -> bool:
    """Whether each row of the outbox has its delivery."""
    with psycopg.connect(engines.postgres.url()) as connection:
        return connection.execute("SELECT count(*) FROM state.outbox").fetchone() == (statuses(engines).total(),)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Two nodes that deliver, beside whatever else is needed."""
    with cluster(tmp_path) as engines, ExitStack() as opened:
        pages = opened.enter_context(engines.server("web", "web", **PRIVATE))
        front = opened.enter_context(engines.server("ingest", "ingest"))
        opened.enter_context(engines.server("process", "process"))
        nodes = {name: engines.server("deliver", name, **PRIVATE) for name in ("one", "two")}
        for node in nodes.values():
            opened.enter_context(node)
        made = Fleet(engines, pages, front, front.add_source("Shop", "server"), nodes)
        yield made
        for sink in made.sinks.values():
            sink.stop()


def later(messages: list[Message], turn: int) -> list[Message]:
    """The same people's calls of another turn."""
    made = []
    for message in messages:
        _, person, step = message["messageId"].split("-")
        made.append({**message, "messageId": f"m-{person}-{turn}.{step}", "timestamp": STARTED + turn * 1_000_000})
    return made


def test_each_destination_is_served_by_one_node_and_by_another_one_where_that_is_killed(fleet: Fleet) -> None:
    print(f"DELIVERY_SEED={SEED}")
    for number in range(4):
        fleet.connect(Sink(SEED + number, moods=UNEASY))
    time.sleep(1.0)  # A change of the definitions is seen within a second.
    wait_until(lambda: fleet.holders().keys() == fleet.sinks.keys(), 20, "each destination is served")
    messages = story(people=16, calls=3)
    send(fleet.front, fleet.source, messages)
    fleet.wait_settled(len(messages))
    for sink in fleet.sinks.values():
        assert set(sink.answered(200).values()) == {1}

    for turn in (1, 2):
        more = later(story(people=16, calls=3), turn)
        messages += more
        send(fleet.front, fleet.source, more)
        wait_until(lambda: any(is_under_way(sink) for sink in fleet.sinks.values()), 20, "something is under way")
        before = fleet.holders()
        gone = Counter(before.values()).most_common(1)[0][0]
        (left,) = fleet.nodes.keys() - {gone}
        fleet.nodes[gone].kill()
        killed = time.monotonic()
        survivors = {left}
        wait_until(partial(serve_it, fleet, survivors), 20, "the other one has taken over")
        wait_until(lambda: fleet.holders().keys() == fleet.sinks.keys(), 20, "it has taken over all of them")
        assert time.monotonic() - killed < TAKEN_OVER_SECONDS
        found = fleet.wait_settled(len(messages))
        assert found == Counter(delivered=len(messages) * len(fleet.sinks))
        fleet.nodes[gone].start()
    ids = {message["messageId"] for message in messages}
    for sink in fleet.sinks.values():
        assert set(sink.answered(200)) == ids
        check_order(sink, messages)
        for arrivals in sink.by_event().values():
            assert len({(each.event["event"], each.event["eventId"]) for each in arrivals}) == 1
        twice = [event for event, count in sink.answered(200).items() if count > 1]
        assert len(twice) <= 2 * 64, "more than was under way at the two who were killed"
    (tries,) = fleet.ask("SELECT count(*) FROM delivery.attempts WHERE status_code = 200")[0]
    assert tries == len(messages) * len(fleet.sinks)


def serve_it(fleet: Fleet, nodes: set[str]) -> bool:
    """Whether these nodes, and no others, serve."""
    return set(fleet.holders().values()) == nodes


def is_under_way(sink: Sink) -> bool:
    """Whether there is a request that has no answer yet."""
    return sink.requests > len(sink.answers)


def test_a_node_alone_delivers_what_waits(fleet: Fleet) -> None:
    """Nothing else runs: neither who takes calls, nor who folds them, nor the pages."""
    sink = Sink(SEED)
    fleet.connect(sink)
    for node in fleet.nodes.values():
        node.stop()
    messages = story(people=8, calls=3)
    send(fleet.front, fleet.source, messages)
    fleet.pages.wait_processed()
    assert statuses(fleet.engines).total() == 0
    assert fleet.ask("SELECT count(*) FROM state.outbox") == [(len(messages),)]
    alone = fleet.engines.server("deliver", "alone", **PRIVATE)
    fleet.front.stop()
    fleet.pages.stop()
    with alone:
        assert roles(alone.pid).keys() == {"deliver"}
        assert fleet.wait_settled(len(messages)) == Counter(delivered=len(messages))
    check_order(sink, messages)
    assert set(sink.answered(200).values()) == {1}


def test_nothing_of_an_erased_person_is_left_among_the_deliveries(tmp_path: Path) -> None:
    """Some of hers have arrived, some are tried again, some wait: tries hold what was sent and what was answered."""
    sinks = [Sink(SEED, moods={"fine": 97, "reset": 3}), Sink(SEED, moods={"unavailable": 1})]
    with cluster(tmp_path) as engines, engines.server(**PRIVATE) as server, engines.server("deliver", **PRIVATE):
        source = server.add_source("Shop", "server")
        for sink in sinks:
            destination(server, source, sink.start())
        time.sleep(1.0)
        tell(server, source)
        wait_until(lambda: has_tried(engines, UID), 90, "tries of hers are on record")
        hits = found_in_tables(engines.postgres.url(), WORDS)
        assert {"delivery.deliveries", "delivery.attempts"} <= set().union(*hits.values())
        wait_until(lambda: are_taken_over(engines), 60, "all is taken over")
        before = statuses(engines).total()
        job = regulation(server, uids=[UID])
        assert job["receipt"]["tables"]["deliveries"]["count"] == 2 * (10 * 3 + 2)
        wait_nothing_left(engines)
        arrived = [len(of_her(sink)) for sink in sinks]
        assert arrived[0] > 0
        time.sleep(3)
        assert [len(of_her(sink)) for sink in sinks] == arrived
        assert statuses(engines).total() == before - 2 * (10 * 3 + 2)
        assert verified(server) == []
    for sink in sinks:
        sink.stop()


def has_tried(engines: Cluster, word: str) -> bool:
    """Whether there is a try whose request has a word, and which was answered."""
    asked = (
        "SELECT 1 FROM delivery.attempts WHERE position(%s IN convert_from(request, 'UTF8')) > 0 AND status_code = 200"
    )
    with psycopg.connect(engines.postgres.url()) as connection:
        return connection.execute(asked, (word,)).fetchone() is not None


def of_her(sink: Sink) -> list[str]:
    """The ids of what a stranger was sent of her, each time that it was."""
    return [each.event["eventId"] for each in list(sink.arrivals) if each.event["eventId"].startswith("ada-")]


def test_a_directory_has_one_process_that_delivers_from_it(tmp_path: Path) -> None:
    """A second one says so and ends; once the first one has ended, one that does nothing else goes on with it."""
    sink = Sink(SEED, moods={"slow": 1})
    first = Server(tmp_path / "data", env={"RICHPANEL_ALLOW_PRIVATE_ENDPOINTS": "true"})
    with first:
        source = first.add_source("Shop", "server")
        destination(first, source, sink.start())
        time.sleep(1.0)
        messages = story(people=100, calls=2)
        send(first, source, messages)
        wait_until(lambda: bool(sink.arrivals), 20, "it is delivered")
        command = [str(COMMAND), "serve", "--role", "deliver", "--data", str(first.data)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert f"another server runs on {first.data}: stop that one first" in second.stdout + second.stderr
        first.wait_processed()
    left = len(messages) - len(sink.answered(200))
    assert left > 0, "to be sent slowly enough"
    alone = Server(first.data, env=first.env, args=("--role", "deliver"))
    with alone:
        assert roles(alone.pid).keys() == {"deliver"}
        wait_until(lambda: len(sink.answered(200)) == len(messages), 60, "the rest arrives")
    assert set(sink.answered(200).values()) == {1}
    check_order(sink, messages)
    sink.stop()
