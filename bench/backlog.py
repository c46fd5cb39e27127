"""Row 10, the backlog: 100,000 deliveries wait for a server that takes 50 requests in 30 s and refuses 30 % with 503.

At that rate they would take a day. So the rate is kept for some windows with all of the backlog waiting; then it is
lifted, and the refusals end after a while: whoever has thousands of calls would wait for a pause after every third of
them. In the end every event has arrived, each person's in order, and no 30 s saw more than the rate while it held.
"""

import json
import time
from collections import defaultdict
from itertools import pairwise
from typing import Any, Final

from bench.held import Held
from bench.options import Bench
from bench.processes import cores
from bench.report import Figure, at_most
from bench.serving import Server
from bench.sink import Arrival, Stranger
from bench.workload import Shop

_RATE: Final = 50
_WINDOW_SECONDS: Final = 30.0
_REFUSED: Final = 0.3


def backlog(bench: Bench) -> None:
    """Measure it."""
    with (
        Stranger(cores()[-1], records=True) as stranger,
        Server(bench.where, allow_private_endpoints="true") as server,
    ):
        held = Held(server, stranger.port)
        events = Shop(4).messages(bench.options.backlog)
        waiting = held.fill(bench, events, f"a backlog of {len(events):,}")
        stranger.fail(_REFUSED)
        held.change(_RATE)
        seconds = bench.options.seconds * 2 + 5
        with bench.task(f"{_RATE} requests in 30 s", seconds) as task:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                task.tick()
                time.sleep(0.1)
        limited = stranger.arrivals()
        start = time.monotonic()
        held.change(None)
        with bench.task("all of it, with 503 for 30 %", bench.options.seconds):
            time.sleep(bench.options.seconds)
        stranger.fail(0.0)
        held.wait(bench, waiting, "all of it")
        drained = time.monotonic() - start
        arrivals = stranger.arrivals()
        found = held.rows(
            "SELECT d.place, d.identity, d.alias, a.request FROM deliveries d JOIN attempts a ON a.delivery = d.id "
            "AND a.number = 1 ORDER BY d.place"
        )
    most = _most_in_a_window(limited)
    lost, overtaken = _lost(found, arrivals, waiting), _overtaken(found, arrivals)
    bench.found(
        Figure(
            *(10, f"backlog of {waiting:,}", most, "requests in 30 s"),
            targets=[
                at_most(most, _RATE, f"{_RATE} in any 30 s"),
                at_most(lost, 0, "0 lost"),
                at_most(overtaken, 0, "0 out of order"),
            ],
            details={
                "lost": lost,
                "out of order": overtaken,
                "requests while limited": len(limited),
                "seconds limited": seconds,
                "answered 503": sum(not each.taken for each in arrivals),
                "requests": len(arrivals),
                "seconds for all, unlimited": drained,
            },
        )
    )


def _most_in_a_window(arrivals: list[Arrival]) -> int:
    first, most = 0, 0
    for index, each in enumerate(arrivals):
        while arrivals[first].at <= each.at - _WINDOW_SECONDS:
            first += 1
        most = max(most, index - first + 1)
    return most


def _lost(found: list[tuple[Any, ...]], arrivals: list[Arrival], waiting: int) -> int:
    """Count the events that were not taken exactly once, or are not on record."""
    taken: defaultdict[str, int] = defaultdict(int)
    for each in arrivals:
        taken[each.event] += each.taken
    return abs(waiting - len(found)) + abs(waiting - len(taken)) + sum(count != 1 for count in taken.values())


def _overtaken(found: list[tuple[Any, ...]], arrivals: list[Arrival]) -> int:
    """Count the events that arrived before the last time that the one before them of the same person did."""
    spans: dict[str, tuple[int, int]] = {}
    for index, each in enumerate(arrivals):
        spans[each.event] = (spans.get(each.event, (index, index))[0], index)
    people: defaultdict[object, list[str]] = defaultdict(list)
    for _, identity, alias, request in found:
        event = json.loads(bytes(request))["eventId"]
        for number in {identity, alias} - {0}:
            people[number].append(event)
    return sum(spans[one][1] >= spans[next_][0] for ids in people.values() for one, next_ in pairwise(ids))
