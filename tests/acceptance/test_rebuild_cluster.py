"""`richpanel rebuild` beside several workers on a cluster: what only several can get wrong, and what waits for it."""

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import LiteralString

import psycopg
import pytest

from tests.acceptance.cluster import Cluster, cluster
from tests.acceptance.test_rebuild import PATIENCE, Shop, finish, load, rebuild, start
from tests.acceptance.test_serve import roles, wait_until
from tests.server import Server

SUCCESSOR = "SELECT 1 FROM pg_namespace WHERE nspname LIKE 'state_%'"
HAS_TABLES = "SELECT 1 WHERE to_regclass('state_successor.messages') IS NOT NULL"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("engines"), "?max_bytes=268435456") as made:
        yield made


@pytest.fixture(scope="module")
def servers(engines: Cluster) -> Iterator[tuple[Server, Server]]:
    """One server of all roles, and one that helps it to process."""
    first, second = engines.server(), engines.server("process")
    with first, second:
        yield first, second


@pytest.fixture(scope="module")
def shop(servers: tuple[Server, Server]) -> Shop:
    made = Shop(servers[0], servers[0].add_source("Shop"))
    for first in range(0, 4_000, 400):
        made.send(first, 400)
    made.server.wait_processed(PATIENCE)
    return made


def is_beside(engines: Cluster, statement: LiteralString = SUCCESSOR) -> bool:
    """Whether there is another state than the one in force."""
    with psycopg.connect(engines.postgres.url()) as connection:
        return bool(connection.execute(statement).fetchall())


def check_whole(shop: Shop, engines: Cluster) -> None:
    """Everything that was accepted counts once, and the state is what its bodies say."""
    shop.server.wait_processed(PATIENCE)
    counts = shop.counts()
    assert "duplicate" not in counts
    assert sum(counts.values()) == shop.accepted
    code, result = rebuild(shop, "--dry-run")
    assert (code, result["equal"]) == (0, True), result
    assert not is_beside(engines)


def test_workers_go_on_with_the_new_state_also_those_who_come_back(
    shop: Shop, servers: tuple[Server, Server], engines: Cluster
) -> None:
    with load(shop):
        for _ in range(3):
            running = start(shop)
            wait_until(lambda: is_beside(engines), PATIENCE, "it has begun")
            os.kill(roles(servers[1].pid)["process"], signal.SIGKILL)
            code, result = finish(running)
            assert (code, result["equal"], result["switched"]) == (0, True, True), result
    check_whole(shop, engines)


def test_whoever_is_erased_meanwhile_is_not_in_the_new_one(shop: Shop, engines: Cluster) -> None:
    running = start(shop)
    wait_until(lambda: is_beside(engines, HAS_TABLES), PATIENCE, "it has begun")
    running.send_signal(signal.SIGSTOP)
    receipt = json.loads(shop.server.command("erase", "u7", "--json"))
    assert receipt["status"] == "FINISHED"
    assert not is_beside(engines), "before the receipt is written"
    running.send_signal(signal.SIGCONT)
    code, said = finish(running)
    assert code == 1
    assert "somebody was erased meanwhile: run it again" in said
    assert not is_beside(engines)
    code, result = rebuild(shop)
    assert (code, result["equal"], result["switched"]) == (0, True, True), result
    assert shop.server.api("GET", "/customers/u7").status == 404


@pytest.mark.soak
def test_it_waits_for_somebody_who_reads_and_workers_go_on_meanwhile(shop: Shop, engines: Cluster) -> None:
    before = shop.server.get("/status")["messages"]
    with psycopg.connect(engines.postgres.url()) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT * FROM state.progress")
        running = start(shop)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            shop.send(shop.accepted + 100_000, 20)
            time.sleep(0.5)
        assert running.poll() is None, running.communicate()
        assert shop.server.get("/status")["messages"] > before
    code, result = finish(running)
    assert (code, result["switched"]) == (0, True), result


def test_two_at_a_time_are_refused(shop: Shop, engines: Cluster) -> None:
    running = start(shop)
    wait_until(lambda: is_beside(engines), PATIENCE, "it has begun")
    code, said = rebuild(shop)
    assert (code, said.count("\n")) == (1, 1)
    assert "another rebuild runs" in said
    assert finish(running)[0] == 0
