"""Rows 1 to 3: what the door takes, durably, on one core, while the processing runs on another."""

from dataclasses import dataclass, field
from typing import Final

from bench.bare import BareLog, BareServer
from bench.drive import Run
from bench.load import Load, Recipe, Stream
from bench.options import Bench
from bench.processes import cores
from bench.report import Figure, at_least, at_most, milliseconds, percentile, voided
from bench.serving import Installation, Server

_ROUNDS: Final = 3
"""Ours and the reference take turns, so that both see the same disk and the same neighbours."""
_BATCH_CALLERS: Final = 16
_SINGLE_CALLERS: Final = 64
OPEN_CALLERS: Final = 128
_LEAST_CALLS: Final = 160
"""A call changes when it is sent again, so there are more of them than can be under way."""


@dataclass(frozen=True)
class Ground:
    """What is measured, embedded or a cluster, and its load."""

    bench: Bench
    server: Installation
    load: Load

    def fill(self, name: str, size: int, share: float = 1.0) -> str:
        """Make a corpus beforehand."""
        events = max(_LEAST_CALLS * size, int(self.bench.options.corpus * share))
        with self.bench.task(f"making {events:,} events", 1):
            self.load.tell("fill", Recipe(name, self.server.key, events, size, seed=10 + size))
        return name


@dataclass(frozen=True)
class Place(Ground):
    """A server and its load, with the first core for the door and the others for all else."""

    server: Server

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

    def closed(self, name: str, port: int, callers: int, seconds: float) -> Run:
        """Send as fast as it is answered."""
        with self.bench.task(f"{name}, {callers} callers", seconds) as task:
            found: Run = self.load.tell("closed", name, port, callers, seconds, watch=task.tick)
        return found


@dataclass
class Rounds:
    """Rounds of one server, which take turns with another's."""

    runs: list[Run] = field(default_factory=list)
    cpu: float = 0.0

    def add(self, place: Place, name: str, callers: int, seconds: float, bare: BareServer | None = None) -> None:
        """Run one more, against the real server or the bare one."""
        before = place.server.cpu("front") if bare is None else bare.cpu()
        self.runs.append(place.closed(name, bare.port if bare else place.server.port, callers, seconds))
        self.cpu += (place.server.cpu("front") if bare is None else bare.cpu()) - before

    @property
    def events(self) -> int:
        """Events that were accepted."""
        return sum(run.events for run in self.runs)

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / sum(run.seconds for run in self.runs)

    def details(self, unit: str) -> dict[str, float | str]:
        """Say what else is worth knowing."""
        return {
            f"server's CPU us/{unit}": self.cpu / self.events * 1e6,
            f"generator's CPU us/{unit}": sum(run.client_cpu for run in self.runs) / self.events * 1e6,
            "rounds": " ".join(f"{run.events / run.seconds:,.0f}" for run in self.runs),
            "refused": str({status: count for run in self.runs for status, count in run.refused.items()} or "none"),
        }


def durable_batches(place: Place) -> None:
    """Row 1: events accepted in batches of 100, beside appending and syncing the same bytes."""
    core = place.apart()
    name = place.fill("batches", 100)
    seconds = place.bench.options.seconds / _ROUNDS
    ours = Rounds()
    bare: list[tuple[int, float, float]] = []
    with BareLog(core) as log:
        log.append(place.server.data / "bare", 0.1)
        for _ in range(_ROUNDS):
            ours.add(place, name, _BATCH_CALLERS, seconds)
            with place.server.paused(), place.bench.task("bare append and fdatasync", 1):
                bare.append(log.append(place.server.data / "bare", seconds))
        with place.server.paused():
            alone = place.closed(name, place.server.port, _BATCH_CALLERS, seconds)
    place.load.tell("drop", name)
    reference = sum(count for count, _, _ in bare) / sum(took for _, took, _ in bare)
    details = ours.details("event") | {
        "with the processing paused": alone.events / alone.seconds,
        "reference's CPU us/event": sum(used for _, _, used in bare) / sum(count for count, _, _ in bare) * 1e6,
        "reference's rounds": " ".join(f"{count / took:,.0f}" for count, took, _ in bare),
    }
    ratio = ours.rate / reference
    wanted = [at_least(ratio, 0.4, "0.4 of it"), at_least(ours.rate, 100_000, "100,000/s")]
    place.bench.found(
        Figure(
            1, "durable accept, batches of 100", ours.rate, "events/s", reference, "append + fdatasync of 1,000",
            ratio, wanted, details, voided(reference, "append"),
        )
    )  # fmt: skip


def durable_singles(place: Place) -> None:
    """Row 2: single calls accepted, beside a bare application that decodes them and keeps nothing."""
    core = place.apart()
    name = place.fill("singles", 1, 0.3)
    seconds = place.bench.options.seconds / _ROUNDS
    ours, theirs = Rounds(), Rounds()
    with BareServer(core) as bare:
        place.closed(name, bare.port, _SINGLE_CALLERS, 0.2)
        for _ in range(_ROUNDS):
            ours.add(place, name, _SINGLE_CALLERS, seconds)
            with place.server.paused():
                theirs.add(place, name, _SINGLE_CALLERS, seconds, bare)
        with place.server.paused():
            alone = place.closed(name, place.server.port, _SINGLE_CALLERS, seconds)
    place.load.tell("drop", name)
    details = ours.details("request") | {"with the processing paused": alone.events / alone.seconds}
    details |= {f"reference's {what}": value for what, value in theirs.details("request").items()}
    ratio = ours.rate / theirs.rate
    wanted = [at_least(ratio, 0.3, "0.3 of it"), at_least(ours.rate, 10_000, "10,000/s")]
    place.bench.found(
        Figure(
            2, "durable accept, single calls", ours.rate, "requests/s", theirs.rate, "bare ASGI app", ratio, wanted,
            details, voided(theirs.rate, "bare app"),
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
