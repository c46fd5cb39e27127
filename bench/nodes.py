"""A cluster on this machine: PostgreSQL, nats-server, and `richpanel serve` with a role, any number of each.

All are real, each a process of its own on a free loopback port. PostgreSQL syncs each commit, as it does by default.
"""

import http.client
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import psycopg

from bench.processes import children, cpu_seconds
from bench.serving import ServerFailed
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare
from richpanel.store.sources import add_source
from richpanel.store.tokens import add_token
from tests.contract.nats_server import NatsServer
from tests.postgres_server import PostgresServer

SETTINGS: Final = {
    "shared_buffers": "1GB",
    "effective_cache_size": "4GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "lz4",
}
"""What anybody sets who gives PostgreSQL a machine; all else is its default, `fsync` and `synchronous_commit` too."""
ROLES: Final = ("ingest", "nats-server", "process", "PostgreSQL", "its background", "web")
_COMMAND: Final = Path(sys.executable).parent / "richpanel"
_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_LISTENING: Final = "listening on http://127.0.0.1:"
_SECRET_KEY: Final = "the same for each node of a benchmark"


class Node:
    """One `richpanel serve --role ...`, with nothing of its own but a directory that stays empty."""

    def __init__(self, folder: Path, role: str, environment: dict[str, str]) -> None:
        folder.mkdir()
        self.role = role
        self.port = 0
        self._output = folder / "output.txt"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [_COMMAND, "serve", "--data", folder / "data", "--role", role, "--port", "0"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it is at work."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self._output.read_text(errors="replace").splitlines():
                if line.startswith(_LISTENING):
                    self.port = int(line.removeprefix(_LISTENING))
                if line.startswith((_LISTENING, "processing")):
                    return
            time.sleep(0.02)
        raise ServerFailed(self._output.read_text(errors="replace"))

    def stop(self) -> None:
        """Let it finish what it does."""
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(_STOP_SECONDS) != 0:
            raise ServerFailed(self._output.read_text(errors="replace"))

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(_STOP_SECONDS)

    def get(self, path: str, token: str = "") -> tuple[int, bytes]:
        """Ask it for a path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"authorization": f"Bearer {token}"} if token else {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@dataclass
class Meter:
    """CPU seconds by role since it was made; processes that end keep what they had at the last look."""

    cluster: "Cluster"
    _used: dict[int, tuple[str, float, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Read /proc."""
        for role, pid in self.cluster.processes():
            with suppress(OSError):
                now = cpu_seconds(pid)
                self._used[pid] = (role, self._used[pid][1] if pid in self._used else now, now)

    def seconds(self) -> dict[str, float]:
        """Give what each role has used."""
        self.look()
        found = dict.fromkeys(ROLES, 0.0)
        for role, first, last in self._used.values():
            found[role] += last - first
        return found


class Cluster:
    """The servers, as a context manager; nodes are added with `add`. All that it writes is made under `where`."""

    def __init__(self, where: Path) -> None:
        where.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="cluster-", dir=where))
        self.nodes: list[Node] = []
        self._postgres: PostgresServer | None = None
        self._nats: NatsServer | None = None

    def __enter__(self) -> Self:
        try:
            self._postgres = PostgresServer(self.folder / "postgres", **SETTINGS)
            self._nats = NatsServer(self.folder / "nats")
            self.log_url = self._nats.url
            self.database_url = self._postgres.create("richpanel")
            self._define()
            self._asking = psycopg.connect(self.database_url, autocommit=True)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._asking.close()
        self._end()

    def _define(self) -> None:
        """Make the account, a source and a token, as the commands do."""
        assert self._nats is not None
        directory = DataDirectory(self.folder / "first", self.database_url, self._nats.url)
        prepare(directory, secret_key=_SECRET_KEY)
        engine = open_engine(directory.account_url)
        now = int(time.time() * 1000)
        with engine.begin() as connection:
            self.key = add_source(connection, "Benchmark", "web", now=now).write_keys[0]
            self.token = add_token(connection, "benchmark", now=now)[1]
        engine.dispose()

    def _end(self) -> None:
        for node in self.nodes:
            node.kill()
        for server in (self._postgres, self._nats):
            if server is not None:
                server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, *roles: str) -> list[Node]:
        """Start nodes, and wait until they are at work."""
        assert self._nats is not None
        given = {name: value for name, value in os.environ.items() if not name.startswith("RICHPANEL_")}
        given |= {
            "RICHPANEL_DATABASE_URL": self.database_url,
            "RICHPANEL_LOG_URL": self._nats.url,
            "RICHPANEL_SECRET_KEY": _SECRET_KEY,
        }
        added = []
        for role in roles:
            added.append(Node(self.folder / f"{role}-{len(self.nodes)}", role, given))
            self.nodes.append(added[-1])
        for node in added:
            node.wait()
        return added

    def processes(self) -> Iterator[tuple[str, int]]:
        """Give the processes of each role."""
        assert self._postgres is not None
        assert self._nats is not None
        yield "nats-server", self._nats.pid
        server = self._postgres.pid
        yield "its background", server
        for pid, line in children(server).items():
            yield ("PostgreSQL" if line[0].startswith("postgres: richpanel") else "its background"), pid
        for node in self.nodes:
            yield node.role, node.process.pid
            for pid in children(node.process.pid):
                yield node.role, pid

    def applied(self) -> int:
        """Count the messages that are applied."""
        rows: Sequence[Any] = self._asking.execute("SELECT messages FROM state.progress").fetchall()
        return int(rows[0][0]) if rows else 0

    def written(self) -> int:
        """Give how many bytes PostgreSQL's write-ahead log has had so far."""
        return int(self._ask("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')"))

    def size(self) -> int:
        """Give the bytes of the database."""
        return int(self._ask("SELECT pg_database_size(current_database())"))

    def stored(self) -> tuple[int, int, int]:
        """Count the messages that are stored, their ids, and those that stand in somebody's history."""
        tables = ("messages", "message_ids", "history")
        counts = [int(self._ask(f"SELECT count(DISTINCT (n)) FROM state.{table}")) for table in tables]
        return counts[0], counts[1], counts[2]

    def outcomes(self) -> dict[str, int]:
        """Give what became of all messages, as the REST API tells."""
        node = next(node for node in self.nodes if node.role == "web")
        status, body = node.get("/api/v1/status", self.token)
        if status != 200:
            raise ServerFailed(f"GET /status: {status} {body[:500]!r}")
        counted: dict[str, int] = {}
        for outcomes in msgspec.json.decode(body)["outcomes"].values():
            for outcome, count in outcomes.items():
                counted[outcome] = counted.get(outcome, 0) + count
        return counted

    def _ask(self, question: str) -> Any:
        row = self._asking.execute(question).fetchone()
        assert row is not None
        return row[0]
