"""The verbs of `richpanel` on a cluster: definitions, the state and the log are elsewhere, and nothing else changes."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from richpanel.log.opening import open_reader
from richpanel.store.directory import DataDirectory
from tests.contract.nats_server import NatsServer
from tests.postgres_server import PostgresServer
from tests.server import COMMAND, Server, request

KEY = "a key of 32 characters or more, as it must be"


class Node:
    """A machine of a cluster: its data directory, and the settings that name the servers."""

    def __init__(self, data: Path, database_url: str, log_url: str) -> None:
        self.data = data
        self.database_url = database_url
        self.log_url = log_url

    def run(self, *args: str | Path, given: str = "", **more: str) -> "subprocess.CompletedProcess[str]":
        """Runs the command with this node's settings, whatever comes of it."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RICHPANEL_")}
        settings = {"DATABASE_URL": self.database_url, "LOG_URL": self.log_url, "DATA": str(self.data)}
        env = clean | {f"RICHPANEL_{name}": value for name, value in (settings | more).items()}
        return subprocess.run(
            [COMMAND, *args], input=given, capture_output=True, text=True, timeout=120, env=env, check=False
        )

    def told(self, *args: str | Path, **more: str) -> Any:
        """What the command prints for programs."""
        done = self.run(*args, "--json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
def empty(postgres: PostgresServer, nats: NatsServer, tmp_path: Path) -> Node:
    """A node of a cluster that has never started."""
    return Node(tmp_path / "node", postgres.create(tmp_path.name), f"{nats.url}?stream={tmp_path.name}")


@pytest.fixture
def node(empty: Node) -> Node:
    """A node of a cluster with an account."""
    empty.told("migrate")
    return empty


def failed(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert done.returncode == 1, done
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for each in words:
        assert each in done.stderr


def checks(done: "subprocess.CompletedProcess[str]") -> Mapping[str, tuple[str, str]]:
    return {check["name"]: (check["state"], check["text"]) for check in json.loads(done.stdout)["checks"]}


# ---------------------------------------------------------------------------------------------------------- definitions


def test_what_one_node_defines_another_one_finds(node: Node, tmp_path: Path) -> None:
    added = node.told("source", "add", "Shop", "--type", "server")
    token = node.told("token", "add", "ci")
    node.told("user", "add", "ada")
    key = (node.data / "secret.key").read_text().strip()
    other = Node(tmp_path / "other", node.database_url, node.log_url)
    listed = other.told("source", "list", SECRET_KEY=key)["data"]
    assert [source["name"] for source in listed] == ["Segment", "Website", "Channels", "Shop"]
    assert listed[-1]["writeKey"] == added["writeKey"]
    assert other.told("source", "disable", "Shop", SECRET_KEY=key) == {**added, "enabled": False}
    assert [row["id"] for row in other.told("token", "list", SECRET_KEY=key)["data"]] == [token["id"]]
    assert other.told("token", "revoke", "ci", SECRET_KEY=key) == {"revoked": 1}
    assert other.told("user", "list", SECRET_KEY=key) == {"data": [{"login": "ada", "role": "owner"}]}
    failed(other.run("user", "add", "ada", SECRET_KEY=key), "there is a login 'ada' already")
    assert not (other.data / "account.db").exists()
    assert not (node.data / "account.db").exists()


def test_a_node_with_another_key_or_none_is_told_what_to_do(node: Node, tmp_path: Path) -> None:
    other = Node(tmp_path / "other", node.database_url, node.log_url)
    failed(other.run("migrate"), "there is no secret key on this node", "RICHPANEL_SECRET_KEY")
    assert not (other.data / "secret.key").exists()
    failed(other.run("migrate", SECRET_KEY=KEY), "is not the account's", "put secret.key of the first node")
    failed(other.run("serve", "--port", "0", SECRET_KEY=KEY), "is not the account's")
    assert other.run("migrate", "--new-secret-key", SECRET_KEY=KEY).returncode == 0
    failed(node.run("migrate"), "is not the account's")


@pytest.mark.parametrize("verb", ["source list", "token list", "status", "export customers", "source disable x"])
def test_before_the_first_start_it_says_what_to_do(empty: Node, verb: str) -> None:
    failed(empty.run(*verb.split()), "there is no account at postgresql://", "richpanel serve")


@pytest.mark.parametrize("verb", ["source list", "migrate", "status"])
def test_a_server_that_is_not_there_is_one_line(empty: Node, verb: str) -> None:
    empty.database_url = "postgresql://richpanel:hunter2@127.0.0.1:1/none"
    done = empty.run(*verb.split())
    failed(done, "refused")
    assert "hunter2" not in done.stderr


# ------------------------------------------------------------------------------------------------------- log and state


def line(number: int) -> str:
    return json.dumps({"type": "identify", "userId": f"u{number}", "traits": {"email": f"u{number}@example.com"}})


def test_a_file_goes_into_the_stream_and_a_second_time_nothing_does(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(f"{line(number)}\n" for number in range(5_000)))
    done = node.told("import", file)
    assert (done["accepted"], done["discarded"]) == (5_000, 0)
    reader = open_reader(node.data / "log", node.log_url)
    last = reader.durable()
    assert last > 0
    assert sum(entry.payload.count(b'"userId"') for entry in reader.read(0, 64 << 20)) == 5_000
    assert node.told("import", file)["resumedAt"] == file.stat().st_size
    assert reader.durable() == last
    reader.close()
    status = node.told("status")
    assert (status["log"], status["processed"], status["files"]) == ({"last": last}, 0, None)
    assert status["oldestUnprocessedSeconds"] > 0
    table = node.run("status").stdout
    assert "records so far" in table
    assert "records, the oldest" in table


def test_nothing_waits_where_nothing_came(node: Node) -> None:
    assert node.told("status")["log"] == {"last": 0}
    assert node.run("export", "customers").stdout == ""
    assert node.run("export", "events", "--format", "csv").stdout.startswith("uid,id,type")


def test_a_log_that_is_not_there_is_one_line(node: Node, tmp_path: Path) -> None:
    node.log_url = "nats://127.0.0.1:1"
    failed(node.run("status"), "stream")


def test_beside_a_server_they_work_as_on_one_machine(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(f"{line(number % 30)}\n" for number in range(300)))
    settings = {"RICHPANEL_DATABASE_URL": node.database_url, "RICHPANEL_LOG_URL": node.log_url}
    with Server(node.data, env=settings) as server:
        shop = server.add_source("Shop", "server")
        call = json.dumps({**json.loads(line(99)), "writeKey": shop.write_key}).encode()
        assert request("POST", f"{server.url}/v1/identify", call).status == 200
        node.told("import", file)
        deadline = time.monotonic() + 60
        while node.told("status")["oldestUnprocessedSeconds"] or node.told("status")["messages"] < 301:
            assert time.monotonic() < deadline, node.run("status").stdout
            time.sleep(0.2)
        assert node.told("status")["outcomes"][shop.id] == {"kept": 1}
        assert exported(node, "customers") == {*(f"u{number}" for number in range(30)), "u99"}
        assert "uid,id,type" in node.run("export", "events", "--format", "csv").stdout
        receipt = node.told("erase", "u7")
        assert receipt["status"] == "FINISHED"
        assert receipt["receipt"]["tables"]["messages"]["count"] == 10
        assert "u7" not in exported(node, "customers")


def exported(node: Node, what: str) -> set[str]:
    done = node.run("export", what)
    assert done.returncode == 0, done.stderr
    return {json.loads(each)["uid"] for each in done.stdout.splitlines()}


# --------------------------------------------------------------------------------------------------------------- doctor


def test_doctor_looks_at_the_server(node: Node) -> None:
    done = node.run("doctor", "--json")
    found = checks(done)
    assert found["PostgreSQL"][0] == "ok"
    assert "127.0.0.1" in found["PostgreSQL"][1]
    assert found["encoding"] == ("ok", "UTF8, locale C; our texts are ordered by their bytes")
    assert found["migrations"][0] == "ok"
    assert found["connections"][0] == "ok"
    assert "account" in found["size"][1]
    assert "state" in found["size"][1]
    assert found["clocks"][0] == "ok"
    assert found["durability"][0] == "problem", "the suite's server need not survive a power cut"
    assert "fsync, full_page_writes is off" in found["durability"][1]


def test_doctor_finds_what_is_wrong_with_a_database(node: Node, postgres: PostgresServer, tmp_path: Path) -> None:
    with psycopg.connect(node.database_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(tmp_path.name))
        )
        connection.execute("UPDATE state.alembic_version SET version_num = 'state_9999', since = 'state_9999'")
    done = node.run("doctor", "--json", SECRET_KEY=KEY)
    assert done.returncode == 1
    found = checks(done)
    assert "synchronous_commit" in found["durability"][1]
    assert found["secret key"][0] == "problem"
    assert "is not the account's" in found["secret key"][1]
    assert found["migrations"][0] == "problem"
    assert "schema state is at state_9999, newer than this version" in found["migrations"][1]
    assert KEY not in done.stdout


def test_doctor_before_the_first_start(empty: Node) -> None:
    done = empty.run("doctor", "--json")
    found = checks(done)
    assert "schema state is not there" in found["migrations"][1]
    empty.database_url = "postgresql://richpanel:hunter2@127.0.0.1:1/none"
    done = empty.run("doctor", "--json")
    assert done.returncode == 1
    assert checks(done)["PostgreSQL"][0] == "problem"
    assert "hunter2" not in done.stdout


def test_an_encoding_that_cannot_hold_everything_is_a_problem(postgres: PostgresServer, node: Node) -> None:
    with psycopg.connect(postgres.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    latin = Node(node.data, postgres.url("latin"), node.log_url)
    assert checks(latin.run("doctor", "--json"))["encoding"][0] == "problem"
    assert DataDirectory(latin.data, latin.database_url).account_url.endswith("latin?schema=account")
