"""`richpanel backup` and `restore` on a cluster: under load, with the stream as it was, and where things go wrong."""

import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.acceptance.cluster import Cluster, cluster
from tests.acceptance.test_backup import Load, exported
from tests.acceptance.test_rebuild import PATIENCE, Shop
from tests.acceptance.test_serve import wait_until
from tests.server import COMMAND, Server

MARK = "SELECT 1 WHERE to_regclass('account.half_copy') IS NOT NULL"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("engines"), "?max_bytes=268435456") as made:
        yield made


@pytest.fixture(scope="module")
def shop(engines: Cluster) -> Shop:
    server = engines.server()
    server.start()
    made = Shop(server, server.add_source("Shop", "server"))
    for first in range(0, 4_000, 400):
        made.send(first, 400)
    server.wait_processed(PATIENCE)
    return made


@pytest.fixture(scope="module", autouse=True)
def ended(shop: Shop) -> Iterator[None]:
    yield
    shop.server.kill()


def run(server: Server, *args: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with the settings of a server."""
    line = [str(COMMAND), *map(str, args), "--data", str(server.data)]
    env = {**server._environment(), **more}
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, env=env, check=False)


def told(server: Server, *args: str | Path, **more: str) -> Any:
    done = run(server, *args, "--json", **more)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done
    assert all(word in done.stderr for word in words), done.stderr


def other(engines: Cluster, name: str, stream: str | None = None) -> Server:
    """A server on another database; on the same stream, or on one of its own."""
    made = engines.server()
    log = engines.log_url if stream is None else f"{engines.nats.url}?stream={stream}&max_bytes=67108864"
    made.env = {**made.env, "RICHPANEL_DATABASE_URL": engines.postgres.create(name), "RICHPANEL_LOG_URL": log}
    return made


def test_what_was_acknowledged_before_is_in_a_backup_made_under_load(
    shop: Shop, engines: Cluster, tmp_path: Path
) -> None:
    load = Load(shop.server, shop.source, "busy")
    load.start()
    time.sleep(1.0)
    shop.server.wait_processed(PATIENCE)
    before = list(load.acknowledged)
    shop.server.wait_processed(PATIENCE)
    made = told(shop.server, "backup", tmp_path / "b.tar.zst")
    load.stop.set()
    load.join()
    assert (made["customers"] > 70, made["log"]["end"]) == (True, made["processed"])
    assert (tmp_path / "b.tar.zst").stat().st_mode & 0o777 == 0o600
    target = other(engines, "busy", "BUSY")
    restored = told(target, "restore", tmp_path / "b.tar.zst")
    assert restored["customers"] == made["customers"]
    with target:
        events = exported(target)
        assert set(before) <= events["busy"]
        assert events["u4"] == exported(shop.server)["u4"]
        shop_again = Shop(target, shop.source)
        shop_again.send(0, 400)
        shop_again.send(shop.accepted, 20)
        target.wait_processed(PATIENCE)
        assert shop_again.counts()["duplicate"] == 400
        code = run(target, "rebuild", "--json")
        assert (code.returncode, json.loads(code.stdout)["equal"]) == (0, True)
    refused(run(target, "restore", tmp_path / "b.tar.zst"), "holds", "stream BUSY")


def test_what_the_stream_still_has_is_applied_once(shop: Shop, engines: Cluster, tmp_path: Path) -> None:
    told(shop.server, "backup", tmp_path / "b.tar.zst")
    refused(
        run(other(engines, "early"), "restore", tmp_path / "b.tar.zst"), "a server still processes", "stop it first"
    )
    first = shop.accepted
    shop.send(first, 300)
    shop.server.wait_processed(PATIENCE)
    after = exported(shop.server)
    shop.server.stop()
    target = other(engines, "same")
    told(target, "restore", tmp_path / "b.tar.zst")
    with target:
        target.wait_processed(PATIENCE)
        wait_until(lambda: exported(target) == after, PATIENCE, "what came after the backup is there")
        assert "duplicate" not in Shop(target, shop.source).counts()
    shop.server.start()
    shop.server.wait_processed(PATIENCE)
    assert exported(shop.server) == after


def test_whoever_was_erased_since_is_erased_again(shop: Shop, engines: Cluster, tmp_path: Path) -> None:
    told(shop.server, "backup", tmp_path / "b.tar.zst")
    assert told(shop.server, "erase", "u9")["status"] == "FINISHED"
    target = other(engines, "erased", "ERASED")
    url = shop.server._environment()["RICHPANEL_DATABASE_URL"]
    restored = told(target, "restore", tmp_path / "b.tar.zst", "--ledger", url)
    assert restored["notes"] == [f"1 regulations since then were followed again, as the ledger at {url} tells them."]
    with target:
        assert target.api("GET", "/customers/u9").status == 404
        assert target.customer("u8")["email"] == "u8@shop.example"
        assert run(target, "erase", "--verify").returncode == 0
    unheld = other(engines, "unheld", "UNHELD")
    assert "--ledger tells it" in told(unheld, "restore", tmp_path / "b.tar.zst")["notes"][-1]


def test_killed_anywhere_nothing_starts_on_half_of_it_and_the_next_one_is_whole(
    shop: Shop, engines: Cluster, tmp_path: Path
) -> None:
    file = tmp_path / "b.tar.zst"
    told(shop.server, "backup", file)
    target = other(engines, "killed", "KILLED")
    url = target.env["RICHPANEL_DATABASE_URL"]
    line = [str(COMMAND), "restore", str(file), "--data", str(target.data)]
    running = subprocess.Popen(line, env=target._environment())
    with psycopg.connect(url, autocommit=True) as connection:
        wait_until(lambda: bool(connection.execute(MARK).fetchall()), PATIENCE, "it has begun")
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    refused(run(target, "migrate"), "is not whole yet")
    told(target, "restore", file)
    with target:
        assert exported(target) == exported(shop.server)
    done = run(target, "restore", file)
    refused(done, "holds an account already")


def test_what_is_damaged_or_of_the_other_set_up_is_refused(shop: Shop, engines: Cluster, tmp_path: Path) -> None:
    file, cut = tmp_path / "b.tar.zst", tmp_path / "cut.tar.zst"
    told(shop.server, "backup", file)
    assert told(shop.server, "restore", file, "--verify")["verified"]
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    target = other(engines, "damaged", "DAMAGED")
    refused(run(target, "restore", cut), "nothing was restored")  # Damaged, or too short: as it is cut.
    embedded = Server(tmp_path / "files")
    refused(run(embedded, "restore", file), "is of a cluster")
    with embedded:
        pass
    told(embedded, "backup", tmp_path / "files.tar.zst")
    refused(run(target, "restore", tmp_path / "files.tar.zst"), "is of a data directory", "migrate-to")
    assert tarfile.is_tarfile(file) is False
