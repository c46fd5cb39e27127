"""PostgreSQL, JetStream, and any number of servers of each role over them."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.acceptance.roles import wait_ready
from tests.contract.nats_server import NatsServer
from tests.contract.nats_server import cluster as nats_cluster
from tests.postgres_server import PostgresServer
from tests.sdk.network import LOOPBACK
from tests.server import Server

FLEET: Mapping[str, str] = {
    "ingest-1": "ingest",
    "ingest-2": "ingest",
    "process-1": "process",
    "process-2": "process",
    "web-1": "web",
}


@dataclass
class Cluster:
    """Two engines, and what a server over them is started with."""

    path: Path
    postgres: PostgresServer
    streams: Mapping[str, NatsServer]
    stream: str = ""
    started: int = 0

    @property
    def nats(self) -> NatsServer:
        """The first of the servers that keep the stream."""
        return next(iter(self.streams.values()))

    @property
    def log_url(self) -> str:
        """The setting that names all of them."""
        return ",".join(server.url for server in self.streams.values()) + self.stream

    def server(self, role: str = "all", data: str = "", **settings: str) -> Server:
        """Give a server that is not started yet; each has a directory of its own, or shares the one named."""
        self.started += 1
        directory = self.path / (data or f"{role}-{self.started}")
        urls = {"RICHPANEL_DATABASE_URL": self.postgres.url(), "RICHPANEL_LOG_URL": self.log_url}
        key = {"RICHPANEL_SECRET_KEY": "k" * 40}
        more = {f"RICHPANEL_{name.upper()}": value for name, value in settings.items()}
        return Server(directory, env={**urls, **key, **more}, args=("--role", role))

    @contextmanager
    def fleet(self, roles: Mapping[str, str] = FLEET) -> Iterator["Fleet"]:
        """Run a server for each name, all started at once. Leaving it asserts that each ends in good order."""
        fleet = Fleet({name: self.server(role, name) for name, role in roles.items()})
        try:
            fleet.start(*roles)
            yield fleet
            with ThreadPoolExecutor() as pool:
                list(pool.map(Server.stop, fleet.servers.values()))
        finally:
            for server in fleet.servers.values():
                server.kill()


@dataclass
class Fleet:
    """Servers of several roles, by name."""

    servers: Mapping[str, Server] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    @property
    def pages(self) -> Server:
        """The one that answers questions."""
        return self.servers["web-1"]

    @property
    def doors(self) -> Sequence[str]:
        """Where calls are taken in."""
        return [server.url for name, server in self.servers.items() if name.startswith("ingest")]

    def start(self, *names: str) -> None:
        """Start these at once, and wait until they are ready."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda name: self.servers[name].start(), names))
        for name in names:
            if self.servers[name].url:
                wait_ready(self.servers[name])


@contextmanager
def cluster(
    path: Path, stream: str = "", *, servers: int = 1, host: str = LOOPBACK, inside: Sequence[str] = ()
) -> Iterator[Cluster]:
    """Start both engines; `stream` is what follows the servers in the log's URL.

    One or three servers keep the stream. `inside` runs both engines elsewhere, where `host` is their address.
    """
    with ExitStack() as opened:
        postgres = PostgresServer(path / "postgres", host=host, inside=inside)
        opened.callback(postgres.stop)
        if servers == 1:
            streams = {"one": NatsServer(path / "nats", host=host, inside=inside)}
        else:
            streams = nats_cluster(path / "nats")
        for server in streams.values():
            opened.callback(server.stop)
        yield Cluster(path, postgres, streams, stream)
