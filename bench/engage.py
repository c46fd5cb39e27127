"""Rows 11 and 12: how long an audience's first sync takes, and how soon a change is told, at full size and under load.

What is told is watched in the log, through `bench.told`; audiences are made over REST.
"""

import json
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any, Final

from bench.accept import OPEN_CALLERS, Ground
from bench.load import Stream
from bench.report import Figure, Target, at_most, milliseconds, percentile
from bench.serving import Installation
from bench.told import Told
from bench.visible import BATCHES, SINGLES
from richpanel.store.bulk import fetch

VIEWED: Final[dict[str, Any]] = {"event": "Page Viewed", "within": {"days": 90}}
ORDERED: Final[dict[str, Any]] = {"event": "Order Completed", "within": {"days": 90}}
"""The workload's events lie two months back."""
_EVERYBODY: Final = {"trait": "newsletter", "op": "=", "value": True}
_SCAN: Final = "SELECT count(*), sum(identity), max(t) FROM messages WHERE type = ? AND t > ?"
_PAGE: Final = 2
_MILLION: Final = 1_000_000
_GIVE_UP_SECONDS: Final = 1_800.0
_LOOK_SECONDS: Final = 0.25
_EVERY_SECONDS: Final = 0.1
_WINDOW_SECONDS: Final = 60
_OPEN_SECONDS: Final = (5.0, 30.0)
"""A probe's event comes so long before its window closes, the least and the most: as long as is measured. Where the
processing is further behind, nobody ever enters."""


class NotTold(Exception):
    """What was to be told was not."""


def engage(place: Ground, rows: tuple[int, ...]) -> None:
    """Measure the rows of a server that has grown."""
    if 11 in rows:
        place.server.wait_processed()
        with Told(place.server) as told:
            scanned = _scan(place.server)
            first_sync(place, told, "who viewed a page", VIEWED, scanned)
            first_sync(place, told, "everybody", _EVERYBODY, None)
    if 12 in rows:
        changes(place)


def make(server: Installation, name: str, condition: dict[str, Any], **fields: Any) -> str:
    """Make an audience; give its id."""
    made = server.api("/audiences", {"name": f"Bench {name}", "condition": condition, **fields})
    return str(made["id"])


