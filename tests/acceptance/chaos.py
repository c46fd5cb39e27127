"""What the tests share in which a cluster's servers and engines die, hang, restart and are cut off under load.

Each ends in the same look at everything (`traffic.check`): every message that was answered 200 is in the answers once,
none that was refused is, nothing is counted as a repeat that nobody sent twice, and all people, timelines, orders and
sums are the naive computation's. `KILL_SEED` repeats the instants.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.acceptance.cluster import Fleet
from tests.acceptance.roles import wait_ready
from tests.acceptance.traffic import Senders, Told, check
from tests.server import Source

SEED = int(os.environ.get("KILL_SEED") or time.time_ns() % 1_000_000)
LOOKS = 300
"""Messages that are looked up by their id, beside the list of all."""
BOUND_SECONDS = 60.0
"""To be up to date again, on a machine that does other things, too."""


@contextmanager
def loaded(fleet: Fleet) -> Iterator[tuple[Source, Told, Senders]]:
    """Send a shop's traffic to both doors meanwhile; then look at everything."""
    print(f"KILL_SEED={SEED}")
    source, told = fleet["ingest-1"].add_source("Shop", "server"), Told()
    time.sleep(1)  # The other door knows it by then.
    senders = Senders(source.write_key, told, SEED, pause=0.05)
    try:
        senders.go(*fleet.doors)
        yield source, told, senders
        senders.go(*fleet.doors)
        time.sleep(0.5)
    finally:
        senders.end()
    seconds = caught_up(fleet)
    check(fleet.pages, source.id, told, LOOKS)
    assert told.kept
    print(
        f"{len(told.kept):,} messages kept, {len(told.unknown):,} without an answer, {len(told.refused):,} refused, "
        f"{senders.unheard} calls unheard; answers {dict(told.statuses)}; up to date {seconds:.2f} s after the last"
    )


def until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for a condition; give the seconds that it took."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - started


def caught_up(fleet: Fleet, seconds: float = BOUND_SECONDS) -> float:
    """Wait until all that is in the stream now is in the answers; give the seconds that it took."""
    started = time.monotonic()
    fleet.pages.wait_processed(seconds)
    return time.monotonic() - started


def all_ready(fleet: Fleet) -> float:
    """Wait until every server that listens is ready; give the seconds that it took."""
    started = time.monotonic()
    for server in fleet.servers.values():
        if server.url:
            wait_ready(server, BOUND_SECONDS)
    return time.monotonic() - started
