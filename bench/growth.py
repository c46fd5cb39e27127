"""Rows 7 and 8, and memory: what an event costs when the state is large, and how quick its pages are; and 11 and 12."""

import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import msgspec
import numpy as np

from bench.accept import OPEN_CALLERS, Ground, Place
from bench.drive import Run
from bench.engage import engage
from bench.load import Recipe, Stream
from bench.options import Task
from bench.report import Figure, Target, at_most, milliseconds, percentile
from bench.serving import ROLES, Status
from bench.visible import BATCHES, SINGLES
from bench.workload import person_email, person_name, person_uid, zipf

_CALLERS: Final = 16
_CHUNK: Final = 100_000
_LEAD: Final = 400_000
"""So many events may wait in the log: the processing never waits, and the log stays in memory."""
_ASKED: Final = 20.0
"""How often a second each kind of page is asked for."""
_MILLION: Final = 1_000_000
_RSS_MIB: Final = 600.0

_TICK: Final = 0.01
"""Seconds: the kernel counts a process's CPU in these, so a tiny run can seem to cost nothing."""


class Sample(msgspec.Struct):
    """What the processing had done and used at some time: messages, CPU seconds, seconds."""

    messages: int
    cpu: float
    at: float


class Growth:
    """A server that grows: feeds it, and keeps samples of what that costs."""

    def __init__(self, place: Ground, shop: str = "") -> None:
        self._place = place
        self._shop = shop
        self._sent = 0
        self.samples: list[Sample] = []

    def feed(self, events: int, title: str) -> None:
        """Send the next events of the shop, never too far ahead, and wait until they are applied."""
        self._all(events, title, lambda size: ("feed", self._recipe(self._shop or "growth", size)))

    def enroll(self, customers: int) -> None:
        """Send the shop's customer list: an identify for each person."""
        first = 1

        def next_ones(size: int) -> tuple[str, Recipe, *tuple[int, ...]]:
            nonlocal first
            first += size
            return "enroll", self._recipe(self._shop or "customers", size), first - size

        self._all(customers, f"{customers:,} customers", next_ones)

    def cost(self, first: int, last: int) -> tuple[float, float]:
        """Give the CPU and the time of the processing, in us per event, between two numbers of messages."""
        counts = [sample.messages for sample in self.samples]
        cpu = np.interp((first, last), counts, [sample.cpu for sample in self.samples])
        at = np.interp((first, last), counts, [sample.at for sample in self.samples])
        spent = max(float(cpu[1] - cpu[0]), _TICK)
        took = max(float(at[1] - at[0]), _TICK)
        return spent / (last - first) * 1e6, took / (last - first) * 1e6

    def _recipe(self, name: str, events: int) -> Recipe:
        return Recipe(name, self._place.server.key, events, seed=7)

    def _all(self, events: int, title: str, command: Callable[[int], tuple[str, Recipe, *tuple[int, ...]]]) -> None:
        """Tell the load generator in pieces; `command` gives what to tell it for the next so many events."""
        server, load = self._place.server, self._place.load
        with self._place.bench.task(title, events) as task:
            before = self._sent
            left = events
            while left:
                size = min(_CHUNK, left)
                while self._sent - self._sample(server.status(), task, before) > _LEAD:
                    time.sleep(0.1)
                verb, *arguments = command(size)
                load.tell(verb, *arguments, server.port, _CALLERS, watch=lambda: self._look(task, before))
                self._sent += size
                left -= size
            server.wait_processed(lambda status: self._sample(status, task, before))

    def _look(self, task: Task, before: int) -> None:
        self._sample(self._place.server.status(), task, before)

    def _sample(self, status: Status, task: Task, before: int) -> int:
        self.samples.append(Sample(status.messages, self._place.server.cpu("process"), time.perf_counter()))
        task.to(status.messages - before)
        return status.messages


def growth(place: Place, rows: tuple[int, ...]) -> None:
    """Grow a server to full size; rows 7 and 8, memory and idle CPU on the way."""
    options = place.bench.options
    place.together()
    grown = Growth(place)
    grown.feed(options.first, f"{options.first:,} events")
    window = options.first // 2
    small = grown.cost(window, options.first)
    grown.enroll(options.customers)
    grown.feed(options.growth - options.first, f"up to {options.growth:,} events")
    last = options.growth + options.customers
    large = grown.cost(last - window, last)
    if 7 in rows:
        _report_cost(place, grown, small, large)
    if 8 in rows:
        pages(place)
        footprint(place)
    engage(place, rows)


