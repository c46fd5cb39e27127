"""Erasure on a cluster: nothing of a person is left in any table or in the stream's files, and nothing comes back."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.cluster import Cluster, cluster
from tests.acceptance.grep import found, found_in_tables
from tests.acceptance.test_erasure import (
    DEVICE,
    UID,
    WORDS,
    assert_forgotten,
    call,
    regulation,
    send,
    send_late,
    tell,
    wait_finished,
)
from tests.server import Server, Source, request

Told = tuple[Cluster, Server, Source]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """A server, and a worker beside it, that know Ada and many others."""
    with cluster(tmp_path) as engines, engines.server() as server, engines.server("process"):
        source = server.add_source("Shop")
        tell(server, source)
        yield engines, server, source


def left(engines: Cluster) -> dict[str, set[str]]:
    """What of Ada is in tables, and in the files of the stream's server."""
    hits = found_in_tables(engines.postgres.url(), WORDS)
    for word, places in found(engines.nats.directory, WORDS).items():
        hits.setdefault(word, set()).update(places)
    return hits


def wait_nothing_left(engines: Cluster, seconds: float = 120) -> None:
    """Wait until nothing is found: what comes late is erased within a few seconds."""
    deadline = time.monotonic() + seconds
    while (hits := left(engines)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert hits == {}


def verified(server: Server) -> list[str]:
    """What `richpanel erase --verify` finds wrong."""
    shown = json.loads(server.command("erase", "--verify", "--json"))
    assert shown["verified"] == (not shown["problems"])
    return list(shown["problems"])


def test_nothing_is_left_in_any_table_or_in_the_stream_and_nothing_comes_back(told: Told) -> None:
    engines, server, source = told
    assert set(found_in_tables(engines.postgres.url(), WORDS)) == set(WORDS)
    assert set(found(engines.nats.directory, WORDS)) == set(WORDS)
    bo = server.timeline("bo")

    job = regulation(server, uids=[UID])
    assert left(engines) == {}
    assert job["receipt"]["tables"]["messages"]["count"] == 10 * 4 + 2 + 1
    with psycopg.connect(engines.postgres.url()) as connection:
        behind = "SELECT %s::pg_lsn > '0/0' AND %s::pg_lsn <= pg_current_wal_lsn()"
        assert connection.execute(behind, (job["receipt"]["wal"]["lsn"],) * 2).fetchone() == (True,)
    assert server.api("GET", "/messages/ada-mid-i1").status == 404
    assert_forgotten(server, bo)

    send_late(server, source)
    assert_forgotten(server, bo)
    wait_nothing_left(engines)
    assert verified(server) == []


def test_the_command_erases_on_any_node_and_verifies(told: Told) -> None:
    engines, server, _ = told
    node = engines.server("all", "another-node")
    job = json.loads(node.command("erase", UID, "--json"))
    assert (job["status"], job["by"]) == ("FINISHED", "richpanel erase")
    assert left(engines) == {}
    assert "the chain is whole, and nothing of them is there" in node.command("erase", "--verify")
    assert server.get(f"/regulations/{job['id']}")["receipt"] == job["receipt"]


def test_what_is_not_as_the_receipts_say_is_found(told: Told) -> None:
    """Somebody changes a receipt; somebody puts a message back, its body, or its record."""
    engines, server, _ = told
    url = engines.postgres.url()
    with psycopg.connect(url) as connection:
        body = connection.execute("SELECT place, data FROM state.bodies WHERE data LIKE '%bo-1%bo%'").fetchone()
    assert body is not None
    server.command("erase", "bo")
    server.command("erase", "u1-1")
    assert verified(server) == []
    with psycopg.connect(url) as connection:
        changed = "replace(receipt, '\"count\":2', '\"count\":1')"
        assert connection.execute(f"UPDATE account.regulations SET receipt = {changed} WHERE place = 1").rowcount == 1
        hashed = connection.execute("SELECT hash FROM account.erased_messages").fetchone()
        assert hashed is not None
        connection.execute("INSERT INTO state.message_ids (part, hash, n) VALUES (0, %s, 999999)", hashed)
        connection.execute("INSERT INTO state.bodies (place, data) VALUES (%s, %s)", body)
        connection.execute("INSERT INTO state.bodies (place, data) VALUES (%s, '{}')", (1 << 60,))
        first = connection.execute("SELECT data FROM state.bodies WHERE place = %s", (body[0],)).fetchone()
    assert first == (body[1],)
    with pytest.raises(AssertionError, match="exit code 1") as failed:
        verified(server)
    for each in (
        "is not what was written",
        "1 messages that were erased",
        "the table of bodies has a body of somebody",
    ):
        assert each in str(failed.value)
    assert "belongs to no record" in str(failed.value)


def test_who_is_kept_out_is_so_within_a_second(told: Told) -> None:
    _, server, source = told
    regulation(server, "SUPPRESS", uids=[UID])
    time.sleep(3)
    end = server.get("/status")["log"]["last"]
    batch = [call("page", "late-1", 1, userId=UID), call("page", "late-2", 1, anonymousId=DEVICE)]
    send(server, source, batch)
    assert server.get("/status")["log"]["last"] == end
    assert server.customer(UID)["uid"] == UID
    regulation(server, "UNSUPPRESS", uids=[UID])
    time.sleep(3)
    send(server, source, batch)
    assert server.get("/status")["log"]["last"] > end


class Caller(threading.Thread):
    """Sends calls of somebody's as they happen, and notes when each was sent and answered."""

    def __init__(self, url: str, source: Source, name: str) -> None:
        super().__init__(daemon=True)
        self.calls: list[tuple[str, float, float]] = []
        self._send = self._sender(url, source)
        self._prefix = name
        self._ended = threading.Event()
        self.start()

    @staticmethod
    def _sender(url: str, source: Source) -> Callable[[list[dict[str, Any]]], int]:
        def send(batch: list[dict[str, Any]]) -> int:
            body = json.dumps({"batch": batch, "writeKey": source.write_key}).encode()
            return request("POST", f"{url}/v1/batch", body, {"Content-Type": "application/json"}).status

        return send

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            message_id = f"{self._prefix}-{number}"
            hers = {"type": "track", "event": "Seen", "userId": UID, "messageId": message_id}
            known = {"type": "identify", "userId": UID, "messageId": f"{message_id}-i", "traits": {"n": number}}
            bobs = {"type": "track", "event": "Seen", "userId": "bo", "messageId": f"{message_id}-bo"}
            began = time.monotonic()
            assert self._send([hers, bobs, known]) == 200
            self.calls.append((message_id, began, time.monotonic()))
            time.sleep(0.01)

    def end(self) -> None:
        """Stop, and wait until the last call is answered."""
        self._ended.set()
        self.join(60)


def test_what_was_accepted_before_is_erased_and_what_comes_later_stays(told: Told) -> None:
    """While several workers are busy with it."""
    engines, server, source = told
    with engines.server("ingest") as other:
        time.sleep(3)
        callers = [Caller(url, source, f"c{n}") for n, url in enumerate((server.url, other.url, server.url))]
        time.sleep(3)
        asked = time.monotonic()
        answer = server.api("POST", "/regulations", {"type": "DELETE", "uids": [UID]})
        accepted = time.monotonic()
        assert answer.status == 202
        time.sleep(3)
        for caller in callers:
            caller.end()
        wait_finished(server, answer.json()["id"])
        server.wait_processed()
    calls = [each for caller in callers for each in caller.calls]
    before = {name for name, _, answered in calls if answered < asked}
    after = {name for name, began, _ in calls if began > accepted}
    assert before
    assert after
    there = {entry["id"] for entry in _all(server, UID)}
    assert not before & there
    assert after <= there
    assert {entry["id"] for entry in _all(server, "bo")} >= {f"{name}-bo" for name, _, _ in calls}
    assert not any(word in left(engines) for word in ("Byronia", "ada-coupon-1815", "ada-order-7", "ada-letter-text"))
    assert verified(server) == []


def _all(server: Server, uid: str) -> Iterator[Any]:
    cursor: dict[str, str] = {}
    while True:
        page = server.get(f"/customers/{uid}/timeline", limit=500, **cursor)
        yield from page["data"]
        if page["next"] is None:
            return
        cursor = {"cursor": page["next"]}


def test_a_server_that_is_killed_ends_what_it_began(told: Told) -> None:
    engines, server, _ = told
    for wait in (0.0, 0.15, 0.4):
        answer = server.api("POST", "/regulations", {"type": "DELETE", "uids": [UID, f"u{wait}"]})
        assert answer.status == 202
        time.sleep(wait)
        server.kill()
        server.start()
        wait_finished(server, answer.json()["id"])
        assert left(engines) == {}
    assert verified(server) == []
