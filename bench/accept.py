"""Rows 1 to 3: what the door takes, durably, on one core, while the processing runs on another."""

from dataclasses import dataclass
from typing import Final

from bench.bare import BareLog, BareServer
from bench.drive import Run
from bench.load import Load, Recipe, Stream
from bench.options import Bench
from bench.processes import cores
from bench.report import Figure, at_least, at_most, milliseconds, percentile, voided
from bench.serving import Server

_ROUNDS: Final = 3
"""Ours and the reference take turns, so that both see the same disk and the same neighbours."""
_BATCH_CALLERS: Final = 16
_SINGLE_CALLERS: Final = 64
OPEN_CALLERS: Final = 128
_LEAST_CALLS: Final = 160
"""A call changes when it is sent again, so there are more of them than can be under way."""


@dataclass(frozen=True)
class Place:
    """A server and its load, with the first core for the door and the others for all else."""

    bench: Bench
    server: Server
    load: Load

    def apart(self) -> int:
        """Give the door a core of its own; tell which."""
        first, *others = cores()
        rest = set(others) or {first}
        self.server.pin({first}, rest)
        self.load.tell("pin", rest)
        return first

    def together(self) -> None:
        """Let the system distribute all."""
        everywhere = set(cores())
        self.server.pin(everywhere, everywhere)
        self.load.tell("pin", everywhere)

    def fill(self, name: str, size: int, share: float = 1.0) -> str:
        """Make a corpus beforehand."""
        events = max(_LEAST_CALLS * size, int(self.bench.options.corpus * share))
        with self.bench.task(f"making {events:,} events", 1):
            self.load.tell("fill", Recipe(name, self.server.key, events, size, seed=10 + size))
        return name

    def closed(self, name: str, port: int, callers: int, seconds: float) -> Run:
        """Send as fast as it is answered."""
        with self.bench.task(f"{name}, {callers} callers", seconds) as task:
            found: Run = self.load.tell("closed", name, port, callers, seconds, watch=task.tick)
        return found


def durable_batches(place: Place) -> None:
    """Row 1: events accepted in batches of 100, beside appending and syncing the same bytes."""
    core = place.apart()
    name = place.fill("batches", 100)
    seconds = place.bench.options.seconds / _ROUNDS
    runs: list[Run] = []
    bare: list[tuple[int, float, float]] = []
    cpu = 0.0
    with BareLog(core) as log:
        log.append(place.server.data / "bare", 0.1)
        for _ in range(_ROUNDS):
            before = place.server.cpu("front")
            runs.append(place.closed(name, place.server.port, _BATCH_CALLERS, seconds))
            cpu += place.server.cpu("front") - before
            with place.bench.task("bare append and fdatasync", 1):
                bare.append(log.append(place.server.data / "bare", seconds))
    place.load.tell("drop", name)
    events = sum(run.events for run in runs)
    measured = events / sum(run.seconds for run in runs)
    reference = sum(count for count, _, _ in bare) / sum(took for _, took, _ in bare)
    place.bench.found(
        Figure(
            1, "durable accept, batches of 100", measured, "events/s", reference, "append + fdatasync of 1,000",
            measured / reference,
            [at_least(measured / reference, 0.4, "0.4 of it"), at_least(measured, 100_000, "100,000/s")],
            {
                "door's CPU us/event": cpu / events * 1e6,
                "reference's CPU us/event": sum(used for _, _, used in bare) / sum(count for count, _, _ in bare) * 1e6,
                "generator's CPU us/event": sum(run.client_cpu for run in runs) / events * 1e6,
                "each round": " ".join(f"{run.events / run.seconds:,.0f}" for run in runs),
                "reference's rounds": " ".join(f"{count / took:,.0f}" for count, took, _ in bare),
                "refused": str({status: n for run in runs for status, n in run.refused.items()} or "none"),
            },
            voided(reference, "append"),
        )
    )  # fmt: skip


def durable_singles(place: Place) -> None:
    """Row 2: single calls accepted, beside a bare application that decodes them and keeps nothing."""
    core = place.apart()
    name = place.fill("singles", 1, 0.3)
    seconds = place.bench.options.seconds / _ROUNDS
    ours: list[Run] = []
    theirs: list[Run] = []
    cpu = bare_cpu = 0.0
    with BareServer(core) as bare:
        place.closed(name, bare.port, _SINGLE_CALLERS, 0.2)
        for _ in range(_ROUNDS):
            before = place.server.cpu("front")
            ours.append(place.closed(name, place.server.port, _SINGLE_CALLERS, seconds))
            cpu += place.server.cpu("front") - before
            before = bare.cpu()
            theirs.append(place.closed(name, bare.port, _SINGLE_CALLERS, seconds))
            bare_cpu += bare.cpu() - before
    place.load.tell("drop", name)
    calls = sum(run.events for run in ours)
    measured = calls / sum(run.seconds for run in ours)
    reference = sum(run.events for run in theirs) / sum(run.seconds for run in theirs)
    place.bench.found(
        Figure(
            2, "durable accept, single calls", measured, "requests/s", reference, "bare ASGI app",
            measured / reference,
            [at_least(measured / reference, 0.3, "0.3 of it"), at_least(measured, 10_000, "10,000/s")],
            {
                "door's CPU us/request": cpu / calls * 1e6,
                "reference's CPU us/request": bare_cpu / sum(run.events for run in theirs) * 1e6,
                "generator's CPU us/request": sum(run.client_cpu for run in ours) / calls * 1e6,
                "each round": " ".join(f"{run.events / run.seconds:,.0f}" for run in ours),
                "reference's rounds": " ".join(f"{run.events / run.seconds:,.0f}" for run in theirs),
                "refused": str({status: n for run in ours for status, n in run.refused.items()} or "none"),
            },
            voided(reference, "bare app"),
        )
    )  # fmt: skip


def accept_latency(place: Place) -> None:
    """Row 3: how long an answer takes at 50,000 events/s in batches, and at 5,000 single calls/s."""
    place.together()
    seconds = place.bench.options.seconds
    for title, size, rate in (("50,000 events/s in batches", 100, 500.0), ("5,000 single calls/s", 1, 5_000.0)):
        name = place.fill(f"latency {size}", size, 1.0 if size > 1 else 0.3)
        before = place.server.cpu("front")
        with place.bench.task(title, seconds) as task:
            streams = [Stream(name, rate)]
            run: Run = place.load.tell("open", streams, place.server.port, OPEN_CALLERS, seconds, watch=task.tick)[name]
        cpu = place.server.cpu("front") - before
        place.load.tell("drop", name)
        p99 = percentile(run.latencies, 0.99) * 1000
        details = milliseconds(run.latencies) | {"door's CPU share": cpu / run.seconds}
        details |= {"generator's CPU share": run.client_cpu / run.seconds}
        seen = details | {"answers": str(run.answers)}
        place.bench.found(
            Figure(3, f"accept latency p99, {title}", p99, "ms", targets=[at_most(p99, 10, "10 ms")], details=seen)
        )
