"""A server with a backlog: what waits for a stranger is held back by its rate until that is changed."""

import json
import os
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from typing import Final

from bench.calls import batches
from bench.options import Bench
from bench.serving import Server
from richpanel.store.bulk import fetch
from richpanel.store.database import open_engine
from richpanel.store.destinations import DestinationChanges, add_destination, update_destination
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import open_secrets
from richpanel.store.sources import list_sources

GIVE_UP_SECONDS: Final = 900.0
API_KEY: Final = "k"
_SEEN_SECONDS: Final = 1.5
"""Within so long a change of the definitions is seen."""


class Held:
    """A destination at a stranger's port, which gets hardly anything yet."""

    def __init__(self, server: Server, port: int) -> None:
        self.data = DataDirectory(server.data)
        self._server, self._box = server, open_secrets(self.data.path)
        self._account = open_engine(self.data.account_url)
        self._delivery = open_engine(self.data.delivery_url, read_only=True)
        with self._account.begin() as connection:
            source = next(row.id for row in list_sources(connection) if row.name == "Benchmark")
            changes = DestinationChanges(sources=[source], api_key=API_KEY, endpoint=f"http://127.0.0.1:{port}", rate=1)
            self._row = add_destination(connection, self._box, "richpanel", changes, now=int(time.time() * 1000))
        time.sleep(_SEEN_SECONDS)

    def change(self, rate: int | None) -> None:
        """Let it get so many requests in 30 s; None: as many as it takes."""
        with self._account.begin() as connection:
            update_destination(connection, self._box, self._row.id, DestinationChanges(rate=rate))

    def fill(self, bench: Bench, events: Sequence[bytes], title: str) -> int:
        """Send events and have them processed; give how many deliveries wait for that."""
        with bench.task(title, 1):
            _send(self._server, events)
            self._server.wait_processed()
        engine = open_engine(self.data.state_url, read_only=True)
        with engine.connect() as connection:
            found = fetch(connection, "SELECT count(*) FROM outbox WHERE destination = ?", self._row.number)
        engine.dispose()
        return int(found[0][0])

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        """Query the deliveries."""
        with self._delivery.connect() as connection:
            return [tuple(row) for row in fetch(connection, statement)]

    def finished(self) -> int:
        """Tell how many are on record as delivered."""
        return int(str(self.rows("SELECT coalesce(sum(count), 0) FROM figures WHERE status = 2")[0][0]))

    def wait(self, bench: Bench, count: int, title: str) -> None:
        """Wait until so many are on record as delivered. Raises TimeoutError."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        with bench.task(title, count) as task:
            while (done := self.finished()) < count:
                task.to(done)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{done} of {count} were delivered")
                time.sleep(0.05)

    def first_in_line(self) -> None:
        """Let the delivering process compete as whoever it is compared with: it is a background task otherwise."""
        for thread in os.listdir(f"/proc/{self._server.pids['deliver']}/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), 0)


def _send(server: Server, events: Sequence[bytes]) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    for call in batches(events, server.key, int(time.time() * 1000)):
        head, _, body = bytes(call.wire).partition(b"\r\n\r\n")
        path = head.split(b" ")[1].decode()
        lines = dict(line.decode().split(": ", 1) for line in head.split(b"\r\n")[1:])
        connection.request("POST", path, body, lines)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, json.dumps(said.decode())
