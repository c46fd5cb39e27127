"""`python -m bench cluster`: the whole path on PostgreSQL and JetStream beside the embedded one, in one run.

Accepted through HTTP by `serve --role ingest`, folded by 1, 2 and 4 `serve --role process`, there in PostgreSQL; and
accepting alone. All of it, the load generator too, shares the machine's cores, so that what counts is the cost of an
event: the CPU time of each role, from /proc.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.table import Table

from bench.cluster_plot import draw
from bench.load import Load, Recipe
from bench.nodes import ROLES, Cluster, Meter
from bench.options import Bench
from bench.processes import cores
from bench.report import machine, number
from bench.whole import CALLERS, Lost, run_path
from bench.workload import IN_ORDER

LOAD: Final = "load generator"
_EVERY_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 900.0


class Plan(msgspec.Struct, frozen=True):
    """How much is measured: events of each whole path, the numbers of nodes, seconds of accepting alone."""

    events: int = 300_000
    workers: Sequence[int] = (1, 2, 4)
    ingest: Sequence[int] = (1, 2)
    seconds: float = 8.0


class Measured(msgspec.Struct):
    """A set-up under load: `events` in `seconds`, and the CPU seconds of each role meanwhile.

    `accepted` is how long the door took, `written` the bytes of PostgreSQL's write-ahead log, `stored` those of its
    database at the end.
    """

    name: str
    events: int
    seconds: float
    cpu: dict[str, float]
    accepted: float = 0.0
    written: int = 0
    stored: int = 0
    ratio: float | None = None

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cost(self) -> dict[str, float]:
        """What an event costs each role, in us of CPU."""
        return {role: seconds / self.events * 1e6 for role, seconds in self.cpu.items()}

    @property
    def cores(self) -> float:
        """How many cores were used, by the roles and by the load generator."""
        return sum(self.cpu.values()) / self.seconds

    def told(self) -> dict[str, object]:
        """Give all of it for people's own programs."""
        cost = {role: round(each, 2) for role, each in self.cost.items()}
        derived = {"eventsPerSecond": self.rate, "cpuMicrosecondsPerEvent": cost, "coresUsed": self.cores}
        return {**msgspec.to_builtins(self), **derived}


def cluster(bench: Bench, plan: Plan, json: Path | None = None, plot: Path | None = None) -> list[Measured]:
    """Measure, print the table, write the figures and draw them."""
    before = machine()
    with Load() as load:
        found = [_embedded(bench, load, plan.events)]
        for workers in plan.workers:
            found.append(_whole(bench, load, plan.events, workers))
            found[-1].ratio = found[-1].rate / found[0].rate
        found += [_accepting(bench, load, plan.seconds, nodes) for nodes in plan.ingest]
    _show(bench, found)
    if json is not None:
        told = {
            "at": datetime.now(UTC).isoformat(),
            "machine": before,
            "plan": plan,
            "found": [m.told() for m in found],
        }
        json.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
        bench.console.print(f"written to {json}", highlight=False)
    if plot is not None:
        draw(plot, {each.name: each.cost for each in found}, {each.name: each.rate for each in found}, ROLES)
        bench.console.print(f"drawn in {plot}", highlight=False)
    return found


def _embedded(bench: Bench, load: Load, events: int) -> Measured:
    bench.options = msgspec.structs.replace(bench.options, events=events)
    path = run_path(bench, load, IN_ORDER, reference=False)
    cpu = dict.fromkeys(ROLES, 0.0) | {"ingest": path.front_cpu, "process": path.process_cpu, "web": path.web_cpu}
    return Measured("embedded", events, path.seconds, cpu | {LOAD: path.load_cpu}, path.accepted)


def _whole(bench: Bench, load: Load, events: int, workers: int) -> Measured:
    """Send all events to one ingest node and wait until `workers` have applied them."""
    name = f"cluster, {workers} process node{'s' * (workers > 1)}"
    with Cluster(bench.where) as servers:
        (ingest, *_) = servers.add("ingest", "web", *["process"] * workers)
        with bench.task(f"{name}: making {events:,} events", 1):
            load.tell("fill", Recipe(name, servers.key, events, seed=5))
        meter, written, start = Meter(servers), servers.written(), time.perf_counter()
        meter.look()
        with bench.task(f"{name}: whole path", events) as task:
            run = load.tell("once", name, ingest.port, CALLERS, watch=meter.look)
            accepted = time.perf_counter() - start
            wait(servers, events, meter, task.to)
            seconds = time.perf_counter() - start
        cpu = meter.seconds() | {LOAD: run.client_cpu}
        written = servers.written() - written
        check(servers, events)
        return Measured(name, events, seconds, cpu, accepted, written, servers.size())


def wait(servers: Cluster, events: int, meter: Meter, to: Callable[[float], None]) -> None:
    """Wait until all is applied."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (applied := servers.applied()) < events:
        if time.monotonic() > deadline:
            raise Lost(f"{applied} of {events} events are applied after {_PATIENCE_SECONDS:.0f} s")
        to(applied)
        meter.look()
        time.sleep(_EVERY_SECONDS)
    to(applied)


def check(servers: Cluster, events: int) -> None:
    """Make sure that every event is there, once: in the tables, and in what the API counts."""
    stored, outcomes = servers.stored(), servers.outcomes()
    if stored != (events, events, events) or outcomes != {"kept": events}:
        raise Lost(f"{events} events were sent; {stored} are stored, and became {outcomes}")


def _accepting(bench: Bench, load: Load, seconds: float, nodes: int) -> Measured:
    """Send as much as `nodes` ingest nodes take; nobody folds it."""
    name = f"accepting alone, {nodes} ingest node{'s' * (nodes > 1)}"
    with Cluster(bench.where) as servers:
        ports = tuple(node.port for node in servers.add(*["ingest"] * nodes))
        with bench.task(f"{name}: making events", 1):
            load.tell("fill", Recipe(name, servers.key, max(1_000, int(seconds * 10_000)), seed=5))
        meter = Meter(servers)
        meter.look()
        with bench.task(name, seconds) as task:
            run = load.tell("closed", name, ports, CALLERS * nodes, seconds, watch=task.tick)
        cpu = meter.seconds() | {LOAD: run.client_cpu}
        if run.refused:
            raise Lost(f"{name}: {run.refused}")
    load.tell("drop", name)
    return Measured(name, run.events, run.seconds, cpu, run.seconds)


def _show(bench: Bench, found: Sequence[Measured]) -> None:
    roles = (*ROLES, LOAD)
    table = Table("", "events/s", "of embedded", *roles, "all", "cores", "WAL B", title="CPU us an event, by role")
    for each in found:
        cost = each.cost
        whole = sum(value for role, value in cost.items() if role != LOAD)
        table.add_row(
            each.name,
            number(each.rate),
            number(each.ratio),
            *(number(cost[role]) if cost[role] >= 0.05 else "-" for role in roles),
            number(whole),
            f"{each.cores:.2f} of {len(cores())}",
            number(each.written / each.events) if each.written else "-",
        )
    bench.console.print(table)
