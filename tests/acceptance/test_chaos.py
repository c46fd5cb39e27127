"""The servers of a cluster are killed, hang, are restarted and start at once, under load (`chaos`)."""

import json
import os
import random
import signal
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.chaos import BOUND_SECONDS, SEED, all_ready, loaded, until
from tests.acceptance.cluster import FLEET, Cluster, cluster
from tests.acceptance.roles import roles, wait_ready

ACK_SECONDS = 5.0
"""After so long the stream hands what a worker has to another one (`log.consumer`)."""


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as made:
        yield made


def killed(engines: Cluster, times: int) -> None:
    """Kill one server after the other, or a role of one, which comes back by itself."""
    chance, seconds = random.Random(SEED), []
    with engines.fleet() as fleet, loaded(fleet) as (_, _, senders):
        for number in range(times):
            name = list(FLEET)[number % len(FLEET)]
            time.sleep(chance.uniform(0.05, 1.0))
            if number // len(FLEET) % 2:
                role = roles(fleet[name].pid)
                os.kill(role[chance.choice(sorted(role))], signal.SIGKILL)
                since = time.monotonic()
                time.sleep(0.3)  # The parent has noticed by then.
            else:
                fleet[name].kill()
                time.sleep(chance.uniform(0.0, 0.5))
                since = time.monotonic()
                fleet.start(name)
                senders.go(*fleet.doors)
            all_ready(fleet)
            seconds.append(time.monotonic() - since)
    print(
        f"{times} kills; ready again after a median of {statistics.median(seconds):.2f} s, {max(seconds):.2f} at most"
    )


def test_kill_9_of_each_role_in_turn(engines: Cluster) -> None:
    killed(engines, 2 * len(FLEET))


@pytest.mark.soak
def test_kill_9_of_each_role_a_hundred_times(engines: Cluster) -> None:
    killed(engines, 100)


def has_its_turn(engines: Cluster) -> bool:
    """Tell whether a worker is in the middle of a transaction: it has its turn."""
    query = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' "
        f"AND classid = {0x72706E6C}"
    )
    with psycopg.connect(engines.postgres.url()) as connection:
        row = connection.execute(query).fetchone()
    return row is not None and row[0] > 0


@contextmanager
def frozen_in_a_transaction(engines: Cluster, worker: int) -> Iterator[None]:
    """Stop a worker while it has its turn, which others wait for."""
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, "it never has one"
        if has_its_turn(engines):
            os.kill(worker, signal.SIGSTOP)
            time.sleep(0.2)  # What it had sent is done by then.
            if has_its_turn(engines):
                break
            os.kill(worker, signal.SIGCONT)
            time.sleep(0.05)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


@pytest.mark.soak
def test_a_worker_that_hangs_does_not_double_what_others_have_applied_meanwhile(engines: Cluster) -> None:
    """It has records in hand and not its turn: the others are given its records, and it finds them applied."""
    with engines.fleet() as fleet, loaded(fleet):
        worker = roles(fleet["process-1"].pid)["process"]
        for _ in range(2):
            time.sleep(1)
            os.kill(worker, signal.SIGSTOP)
            try:
                time.sleep(ACK_SECONDS + 3)
            finally:
                os.kill(worker, signal.SIGCONT)


@pytest.mark.soak
def test_a_worker_that_hangs_in_a_transaction_holds_the_others_up_for_seconds(engines: Cluster) -> None:
    names = {name: role for name, role in FLEET.items() if name != "process-2"}
    with engines.fleet(names) as fleet:
        other = engines.server("process", "process-2")
        with loaded(fleet):
            worker = roles(fleet["process-1"].pid)["process"]
            with frozen_in_a_transaction(engines, worker), other:
                last = fleet.pages.get("/status")["log"]["last"]
                seconds = until(
                    lambda: fleet.pages.get("/status")["processed"] >= last, BOUND_SECONDS, "the other one goes on"
                )
        print(f"the other worker went on after {seconds:.1f} s")


def test_a_rolling_restart_refuses_nothing(engines: Cluster) -> None:
    """A client that asks the other door where one does not answer is never without."""
    with engines.fleet() as fleet, loaded(fleet) as (_, told, senders):
        for name in FLEET:
            fleet[name].stop()
            fleet.start(name)
            senders.go(*fleet.doors)
        senders.rest()
        assert senders.unheard == 0, told.statuses
        assert told.refused == set()


def test_nodes_that_start_at_the_same_moment_make_one_account(engines: Cluster) -> None:
    nodes = [engines.server("all", f"node-{number}") for number in range(3)]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: node.start(), nodes))
        for node in nodes:
            wait_ready(node)
        time.sleep(1)
        assert sum("password: " in node.printed() for node in nodes) == 1
        for node in nodes:
            names = [source["name"] for source in json.loads(node.command("source", "list", "--json"))["data"]]
            assert sorted(names) == ["Channels", "Segment", "Website"]
            assert [login["login"] for login in json.loads(node.command("user", "list", "--json"))["data"]] == ["admin"]
        for node in nodes:
            node.stop()
    finally:
        for node in nodes:
            node.kill()
