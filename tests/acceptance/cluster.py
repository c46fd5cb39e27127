"""PostgreSQL, JetStream, and any number of servers of each role over them."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.nats_server import NatsServer
from tests.postgres_server import PostgresServer
from tests.server import COMMAND, START_SECONDS, STOP_SECONDS, Server, kill_group


@dataclass
class Cluster:
    """Two engines, and what a server over them is started with."""

    path: Path
    postgres: PostgresServer
    nats: NatsServer
    stream: str = ""
    started: int = 0

    def server(self, role: str = "all", data: str = "", **settings: str) -> Server:
        """Give a server that is not started yet; each has a directory of its own, or shares the one named."""
        self.started += 1
        directory = self.path / (data or f"{role}-{self.started}")
        urls = {"RICHPANEL_DATABASE_URL": self.postgres.url(), "RICHPANEL_LOG_URL": self.nats.url + self.stream}
        key = {"RICHPANEL_SECRET_KEY": "k" * 40}
        more = {f"RICHPANEL_{name.upper()}": value for name, value in settings.items()}
        return Server(directory, env={**urls, **key, **more}, args=("--role", role))

    @contextmanager
    def worker(self, data: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """Run a server that only processes: it listens nowhere. Leaving it asserts the exit code 0 after SIGTERM."""
        server = self.server("process", data)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RICHPANEL_")}
        output = self.path / f"worker-{self.started}.out"
        with output.open("wb") as out:
            process = subprocess.Popen(
                (COMMAND, "serve", "--data", server.data, "--role", "process"),
                stdout=out,
                stderr=out,
                env={**environment, **server.env},
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while "processing" not in output.read_text():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.05)
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0, output.read_text()
        finally:
            kill_group(process)


@contextmanager
def cluster(path: Path, stream: str = "") -> Iterator[Cluster]:
    """Start both engines; `stream` is what follows the server in the log's URL."""
    with ExitStack() as opened:
        postgres = PostgresServer(path / "postgres")
        opened.callback(postgres.stop)
        nats = NatsServer(path / "nats")
        opened.callback(nats.stop)
        yield Cluster(path, postgres, nats, stream)
