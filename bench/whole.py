"""Rows 5 and 6: the whole path, from the first call until all is applied, in order and with a mix that is not."""

import time
from typing import Final

import msgspec

from bench.accept import Place
from bench.bulk_insert import bulk_insert
from bench.load import Load, Recipe
from bench.options import Bench
from bench.processes import MIB
from bench.report import Figure, at_least
from bench.serving import Server
from bench.workload import IN_ORDER, Mix

OUT_OF_ORDER: Final = Mix(late=0.05, duplicates=0.05)
CALLERS: Final = 16


class Path(msgspec.Struct):
    """One run: `events` were sent and applied in `seconds`; accepting them took `accepted`, all in seconds."""

    events: int
    seconds: float
    accepted: float
    front_cpu: float
    process_cpu: float
    batches: int
    reference: float | None = None
    state_mib: float = 0.0
    web_cpu: float = 0.0
    load_cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Events a second, all of the path."""
        return self.events / self.seconds

    @property
    def details(self) -> dict[str, float]:
        """What else is worth knowing."""
        return {
            "events": self.events,
            "seconds": self.seconds,
            "accepted/s": self.events / self.accepted,
            "front's CPU us/event": self.front_cpu / self.events * 1e6,
            "process's CPU us/event": self.process_cpu / self.events * 1e6,
            "transactions": self.batches,
            "state.db MiB": self.state_mib,
        }


class Lost(Exception):
    """Not everything that was sent is in the answers."""


def run_path(bench: Bench, load: Load, mix: Mix, *, reference: bool) -> Path:
    """Send all events, wait until they are applied; then, if wanted, insert the rows that were written once more."""
    events = bench.options.events
    with Server(bench.where) as server:
        Place(bench, server, load).together()
        name = "out of order" if mix.duplicates else "in order"
        with bench.task(f"making {events:,} events, {name}", 1):
            load.tell("fill", Recipe(name, server.key, events, seed=5, mix=mix))
        with bench.task(f"whole path, {name}", events) as task:
            before, start = {role: server.cpu(role) for role in server.pids}, time.perf_counter()
            run = load.tell("once", name, server.port, CALLERS)
            accepted = time.perf_counter() - start
            server.wait_processed(lambda status: task.to(status.messages))
            seconds = time.perf_counter() - start
        _check(server, events)
        cpu = {role: server.cpu(role) - used for role, used in before.items()}
        time.sleep(1.5)  # The figures of the processing are told once a second.
        found = Path(events, seconds, accepted, cpu["front"], cpu["process"], server.batches())
        found.web_cpu, found.load_cpu = cpu["web"], run.client_cpu
        server.stop()
        found.state_mib = (server.data / "state.db").stat().st_size / MIB
        if reference:
            with bench.task("bulk insert of the same rows", found.batches) as task:
                found.reference = events / bulk_insert(server.data, found.batches, task.to)
    return found


def _check(server: Server, events: int) -> None:
    """Make sure that every event counts or is a repeat of one that does."""
    counted: dict[str, int] = {}
    for outcomes in server.api("/status")["outcomes"].values():
        for outcome, count in outcomes.items():
            counted[outcome] = counted.get(outcome, 0) + count
    if counted.get("kept", 0) + counted.get("duplicate", 0) != events:
        raise Lost(f"{events} events were sent, and became {counted}")


def whole_path(bench: Bench, load: Load, rows: tuple[int, ...]) -> None:
    """Rows 5 and 6; each is compared with the run in order, which is made once."""
    ordered = run_path(bench, load, IN_ORDER, reference=5 in rows)
    if ordered.reference is not None:
        ratio = ordered.rate / ordered.reference
        wanted = [at_least(ratio, 0.25, "0.25 of it"), at_least(ordered.rate, 20_000, "20,000/s")]
        bench.found(
            Figure(
                5, "whole path, in order", ordered.rate, "events/s", ordered.reference, "bulk insert of its rows",
                ratio, wanted, ordered.details,
            )
        )  # fmt: skip
    if 6 in rows:
        mixed = run_path(bench, load, OUT_OF_ORDER, reference=False)
        ratio = mixed.rate / ordered.rate
        bench.found(
            Figure(
                6, "whole path, 5 % late and 5 % twice", mixed.rate, "events/s", ordered.rate, "in order", ratio,
                [at_least(ratio, 0.7, "0.7 of it")], mixed.details,
            )
        )  # fmt: skip
