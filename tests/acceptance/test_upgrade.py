"""A cluster's nodes of two versions side by side, while the first of the newer ones migrates both schemas."""

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.chaos import all_ready, loaded
from tests.acceptance.cluster import FLEET, Cluster, Fleet, cluster
from tests.acceptance.newer import NUMBER, newer_version, newest, of_version
from tests.acceptance.traffic import SENDER_ERRORS
from tests.server import COMMAND, Server, request

NEWER = {"ingest": "ingest-3", "process": "process-3", "web": "web-2"}
EXPANDS = {
    "account": [
        "ALTER TABLE sources ADD COLUMN colour TEXT",
        "CREATE TABLE colours (colour TEXT NOT NULL PRIMARY KEY)",
    ],
    "state": [
        "ALTER TABLE messages ADD COLUMN colour TEXT",
        "CREATE TABLE shades (n BIGINT NOT NULL PRIMARY KEY)",
    ],
}
"""What the rules of CONTRIBUTING.md allow."""
FAILED = re.compile(r'"level": ?"(?:error|critical)"|\[(?:error|critical) *\]|Traceback|_failed')


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as made:
        yield made


@contextmanager
def somebody_looks(fleet: Fleet) -> Iterator[list[int]]:
    """Ask for a page and for a list all the while, where somebody answers; give the answers' statuses."""
    stop, statuses = threading.Event(), list[int]()
    bearer = {"Authorization": f"Bearer {fleet.pages.token}"}

    def look() -> None:
        while not stop.wait(0.2):
            for server in [each for name, each in fleet.servers.items() if name.startswith("web")]:
                for path in ("/api/v1/customers", "/api/v1/messages", "/"):
                    try:
                        statuses.append(request("GET", f"{server.url}{path}", headers=bearer).status)
                    except SENDER_ERRORS:
                        statuses.append(0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield statuses
    finally:
        stop.set()
        thread.join()


def revisions(engines: Cluster) -> dict[str, tuple[str, str, str]]:
    """What each schema says of itself: revision, whose versions go on, and who migrated it."""
    found = {}
    with psycopg.connect(engines.postgres.url()) as connection:
        for branch in ("account", "state"):
            query = f"SELECT version_num, since, version FROM {branch}.alembic_version"
            (found[branch],) = connection.execute(query).fetchall()
    return found


def fails(server: Server, *command: str) -> str:
    """Run a command on a server's node that must not succeed; give what it says."""
    line = [str(COMMAND), *command, "--data", str(server.data)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=server._environment(), check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nodes_of_two_versions_side_by_side(engines: Cluster, tmp_path: Path) -> None:
    """The first newer node migrates behind a long transaction; nobody waits for it, and no call is refused or lost."""
    version = newer_version(tmp_path / "newer", EXPANDS)
    servers = {name: engines.server(role, name) for name, role in FLEET.items()}
    newer = {name: of_version(engines.server(role, name), version) for role, name in NEWER.items()}
    fleet = Fleet(servers)
    everyone = [*servers.values(), *newer.values()]
    try:
        fleet.start(*FLEET)
        with loaded(fleet) as (source, told, senders):
            with somebody_looks(fleet) as statuses:
                _migrate_behind_a_long_transaction(
                    engines,
                    newer["ingest-3"],
                    lambda: (len(told.kept), len(statuses), fleet.pages.get("/status")["processed"]),
                )
                servers["ingest-3"] = newer["ingest-3"]
                senders.go(*fleet.doors)
                for name in ("process-3", "web-2"):
                    newer[name].start()
                    servers[name] = newer[name]
                all_ready(fleet)
                # An older one that is started again goes on, and so do its commands.
                servers["process-1"].stop()
                fleet.start("process-1")
                assert source.name in servers["process-1"].command("source", "list")
                doctor = json.loads(servers["web-1"].command("doctor", "--json"))
                assert "goes on with it: install 99.0.0" in json.dumps(doctor)
            assert set(statuses) == {200}, f"pages answer {set(statuses)}"
            time.sleep(1)
            for name in FLEET:
                older = servers.pop(name)
                if name == "web-1":
                    servers[name] = newer["web-2"]
                senders.go(*fleet.doors)
                older.stop()
                time.sleep(0.3)
            senders.rest()
            assert senders.unheard == 0, told.statuses
            assert told.refused == set()
        for server in newer.values():
            server.stop()
    finally:
        for server in everyone:
            server.kill()
    for server in everyone:
        assert not FAILED.search(server.printed()), server.printed()


def _migrate_behind_a_long_transaction(engines: Cluster, node: Server, figures: Callable[[], tuple[int, ...]]) -> None:
    with psycopg.connect(engines.postgres.url()) as long, ThreadPoolExecutor() as pool:
        long.execute("SELECT count(*) FROM state.messages")
        started = pool.submit(node.start)
        time.sleep(4)
        before = figures()
        time.sleep(2)
        taken, seen, applied = (now - then for now, then in zip(figures(), before, strict=True))
        assert taken > 20, "calls are taken in meanwhile"
        assert seen > 3, "pages answer"
        assert applied > 0, "workers go on"
        assert not started.done()
        assert revisions(engines)["state"][0] == newest("state")
        long.rollback()
        started.result()
    for branch, (revision, since, version) in revisions(engines).items():
        assert revision > newest(branch)
        assert (since, version) == (newest(branch), NUMBER)


def test_tables_with_which_the_older_version_cannot_go_on(engines: Cluster, tmp_path: Path) -> None:
    """They are made only when none of its nodes runs; after that none of it starts."""
    version = newer_version(
        tmp_path / "newer", {"state": ["ALTER TABLE messages RENAME COLUMN identity TO person"]}, compatible=False
    )
    older, newer = engines.server(data="older"), of_version(engines.server(data="newer"), version)
    with older:
        said = fails(newer, "serve", "--port", "0")
        assert "there are connections of richpanel 0" in said, said
        assert "stop those nodes, then start this one again" in said
        assert revisions(engines)["state"][0] == newest("state")
        assert request("GET", f"{older.url}/ready").status == 200
    assert '"migrated":true' in newer.command("migrate", "--json")
    for command in (("serve", "--port", "0"), ("migrate",), ("source", "add", "Late", "--type", "web")):
        said = fails(older, *command)
        assert "version 99.0.0 brought it to state_" in said, said
        assert "install version 99.0.0 on this node" in said
    assert "newer than this version: install 99.0.0" in fails(older, "doctor")
