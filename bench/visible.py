"""Row 4: how long after a call its event is on the customer's timeline, while 5,000 events a second come in."""

import http.client
import json
import threading
import time
from base64 import b64encode
from typing import Final

from bench.accept import OPEN_CALLERS, Place
from bench.load import Stream
from bench.report import Figure, at_most, milliseconds, percentile
from bench.serving import Server

SINGLES: Final = 2_500.0
BATCHES: Final = 25.0
"""What 5,000 events a second are: as many in single calls as in batches of 100."""
_PROBES: Final = 4
_EVERY_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 0.02
_GIVE_UP_SECONDS: Final = 60.0


def visible(place: Place) -> None:
    """Send probes at their times, and look at each customer's timeline until its event is there."""
    place.together()
    seconds = place.bench.options.seconds
    streams = [Stream(place.fill("single calls", 1, 0.3), SINGLES), Stream(place.fill("calls of 100", 100), BATCHES)]
    probes = [Probe(place.server, number) for number in range(_PROBES)]
    place.server.wait_processed()
    threads = [threading.Thread(target=probe.run, args=(seconds,), daemon=True) for probe in probes]
    with place.bench.task("accept to visible", seconds) as task:
        for thread in threads:
            thread.start()
        runs = place.load.tell("open", streams, place.server.port, OPEN_CALLERS, seconds, watch=task.tick)
        for thread in threads:
            thread.join()
    for stream in streams:
        place.load.tell("drop", stream.name)
    failures = [probe.failure for probe in probes if probe.failure]
    if failures:
        raise failures[0]
    waits = [wait for probe in probes for wait in probe.waits]
    p99 = percentile(waits, 0.99)
    behind = place.server.status()
    place.bench.found(
        Figure(
            4, "accept to visible p99, 5,000 events/s", p99, "s", targets=[at_most(p99, 1.0, "1 s")],
            details=milliseconds(waits)
            | {"probes": len(waits), "bytes behind at the end": behind.last - behind.processed}
            | {f"p99 ms of {name}": percentile(run.latencies, 0.99) * 1000 for name, run in runs.items()},
        )
    )  # fmt: skip


class Probe:
    """A customer whose timeline is watched."""

    def __init__(self, server: Server, number: int) -> None:
        """Make the customer."""
        self.waits: list[float] = []
        self.failure: Exception | None = None
        self._server = server
        self._uid = f"probe-{number}"
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        self._post("identify", {"userId": self._uid, "traits": {"name": f"Probe {number}"}})

    def run(self, seconds: float) -> None:
        """Probe for so long; a probe that is late because the last one was slow counts from when it was due."""
        try:
            start = time.perf_counter()
            for count in range(int(seconds / _EVERY_SECONDS)):
                due = start + (count + 0.5) * _EVERY_SECONDS
                time.sleep(max(0.0, due - time.perf_counter()))
                message_id = f"{self._uid}-{count}-{time.time_ns()}"
                self._post("track", {"userId": self._uid, "event": "Probe Sent", "messageId": message_id})
                self._watch(message_id)
                self.waits.append(time.perf_counter() - due)
        except Exception as error:  # noqa: BLE001  # it is the benchmark that must fail of it, not the thread
            self.failure = error
        finally:
            self._connection.close()

    def _watch(self, message_id: str) -> None:
        given_up = time.perf_counter() + _GIVE_UP_SECONDS
        path = f"/api/v1/customers/{self._uid}/timeline?limit=2"
        while True:
            status, body = self._ask("GET", path, {"Authorization": f"Bearer {self._server.token}"})
            if status == 200 and any(entry["id"] == message_id for entry in json.loads(body)["data"]):
                return
            if time.perf_counter() > given_up:
                raise TimeoutError(f"{message_id} is not on the timeline after {_GIVE_UP_SECONDS:.0f} s")
            time.sleep(_LOOK_SECONDS)

    def _post(self, kind: str, call: dict[str, object]) -> None:
        user = b64encode(f"{self._server.key}:".encode()).decode()
        headers = {"Content-Type": "application/json", "Authorization": f"Basic {user}"}
        status, body = self._ask("POST", f"/v1/{kind}", headers, json.dumps(call).encode())
        assert status == 200, body

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> tuple[int, bytes]:
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()
