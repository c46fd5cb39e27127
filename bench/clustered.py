"""Rows 11 and 12 on PostgreSQL and JetStream: the same measurements, of a cluster that looks like a server."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Engine

from bench.accept import Ground
from bench.engage import engage
from bench.growth import Growth
from bench.load import Load
from bench.nodes import ROLES, Cluster, Meter
from bench.options import Bench
from bench.serving import ServerFailed, Status, applied_until, ask
from richpanel.log.contract import LogReader
from richpanel.log.opening import open_reader
from richpanel.store.database import open_engine
from richpanel.store.postgres import schema_url


class Clustered:
    """An ingest node, a web node and some that process, as one `bench.serving.Installation`."""

    roles: Sequence[str] = ROLES
    """What tells of audiences is one of those that process."""

    def __init__(self, cluster: Cluster, workers: int) -> None:
        ingest, self._web, *_ = cluster.add("ingest", "web", *["process"] * workers)
        self.port, self.key, self.token = ingest.port, cluster.key, cluster.token
        self._cluster = cluster
        self._meter = Meter(cluster)

    def api(self, path: str, body: Any = None) -> Any:
        """Ask the REST API for a path below /api/v1; post where there is a body."""
        status, answer = ask(self._web.port, f"/api/v1{path}", self.token, body)
        if status not in (200, 201):
            raise ServerFailed(f"{path}: {status} {answer[:500]!r}")
        return msgspec.json.decode(answer)

    def status(self) -> Status:
        """Tell how far processing is."""
        found = self.api("/status")
        return Status(found["log"]["last"], found["processed"], found["messages"])

    def wait_processed(self, watch: Callable[[Status], object] | None = None, every: float = 0.1) -> Status:
        """Wait until all that is in the log now is applied."""
        return applied_until(self.status, watch, every)

    def cpu(self, role: str) -> float:
        """Give the CPU seconds that the processes of a node's role, or of a server, have used."""
        return self._meter.seconds()[role]

    def cpu_of_all(self) -> float:
        """Give the CPU seconds of all processes together."""
        return sum(self._meter.seconds().values())

    def log(self) -> LogReader:
        """Read the log."""
        return open_reader(self._cluster.folder, self._cluster.log_url)

    def state(self) -> Engine:
        """Read the state."""
        return open_engine(schema_url(self._cluster.database_url, "state"), read_only=True)


def engage_clustered(bench: Bench, load: Load, workers: int) -> None:
    """Grow a cluster, and measure its audiences."""
    options = bench.options
    with Cluster(bench.where) as cluster:
        place = Ground(bench, Clustered(cluster, workers), load)
        grown = Growth(place)
        grown.feed(options.first, f"{options.first:,} events")
        grown.enroll(options.customers)
        grown.feed(options.growth - options.first, f"up to {options.growth:,} events")
        engage(place, options.rows)
