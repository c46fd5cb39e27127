"""The load generator: a process of its own that makes calls beforehand and sends them when told to.

The benchmark's own process tells it what to do over a pipe, and is free meanwhile to watch and to show progress.
"""

import gc
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final, Self

import msgspec

from bench.calls import Call, Corpus, batches, get, sent_at, single
from bench.drive import Client, Run
from bench.processes import pin
from bench.workload import IN_ORDER, PEOPLE, STEP_MS, Mix, Shop

_POLL_SECONDS: Final = 0.1
_GOLDEN: Final = 0.618034
_NICE: Final = -10
"""The measuring device should not wait for what it measures; only root can give itself this."""


@dataclass(frozen=True)
class Recipe:
    """A corpus: so many events of a shop, `size` to a call (1: single calls), for the source with this write key."""

    name: str
    key: str
    events: int
    size: int = 100
    seed: int = 1
    mix: Mix = IN_ORDER
    people: int = PEOPLE


@dataclass(frozen=True)
class Stream:
    """Calls of an open loop: a corpus by name, or `paths` of the REST API, at so many a second."""

    name: str
    rate: float
    paths: Sequence[str] = ()
    token: str = ""


class _Generator:
    """What the load generator's process can be told; the names are the commands."""

    def __init__(self) -> None:
        self._corpora: dict[str, Corpus] = {}
        self._shops: dict[str, Shop] = {}

    def fill(self, recipe: Recipe) -> int:
        """Make a corpus. The shop of that name goes on where it was; gives the bytes of all calls."""
        shop = self._shop(recipe)
        items = shop.messages(recipe.events)
        if recipe.size == 1:
            calls = [single(item, recipe.key, sent_at()) for item in items]
        else:
            calls = list(batches(items, recipe.key, sent_at(), recipe.size))
        self._corpora[recipe.name] = Corpus(calls, recipe.events * STEP_MS)
        gc.collect()
        gc.freeze()
        return sum(len(call.wire) for call in calls)

    def pin(self, cores: set[int]) -> None:
        """Stay on these cores from now on."""
        pin(os.getpid(), cores)

    def drop(self, name: str) -> None:
        """Forget a corpus."""
        self._corpora.pop(name, None)

    def closed(self, name: str, port: int | Sequence[int], connections: int, seconds: float) -> Run:
        """Send a corpus over and over, to one port or to several, as fast as it is answered."""
        with Client(port, connections) as client:
            return client.closed(iter(self._corpora[name]), seconds)

    def once(self, name: str, port: int, connections: int) -> Run:
        """Send a corpus once, as fast as it is answered, and forget it."""
        corpus = self._corpora.pop(name)
        with Client(port, connections) as client:
            return client.closed(iter(corpus.calls), inf)

    def feed(self, recipe: Recipe, port: int, connections: int) -> Run:
        """Make the next events of a shop and send them once."""
        self.fill(recipe)
        return self.once(recipe.name, port, connections)

    def enroll(self, recipe: Recipe, first: int, port: int, connections: int) -> Run:
        """Send an identify for each of `recipe.events` people from rank `first` on."""
        people = list(self._shop(recipe).everybody(first, first + recipe.events - 1))
        with Client(port, connections) as client:
            return client.closed(iter(batches(people, recipe.key, sent_at(), recipe.size)), inf)

    def open(self, streams: Sequence[Stream], port: int, connections: int, seconds: float) -> dict[str, Run]:
        """Send streams side by side, each call at its time; gives each stream's run.

        They are strangers to each other: each begins at its own point of its period, not all at once each time.
        """
        due = sorted(((number + index * _GOLDEN % 1) / stream.rate, index) for index, stream in enumerate(streams)
                     for number in range(int(stream.rate * seconds)))  # fmt: skip
        sources = [self._calls(stream) for stream in streams]
        calls: Iterator[Call] = (next(sources[index]) for _, index in due)
        with Client(port, connections) as client:
            run = client.open(calls, [at for at, _ in due])
        runs = {}
        for index, stream in enumerate(streams):
            latencies = [latency for latency, (_, of) in zip(run.latencies, due, strict=True) if of == index]
            runs[stream.name] = msgspec.structs.replace(run, latencies=latencies)
        return runs

    def _calls(self, stream: Stream) -> Iterator[Call]:
        if not stream.paths:
            return iter(self._corpora[stream.name])
        calls = [get(path, stream.token) for path in stream.paths]
        return (calls[number % len(calls)] for number in range(1 << 60))

    def _shop(self, recipe: Recipe) -> Shop:
        if recipe.name not in self._shops:
            self._shops[recipe.name] = Shop(recipe.seed, recipe.mix, recipe.people)
        return self._shops[recipe.name]


def _serve(pipe: Connection) -> None:
    """Run commands until the other end is closed."""
    gc.disable()  # Calls are made once and stay; nothing here goes round in circles.
    with suppress(PermissionError):
        os.nice(_NICE)
    generator = _Generator()
    while True:
        try:
            command, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((getattr(generator, command)(*arguments), None))
        except Exception:  # noqa: BLE001  # whatever it is, it is the benchmark that must fail of it
            pipe.send((None, traceback.format_exc()))


class LoadFailed(Exception):
    """The load generator could not do what it was told."""


class Load:
    """The load generator, as a context manager."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other,), daemon=True)
        self._process.start()
        other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(5.0)
        self._process.kill()

    def tell(self, command: str, *arguments: object, watch: Callable[[], object] | None = None) -> Any:
        """Run one of `_Generator`'s methods there; `watch` is called ten times a second until it is done."""
        self._pipe.send((command, arguments))
        while not self._pipe.poll(_POLL_SECONDS):
            if watch is not None:
                watch()
            if not self._process.is_alive():
                raise LoadFailed("the load generator has died")
        result, failure = self._pipe.recv()
        if failure is not None:
            raise LoadFailed(failure)
        return result