def _report_cost(place: Place, grown: Growth, small: tuple[float, float], large: tuple[float, float]) -> None:
    options = place.bench.options
    step = options.first // 2
    last = options.growth + options.customers
    steps = [grown.cost(start, min(start + step, last))[0] for start in range(0, last, step)]
    place.bench.found(
        Figure(
            7, f"CPU per event at {options.growth:,} events, {options.customers:,} customers", large[0], "us", small[0],
            f"at {options.first:,} events", large[0] / small[0], [at_most(large[0] / small[0], 1.3, "1.3 x")],
            {
                "time us/event": large[1],
                "time us/event at first": small[1],
                "ratio of time": large[1] / small[1],
                f"CPU us/event each {step:,} (with the customers between)": " ".join(f"{cost:.0f}" for cost in steps),
            },
        )
    )  # fmt: skip


def pages(place: Place) -> None:
    """Row 8: ask for pages at their times, while 5,000 events a second come in."""
    server, seconds = place.server, place.bench.options.seconds
    asked = _paths(place.bench.options.customers)
    streams = [Stream(place.fill("growth", 1, 0.3), SINGLES), Stream(place.fill("growth, batches", 100), BATCHES)]
    streams += [Stream(name, _ASKED, paths, server.token) for name, paths in asked.items()]
    server.wait_processed()
    with place.bench.task("pages while ingesting", seconds) as task:
        before = {role: server.cpu(role) for role in ROLES}
        runs: dict[str, Run] = place.load.tell("open", streams, server.port, OPEN_CALLERS, seconds, watch=task.tick)
        used = {f"{role}'s CPU share": server.cpu(role) - cpu for role, cpu in before.items()}
    for name in asked:
        run = runs[name]
        p99 = percentile(run.latencies, 0.99) * 1000
        shares = {share: seconds / run.seconds for share, seconds in used.items()}
        waits = {each: percentile(runs[each].latencies, 0.99) * 1000 for each in runs if each not in asked}
        shares |= {f"p99 ms of {each}": wait for each, wait in waits.items()}
        details = milliseconds(run.latencies) | shares | {"answers to all": str(run.answers)}
        place.bench.found(Figure(8, f"{name} p99", p99, "ms", targets=[at_most(p99, 20, "20 ms")], details=details))


def _paths(customers: int) -> dict[str, list[str]]:
    """List what is asked for: people as they come, searches as agents type them, lists as pages show them."""
    ranks = zipf(np.random.default_rng(8), 300, customers)
    searches = []
    for number, rank in enumerate(ranks):
        first, last = person_name(rank)
        typed = (f"{first} {last}", person_email(rank), person_uid(rank), first[:3], last, f"{first} {last[:4]}")
        searches.append(f"/api/v1/customers?limit=50&q={quote(typed[number % len(typed)])}")
    lists = [
        f"/api/v1/customers?limit=50{sort}" for sort in ("", "", "", "&sort=-ltv", "&sort=name", "&sort=-createdAt")
    ]
    return {
        "timeline, first page": [f"/api/v1/customers/{person_uid(rank)}/timeline" for rank in ranks],
        "customer search": searches,
        "customers list": lists,
    }


def footprint(place: Place) -> None:
    """Measure memory at this size, and what the server uses when nobody wants anything."""
    server, options = place.server, place.bench.options
    server.wait_processed()
    memory = server.memory()
    total = sum(resident for resident, _ in memory.values())
    full = options.customers >= _MILLION
    wanted = Target(f"<= {_RSS_MIB:.0f} MiB at 1 M customers", total <= _RSS_MIB if full or total > _RSS_MIB else None)
    seen = {f"{role} MiB": resident for role, (resident, _) in memory.items()}
    seen["all, shared pages once"] = sum(shared for _, shared in memory.values())
    title = f"memory at {options.customers:,} customers"
    place.bench.found(Figure(8, title, total, "MiB", targets=[wanted], details=seen))
    time.sleep(1.0)
    before, start = server.cpu_of_all(), time.perf_counter()
    with place.bench.task("idle", options.idle_seconds):
        time.sleep(options.idle_seconds)
    idle = (server.cpu_of_all() - before) / (time.perf_counter() - start) * 100
    place.bench.found(Figure(8, "idle CPU", idle, "% of a core", targets=[at_most(idle, 1.0, "1 %")]))
