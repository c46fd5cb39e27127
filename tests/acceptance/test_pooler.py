"""PgBouncer between a cluster's servers and PostgreSQL: by sessions all works, by transactions nothing starts."""

import json
import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.acceptance.roles import wait_ready
from tests.contract.nats_server import NatsServer
from tests.pgbouncer import pgbouncer
from tests.postgres_server import PostgresServer
from tests.server import COMMAND, Server, request


def server(path: Path, nats: NatsServer, database_url: str) -> Server:
    urls = {
        "RICHPANEL_DATABASE_URL": database_url,
        "RICHPANEL_LOG_URL": f"{nats.url}?stream={path.name}&max_bytes=67108864",
    }
    return Server(path / "data", env=urls)


def run(node: Server, *command: str) -> "subprocess.CompletedProcess[str]":
    line = [str(COMMAND), *command, "--data", str(node.data)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, env=node._environment(), check=False)


def test_a_pooler_of_sessions_is_as_good_as_none(postgres: PostgresServer, nats: NatsServer, tmp_path: Path) -> None:
    postgres.create(tmp_path.name)
    with pgbouncer(postgres, "session") as url, server(tmp_path, nats, url + tmp_path.name) as node:
        wait_ready(node)
        source = node.add_source("Shop", "server")
        call = {"userId": "u-1", "traits": {"email": "u-1@example.com"}, "writeKey": source.write_key}
        answer = request("POST", f"{node.url}/v1/identify", json.dumps(call).encode())
        assert answer.status == 200, answer
        node.wait_processed()
        assert node.customer("u-1")["email"] == "u-1@example.com"
        checks = json.loads(run(node, "doctor", "--json").stdout)["checks"]  # This server promises no durability.
        said = [each["text"] for each in checks if each["name"] == "sessions"]
        assert said == ["a pooler is in between, and leaves each session to whoever has got it"]


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_of_less_is_refused(postgres: PostgresServer, nats: NatsServer, tmp_path: Path, mode: str) -> None:
    """Nothing is made, and the sessions that others get next are as they were."""
    postgres.create(tmp_path.name)
    with pgbouncer(postgres, mode) as url:
        node = server(tmp_path, nats, url + tmp_path.name)
        for command in (("serve", "--port", "0"), ("doctor",), ("source", "list"), ("migrate",)):
            done = run(node, *command)
            assert done.returncode == 1, (command, done)
            assert (done.stdout + done.stderr).count("`pool_mode = session`") == 1, (command, done)
            assert "Traceback" not in done.stderr
        with psycopg.connect(url + tmp_path.name, autocommit=True) as connection:
            for name, value in (("search_path", '"$user", public'), ("default_transaction_read_only", "off")):
                assert connection.execute(f"SHOW {name}").fetchone() == (value,)
            assert connection.execute("SELECT to_regnamespace('account')").fetchone() == (None,)