def wait_live(server: Installation, audience: str) -> dict[str, Any]:
    """Wait until an audience's first run is over."""
    deadline = time.monotonic() + _GIVE_UP_SECONDS
    while (found := server.api(f"/audiences/{audience}"))["status"] != "live":
        if time.monotonic() > deadline:
            raise NotTold(f"it is {found['status']} after {_GIVE_UP_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)
    live: dict[str, Any] = found
    return live


def _scan(server: Installation) -> float:
    """Give the seconds that it takes to look at each message's row once, in one statement."""
    engine = server.state()
    with engine.connect() as connection:
        start = time.perf_counter()
        fetch(connection, _SCAN, _PAGE, 0)
        seconds = time.perf_counter() - start
    engine.dispose()
    return seconds


def first_sync(place: Ground, told: Told, who: str, condition: dict[str, Any], scanned: float | None) -> None:
    """Make an audience, and wait until all who are in are told of in the log."""
    server, options = place.server, place.bench.options
    before, cpu, start = told.count, server.cpu_of_all(), time.perf_counter()
    audience = make(server, who, condition)
    with place.bench.task(f"first sync, {who}", options.customers) as task:
        size = int(wait_live(server, audience)["size"])
        computed = time.perf_counter() - start
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while told.count - before < size:
            if told.is_over or time.monotonic() > deadline:
                raise NotTold(f"{told.count - before} of {size} were told of")
            task.to(told.count - before)
            time.sleep(_EVERY_SECONDS)
    seconds = time.perf_counter() - start
    server.wait_processed()
    ratio = None if scanned is None else computed / scanned
    full = options.customers >= _MILLION  # A small one takes as long as its fixed costs.
    wanted = [Target("<= 60 s at 1 M customers", seconds <= 60 if full or seconds > 60 else None)]
    if ratio is not None:
        wanted.append(Target("<= 3 x to compute", ratio <= 3 if full or ratio <= 3 else None))
    details = {
        "members": size,
        "seconds until it is live": computed,
        "told/s": size / max(seconds - computed, 0.001),
        "CPU seconds": server.cpu_of_all() - cpu,
    }
    title = f"first sync, {who}, {options.customers:,} customers and {options.growth:,} events: all identifies logged"
    place.bench.found(Figure(11, title, seconds, "s", scanned, "scan of the messages' rows", ratio, wanted, details))


def changes(place: Ground) -> None:
    """Row 12: probes enter an audience and leave it, while 5,000 events a second come in."""
    server, seconds = place.server, place.bench.options.seconds
    condition = {"event": "Probe Sent", "within": {"seconds": _WINDOW_SECONDS}}
    audience = make(server, "probes", condition, includeVisitors=True)
    wait_live(server, audience)
    streams = [Stream(place.fill("told", 1, 0.3), SINGLES), Stream(place.fill("told, batches", 100), BATCHES)]
    server.wait_processed()
    probes = Probes(server, min(max(seconds, _OPEN_SECONDS[0]), _OPEN_SECONDS[1]))
    cpu = {role: server.cpu(role) for role in server.roles}
    with (
        Told(server, audience) as told,
        ThreadPoolExecutor(1) as threads,
        place.bench.task("changes under load", seconds) as task,
    ):
        sending = threads.submit(probes.run, seconds)
        runs = place.load.tell("open", streams, server.port, OPEN_CALLERS, seconds, watch=task.tick)
        shares = {f"{role}'s CPU share": (server.cpu(role) - used) / seconds for role, used in cpu.items()}
        shares["seconds that processing is behind at the end"] = _behind(server)
        sending.result()
        _wait(told, 2 * len(probes.due))
    entered = [told.seen[uid, True][0] - due for uid, due in probes.due.items()]
    left = [at - own for (_, is_in), (at, own) in told.seen.items() if not is_in]
    for stream in streams:
        place.load.tell("drop", stream.name)
    load = {f"p99 ms of {name}": percentile(run.latencies, 0.99) * 1000 for name, run in runs.items()}
    for title, waits in (("event to identify logged", entered), ("window closing to identify logged", left)):
        p99 = percentile(waits, 0.99)
        details = milliseconds(waits) | {"probes": len(waits)} | shares | load
        place.bench.found(
            Figure(12, f"{title} p99, 5,000 events/s", p99, "s", targets=[at_most(p99, 2, "2 s")], details=details)
        )


def _behind(server: Installation) -> float:
    """Tell how long ago the oldest record came that is not applied yet; 0 where all are."""
    return float(server.api("/status")["oldestUnprocessedSeconds"] or 0)


def _wait(told: Told, count: int) -> None:
    deadline = time.monotonic() + 60 + _WINDOW_SECONDS
    while len(told.seen) < count:
        if told.is_over or time.monotonic() > deadline:
            raise NotTold(f"{len(told.seen)} of {count} changes were told of")
        time.sleep(_EVERY_SECONDS)


class Probes:
    """People who come into an audience one after the other: when each was due, seconds of the epoch.

    Each leaves it `open_for` seconds later.
    """

    def __init__(self, server: Installation, open_for: float) -> None:
        self._ago = round((_WINDOW_SECONDS - open_for) * 1000)
        self.due: dict[str, float] = {}
        self._port = server.port
        user = b64encode(f"{server.key}:".encode()).decode()
        self._headers = {"Content-Type": "application/json", "Authorization": f"Basic {user}"}

    def run(self, seconds: float) -> None:
        """Send one every tenth of a second."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            start = time.time()
            for count in range(max(1, int(seconds / _EVERY_SECONDS))):
                due = start + count * _EVERY_SECONDS
                time.sleep(max(0.0, due - time.time()))
                uid = f"told-{start:.0f}-{count}"
                self.due[uid] = due
                self._send(connection, uid)
        finally:
            connection.close()

    def _send(self, connection: HTTPConnection, uid: str) -> None:
        now = round(time.time() * 1000)
        call = {"userId": uid, "event": "Probe Sent", "timestamp": _iso(now - self._ago), "sentAt": _iso(now)}
        connection.request("POST", "/v1/track", json.dumps(call).encode(), self._headers)
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise NotTold(f"a probe was answered {answer.status}")


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")
