"""The two set-ups that everything runs on, and all that differs between them: two settings.

Embedded: SQLite and segment files in the data directory. Cluster: PostgreSQL and a JetStream stream. Each data
directory has a database and a stream of its own there, made when it is first used.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.contract.nats_server import NatsServer
from tests.postgres_server import PostgresServer

_STREAM_BYTES: Final = 256 << 20
"""The server reserves what its streams may hold: many of them are to fit on the disk."""


class _Cluster:
    """Both engines, and what is where on them."""

    def __init__(self, postgres: PostgresServer, nats: NatsServer) -> None:
        self.postgres = postgres
        self.nats = nats
        self._settings: dict[Path, dict[str, str]] = {}

    def settings_of(self, data: Path) -> Mapping[str, str]:
        """The two settings of a data directory."""
        if data not in self._settings:
            name = f"t_{hashlib.sha256(bytes(data)).hexdigest()[:16]}"
            self._settings[data] = {
                "RICHPANEL_DATABASE_URL": self.postgres.create(name),
                "RICHPANEL_LOG_URL": f"{self.nats.url}?stream={name}&max_bytes={_STREAM_BYTES}",
            }
        return self._settings[data]

    def drop(self) -> None:
        """Remove the databases; the streams end with the server."""
        for settings in self._settings.values():
            self.postgres.drop(settings["RICHPANEL_DATABASE_URL"].rpartition("/")[2])


_cluster: _Cluster | None = None
_meant = True
"""Whether the test that runs is for both set-ups: a module's other tests may come while its cluster is there."""


@contextmanager
def on_cluster(postgres: PostgresServer, nats: NatsServer) -> Iterator[None]:
    """Have every server and command that is started meanwhile keep what it knows on these two."""
    global _cluster  # as the environment of whoever runs the commands
    _cluster = _Cluster(postgres, nats)
    try:
        yield
    finally:
        made, _cluster = _cluster, None
        made.drop()


def mean(both: bool) -> None:
    """Say whether the test that begins is for both set-ups."""
    global _meant  # as `_cluster` is
    _meant = both


def environment(data: Path | None = None) -> dict[str, str]:
    """This environment without settings of whoever runs the tests, and with those of the set-up."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RICHPANEL_")}
    return clean if data is None or _cluster is None or not _meant else {**clean, **_cluster.settings_of(data)}
