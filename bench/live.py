"""Row 13: what a live audience costs the whole path, from the door to the state: with and without, in turns.

Each server has its own state and the same events. They are sent in rounds, a round to each server, so that whatever
else the machine does slows each as much.
"""

import time
from contextlib import ExitStack
from typing import Any, Final

import msgspec

from bench.accept import Place
from bench.engage import ORDERED, VIEWED, make, wait_live
from bench.growth import Growth
from bench.load import Load, Recipe
from bench.options import Bench
from bench.report import Figure, at_least
from bench.serving import ROLES, Server
from bench.whole import CALLERS

_CASES: Final[dict[str, dict[str, Any] | None]] = {"none": None, "orders": ORDERED, "page views": VIEWED}
_ROUNDS: Final = 6
_SETTLE_SECONDS: Final = 1.0
"""So long after its events what they change is told, too."""


class Case(msgspec.Struct):
    """What a server has done: events, seconds until they were accepted, and applied, and CPU seconds by role."""

    events: int = 0
    accepted: float = 0.0
    applied: float = 0.0
    cpu: dict[str, float] = msgspec.field(default_factory=lambda: dict.fromkeys(ROLES, 0.0))

    @property
    def rate(self) -> float:
        """Events a second, accepted and applied."""
        return self.events / self.applied

    @property
    def cost(self) -> float:
        """CPU of all roles, in us an event."""
        return sum(self.cpu.values()) / self.events * 1e6


def live(bench: Bench, load: Load) -> None:
    """Measure each audience beside none."""
    size = max(bench.options.events // (2 * _ROUNDS), 100)
    cases = {name: Case() for name in _CASES}
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(bench.where)) for name in _CASES}
        for name, condition in _CASES.items():
            place = Place(bench, servers[name], load)
            place.together()
            grown = Growth(place, f"live {name}")
            grown.enroll(bench.options.customers)
            grown.feed(bench.options.events // 2, f"{bench.options.events // 2:,} events")
            if condition is not None:
                wait_live(servers[name], make(servers[name], name, condition))
                _settle(servers[name])
        with bench.task("a live audience beside none", _ROUNDS * len(_CASES)) as task:
            order = list(_CASES)
            for number in range(_ROUNDS):
                for name in order:
                    _round(load, servers[name], f"live {name}", size, cases[name])
                    task.to(number * len(order) + order.index(name) + 1)
                order = [*order[1:], order[0]]
    _report(bench, cases)


def _round(load: Load, server: Server, name: str, size: int, case: Case) -> None:
    """Send the next events of the shop and wait until they are applied."""
    load.tell("fill", Recipe(name, server.key, size, seed=13))
    before, start = {role: server.cpu(role) for role in ROLES}, time.perf_counter()
    load.tell("once", name, server.port, CALLERS)
    case.accepted += time.perf_counter() - start
    server.wait_processed(every=0.02)
    case.applied += time.perf_counter() - start
    _settle(server)
    for role, used in before.items():
        case.cpu[role] += server.cpu(role) - used
    case.events += size


def _settle(server: Server) -> None:
    """Wait until all is told, and that is applied, too."""
    last = -1
    while (now := server.wait_processed().last) > last:
        last = now
        time.sleep(_SETTLE_SECONDS)


def _report(bench: Bench, cases: dict[str, Case]) -> None:
    none = cases["none"]
    for name, case in cases.items():
        if case is none:
            continue
        details = {
            "accepted/s": case.events / case.accepted,
            "accepted/s without": none.events / none.accepted,
            "CPU us/event": case.cost,
            "CPU us/event without": none.cost,
            "CPU with and without": case.cost / none.cost,
            "process's alone": case.cpu["process"] / none.cpu["process"],
            "engage's CPU us/event": case.cpu["engage"] / case.events * 1e6,
            "events each": case.events,
        }
        ratio = case.rate / none.rate
        title = f"whole path with a live audience over {name}, {bench.options.customers:,} customers"
        wanted = [at_least(ratio, 0.9, "0.9 of it")]
        bench.found(Figure(13, title, case.rate, "events/s", none.rate, "without one", ratio, wanted, details))
