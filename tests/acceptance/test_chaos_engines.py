"""PostgreSQL and JetStream die, are away and are cut off while a cluster's servers are under load (`chaos`)."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from richpanel.log.opening import stream_of
from tests.acceptance.chaos import BOUND_SECONDS, all_ready, caught_up, loaded, until
from tests.acceptance.cluster import FLEET, Fleet, cluster
from tests.acceptance.network import elsewhere, needs_root
from tests.acceptance.roles import wait_reason
from tests.acceptance.traffic import Told
from tests.contract.test_jetstream_cluster import leader
from tests.server import Answer, Source, request

PROBE = {
    "messageId": "probe",
    "timestamp": "2026-01-01T00:00:00Z",
    "type": "page",
    "name": "Probe",
    "anonymousId": "probe",
    "properties": {"path": "/probe"},
}
"""A call that is sent again and again, to see how it is answered."""


def customers(fleet: Fleet, token: str) -> Answer:
    """Ask for the customers."""
    return request("GET", f"{fleet.pages.url}/api/v1/customers", headers={"Authorization": f"Bearer {token}"})


def test_postgresql_dies_and_is_away_for_seconds(tmp_path: Path) -> None:
    """Calls are taken in all the while; pages say what is missing; then all catches up by itself."""
    with cluster(tmp_path) as engines, engines.fleet() as fleet, loaded(fleet) as (_, told, senders):
        token = fleet.pages.token
        for away in (0.0, 8.0):
            time.sleep(1)
            engines.postgres.kill()
            wait_reason(fleet.pages, "state", BOUND_SECONDS)
            answer = customers(fleet, token)
            assert answer.status == 503, answer
            assert answer.json()["detail"]
            time.sleep(away)
            engines.postgres.start()
            ready = all_ready(fleet)
            print(f"away for {away} s more: ready after {ready:.1f} s, up to date {caught_up(fleet):.1f} s later")
        assert senders.unheard == 0, told.statuses


@pytest.mark.soak
def test_a_stream_of_three_loses_its_leader_then_a_second_one_and_recovers(tmp_path: Path) -> None:
    with cluster(tmp_path, servers=3) as engines, engines.fleet() as fleet, loaded(fleet) as (source, told, _):
        time.sleep(1)
        first, replicas = asyncio.run(leader(stream_of(engines.log_url)))
        assert replicas == 3
        engines.streams[first].kill()
        kept = len(told.kept)
        print(f"took calls again after {until(lambda: len(told.kept) > kept + 50, BOUND_SECONDS, 'taken'):.1f} s")
        second, _ = asyncio.run(leader(stream_of(engines.log_url)))
        engines.streams[second].kill()
        until(lambda: all(_refuses(url, source, told) for url in fleet.doors), BOUND_SECONDS, "both doors refuse")
        wait_reason(fleet["ingest-1"], "stream", BOUND_SECONDS)
        assert customers(fleet, fleet.pages.token).status == 200, "what is there can be read"
        engines.streams[second].start()
        kept = len(told.kept)
        print(f"and after {until(lambda: len(told.kept) > kept + 50, BOUND_SECONDS, 'taken'):.1f} s with a second one")
        engines.streams[first].start()
        all_ready(fleet)


def _refuses(url: str, source: Source, told: Told) -> bool:
    """Tell whether a door refuses a call as it should: by 429 or 503, and when to come again."""
    body = json.dumps({**PROBE, "writeKey": source.write_key}).encode()
    answer = request("POST", f"{url}/v1/page", body, {"Content-Type": "application/json"})
    told.note([PROBE], 200 if answer.status == 200 else None)  # Some say that nobody knows.
    if answer.status == 200:
        return False
    assert answer.status in (429, 503), answer
    assert int(answer.headers["retry-after"]) > 0
    return True


@needs_root
@pytest.mark.parametrize("seconds", [3.0, pytest.param(25.0, marks=pytest.mark.soak)])
def test_both_engines_are_cut_off(tmp_path: Path, seconds: float) -> None:
    """For less than what their clients wait, and for longer."""
    with (
        elsewhere() as other,
        cluster(tmp_path, host=other.there, inside=other.inside) as engines,
        engines.fleet() as fleet,
        loaded(fleet) as (source, told, _),
    ):
        token = fleet.pages.token
        time.sleep(1)
        other.cut()
        since = time.monotonic()
        if seconds > 20:
            until(lambda: all(_refuses(url, source, told) for url in fleet.doors), BOUND_SECONDS, "both doors refuse")
            wait_reason(fleet["ingest-1"], "stream", BOUND_SECONDS)
            until(lambda: customers(fleet, token).status == 503, BOUND_SECONDS, "pages say that it is away")
        time.sleep(max(0.0, since + seconds - time.monotonic()))
        other.mend()
        ready = all_ready(fleet)
        print(f"cut for {seconds} s: ready after {ready:.1f} s, up to date {caught_up(fleet):.1f} s later")


@needs_root
@pytest.mark.soak
def test_a_worker_is_cut_off_in_the_middle_of_its_work(tmp_path: Path) -> None:
    """What it holds, its turn and records, others get without anybody's doing; it comes back by itself."""
    names = {name: role for name, role in FLEET.items() if name != "process-1"}
    with (
        elsewhere() as other,
        cluster(tmp_path, host=other.here) as engines,
        engines.fleet(names) as fleet,
        loaded(fleet),
    ):
        far = engines.server("process", "process-1")
        far.inside = other.inside
        with far:
            for seconds in (3.0, 25.0):
                time.sleep(1)
                other.cut()
                time.sleep(seconds)
                print(f"cut for {seconds} s: the others were up to date after {caught_up(fleet):.1f} s more")
                other.mend()
