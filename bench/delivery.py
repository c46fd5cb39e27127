"""Row 9, delivery: how fast a backlog goes to a server on this machine that takes everything, and others beside it.

Each has one core, and the server the other one. Ours is from rows of the outbox to results on record. Bare aiohttp
posts the same bodies, made beforehand. Segment's `@segment/action-destinations` gets the same events in memory; its
webhook destination maps and posts them, for it has none for Richpanel. Those two keep nothing.
"""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from bench.held import API_KEY, Held
from bench.options import Bench
from bench.processes import cores, cpu_seconds, pin
from bench.report import Figure, at_least
from bench.serving import Server
from bench.sink import Stranger
from bench.workload import Shop
from richpanel.core.money import decode_exact
from richpanel.core.wire import payload, sealed

_CALLERS: Final = 64
_EVENTS: Final = 5_000
"""Different ones for those that are compared with; they send them again and again."""


class Rate(msgspec.Struct):
    """Requests a second, and microseconds of CPU for each."""

    rate: float
    cpu: float


def delivery(bench: Bench) -> None:
    """Measure it, and those beside it."""
    first, second = cores()[0], cores()[-1]
    events = Shop(3).messages(bench.options.deliveries)
    with Stranger(second) as stranger:
        with Server(bench.where, allow_private_endpoints="true") as server:
            ours = _ours(bench, server, stranger, events)
        some = events[:_EVENTS]
        with bench.task("bare aiohttp", 1):
            bare = get_context("spawn").Pool(1, _pinned, (first,)).apply(_post, (stranger.port, some, len(events)))
        with bench.task("@segment/action-destinations", 1):
            node = _node(bench, stranger.port, some, len(events))
    named = (("bare aiohttp", bare, 0.5), ("@segment/action-destinations", node, 1.0))
    for name, other, wanted in named:
        ratio = ours.rate / other.rate
        bench.found(
            Figure(
                *(9, f"delivery beside {name}", ours.rate, "requests/s"),
                reference=other.rate,
                against=name,
                ratio=ratio,
                targets=[at_least(ratio, wanted, f"{wanted} x")],
                details={"us of CPU a request": ours.cpu, f"of {name}": other.cpu, "requests": len(events)},
            )
        )


def _ours(bench: Bench, server: Server, stranger: Stranger, events: Sequence[bytes]) -> Rate:
    held = Held(server, stranger.port)
    waiting = held.fill(bench, events, f"{len(events):,} events to be delivered")
    pin(server.pids["deliver"], {cores()[0]})
    held.first_in_line()
    cpu, before = cpu_seconds(server.pids["deliver"]), held.finished()
    held.change(None)
    while stranger.requests() <= before:  # Until the change is seen.
        time.sleep(0.001)
    start = time.perf_counter()
    held.wait(bench, waiting, "delivering")
    seconds = time.perf_counter() - start
    count = waiting - before
    return Rate(count / seconds, (cpu_seconds(server.pids["deliver"]) - cpu) / count * 1e6)


def _pinned(core: int) -> None:
    pin(os.getpid(), {core})


def _post(port: int, events: Sequence[bytes], count: int) -> Rate:
    """Post as many bodies as fast as they are answered."""
    made = [payload(decode_exact(event), 1, source_type="web") for event in events]
    bodies = [json.dumps(sealed(event, API_KEY, None, "none", 1)).encode() for event in made]

    async def run() -> Rate:
        left = iter(range(count))

        async def call(session: aiohttp.ClientSession) -> None:
            for index in left:
                body = bodies[index % len(bodies)]
                async with session.post(f"http://127.0.0.1:{port}/v2/t", data=body) as answer:
                    await answer.read()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CALLERS)) as session:
            start, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(call(session) for _ in range(_CALLERS)))
            return Rate(count / (time.perf_counter() - start), (time.process_time() - cpu) / count * 1e6)

    return asyncio.run(run())


def _node(bench: Bench, port: int, events: Sequence[bytes], count: int) -> Rate:
    """Have Segment's own engine send as many events."""
    file = bench.where / "events.jsonl"
    file.write_bytes(b"\n".join(events) + b"\n")
    script, url = Path(__file__).with_name("actions.cjs"), f"http://127.0.0.1:{port}/v2/t"
    line = ["taskset", "-c", str(cores()[0]), "node", str(script), str(file), url, str(count), str(_CALLERS)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    finally:
        file.unlink()
    if done.returncode:
        raise RuntimeError(done.stderr)
    return msgspec.json.decode(done.stdout, type=Rate)
