"""A courier: serves one destination, for as long as this process is the one to do so.

Each round is a turn at the books, as many requests as the pace allows, and a wait for the first thing that happens. A
request's outcome is on record before its person's next call is looked at.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from richpanel import telemetry
from richpanel.core import wire
from richpanel.core.retrying import Patience, is_transient
from richpanel.deliver.books import Books, Turn, is_hosted
from richpanel.deliver.claiming import Wanted
from richpanel.deliver.judging import Judge, is_to_halve
from richpanel.deliver.pace import Pace
from richpanel.deliver.payloads import Payload
from richpanel.deliver.sending import Sender, url_of
from richpanel.store.deliveries import Result
from richpanel.store.delivery_requests import Asked
from richpanel.store.destinations import DestinationRow

_SPARE_FOR_LIVE: Final = 5
"""Of a rate, one in so many is kept for live traffic while there is bulk work."""
_UNWELL_SECONDS: Final = 1.0
_log = telemetry.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Means:
    """What couriers work with; `now` gives ms UTC, `hands` is the thread that keeps the books.

    What is finished is kept for `kept_days`.
    """

    books: Books
    sender: Sender
    hands: Executor
    now: Callable[[], int]
    patience: Patience = field(default_factory=Patience)
    kept_days: int = 30
    jitter: Callable[[], float] = random.random


class Courier:
    """Delivers to one destination. Its destination must be in the books' set-up."""

    def __init__(self, number: int, means: Means, is_ours: Callable[[], bool] | None = None) -> None:
        """`is_ours` tells, from time to time, whether this is still the one to serve the destination."""
        self.number = number
        self._means = means
        self._is_ours = is_ours
        self._pace = Pace(None, monotonic(), means.jitter)
        self._ready: deque[list[Payload]] = deque()
        self._refused: list[list[Payload]] = []
        self._halves: deque[list[Payload]] = deque()
        self._tasks: dict[asyncio.Task[None], list[Payload]] = {}
        self._results: list[Result] = []
        self._asked: Sequence[Asked] = ()
        self._judge = Judge(means.patience, means.now, means.jitter)
        self._secret: str | None = None
        self._served: DestinationRow | None = None
        self._version: int | None = None
        self._next_due: int | None = 0
        self._has_news = False
        self._wake = asyncio.Event()

    @property
    def is_resting(self) -> bool:
        """Whether the destination is left alone, since it has only failed of late or asked for it."""
        return self._pace.is_resting(monotonic())

    def wake(self, asked: Sequence[Asked] = ()) -> None:
        """There is something new to look at, or people ask something of deliveries: that is said until it is done."""
        self._has_news = self._has_news or not asked
        self._asked = asked or self._asked
        self._wake.set()

    async def run(self, stop: asyncio.Event, drain: float) -> None:
        """Serve until told to stop; what is under way gets `drain` seconds then, and is recorded if it was answered."""
        waiting: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            await self._begin(stop)
            while not stop.is_set():
                self._wake.clear()
                destination = self._means.books.setup.destinations.get(self.number)
                if destination is None or not await _holds(self._is_ours):
                    break
                if await self._turn(destination):
                    self._start(destination)
                    await self._wait(destination, waiting)
                else:
                    await asyncio.wait([waiting], timeout=_UNWELL_SECONDS)
        finally:
            waiting.cancel()
            await self._finish(drain)

    # -------------------------------------------------------------------------------------------------------- a round

    async def _begin(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                used = await _booked(self._means.hands, self._means.books.begin, self.number)
            except SQLAlchemyError:
                _log.exception("books_unreachable", destination=self.number)
                await asyncio.sleep(_UNWELL_SECONDS)
                continue
            destination = self._means.books.setup.destinations.get(self.number)
            rate = None if destination is None else destination.rate
            self._pace = Pace(rate, monotonic(), self._means.jitter, used=used)
            return

    def _follow(self, destination: DestinationRow) -> None:
        """Take changed settings: what was claimed is claimed again with them, and what failed so far tells nothing."""
        version, self._version = self._version, self._means.books.setup.version
        before, self._served = self._served, destination
        if before is None or version == self._version:
            return
        self._halves.clear()  # On record they are due at once.
        self._put_back()
        if _reaches(before) != _reaches(destination):
            self._pace.forgive(monotonic())

    def _put_back(self) -> None:
        """Give up what was claimed and not sent; it is still queued."""
        self._ready.clear()
        self._next_due = 0

    async def _turn(self, destination: DestinationRow) -> bool:
        """Take a turn at the books where there is a reason for one; False where they cannot be reached just now."""
        self._pace.set_rate(destination.rate, monotonic())
        self._follow(destination)
        if self._ready and self._pace.is_resting(monotonic()):
            self._put_back()  # It may be old when its turn comes.
        wanted = self._wanted(destination)
        is_due = self._has_news or (self._next_due is not None and self._next_due <= self._means.now())
        if not self._results and not wanted.asked and not (wanted.live > 0 and is_due):
            return True
        results, self._results = self._results, []
        refused, self._refused = self._refused, []
        self._asked = ()
        self._has_news = False  # Before the turn: what comes meanwhile may not be in it.
        try:
            turn: Turn = await _booked(self._means.hands, self._means.books.turn, destination, results, wanted)
        except SQLAlchemyError:
            _log.exception("books_unreachable", destination=self.number)
            self._results = results + self._results
            self._refused = refused + self._refused
            self._has_news = True
            return False
        self._halves.extend(refused)
        self._take(destination, turn, wanted)
        return True

    def _take(self, destination: DestinationRow, turn: Turn, wanted: Wanted) -> None:
        """Take what a turn gave."""
        if turn.secret != self._secret and self._secret is not None:
            self._pace.forgive(monotonic())
        self._secret = turn.secret
        self._judge.know(turn.first_tries)
        size = max(1, min(destination.batch_size, wire.BATCH_EVENTS))
        claimed = turn.claimed
        self._ready.extend(claimed[start : start + size] for start in range(0, len(claimed), size))
        # What waits for somebody, or is under way, is looked at again after the next answer.
        self._next_due = 0 if turn.more or len(claimed) >= wanted.live else turn.next_due

    def _wanted(self, destination: DestinationRow) -> Wanted:
        """Say how much to claim: what may be sent now, and where nothing bounds the rate, what may be sent next."""
        now = monotonic()
        free = self._pace.free(now)
        size = max(1, min(destination.batch_size, wire.BATCH_EVENTS))
        spare = 0 if destination.rate is None else min(destination.rate // _SPARE_FOR_LIVE, max(free - 1, 0))
        is_bounded = destination.rate is not None or self._pace.is_resting(now)
        ahead = 0 if is_bounded else self._pace.concurrency.limit
        ready = sum(map(len, self._ready))
        live = max((free + ahead - len(self._halves)) * size - ready, 0)
        groups = (*self._tasks.values(), *self._ready, *self._halves, *self._refused)
        under_way = {each.delivery.id for group in groups for each in group}
        asked = [each for each in self._asked if each.delivery not in under_way]
        return Wanted(live, max(live - spare * size, 0), under_way, asked)

    def _start(self, destination: DestinationRow) -> None:
        """Send what may be sent now."""
        while (self._halves or self._ready) and self._pace.free(monotonic()) > 0:
            group = self._halves.popleft() if self._halves else self._ready.popleft()
            self._pace.begin()
            task = asyncio.ensure_future(self._deliver(destination, group, self._secret))
            self._tasks[task] = group
            task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(task, None)
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("delivery_failed", destination=self.number, exc_info=error)

    async def _wait(self, destination: DestinationRow, stop: "asyncio.Future[Any]") -> None:
        """Wait for an answer or news, for the time when something is due or there is room, or for the end."""
        times = []
        now = monotonic()
        if self._next_due is not None and self._wanted(destination).live > 0:
            times.append(max((self._next_due - self._means.now()) / 1000, 0.0))
        if (at := self._pace.free_at(now)) is not None:
            times.append(max(at - now, 0.001))
        woken: asyncio.Future[Any] = asyncio.ensure_future(self._wake.wait())
        await asyncio.wait([stop, woken], timeout=min(times, default=None), return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()

    async def _finish(self, drain: float) -> None:
        """Let what is under way come to an end, and record it; what has no answer by then was never marked."""
        self._ready.clear()
        self._halves.clear()
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks), timeout=drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._results:
            results, self._results = self._results, []
            try:
                await _booked(self._means.hands, self._means.books.record, results)
            except SQLAlchemyError:
                _log.exception("results_lost", destination=self.number, count=len(results))

    # -------------------------------------------------------------------------------------------------------- a request

    async def _deliver(self, destination: DestinationRow, group: list[Payload], secret: str | None) -> None:
        """Send a group in one request, and judge what came of it."""
        begun, at = monotonic(), self._means.now()
        is_batch = destination.batch_size > 1
        events = [each.event for each in group]
        try:
            if is_batch:
                body = wire.sealed_batch(events, destination.api_key, secret, destination.signature_mode, at)
            else:
                body = wire.sealed(events[0], destination.api_key, secret, destination.signature_mode, at)
            answer = await self._means.sender.send(url_of(destination.endpoint, is_batch), body)
        except BaseException:
            self._pace.gave_up(monotonic())
            raise
        outcome, now = answer.outcome, monotonic()
        if is_transient(outcome):
            wait = outcome.retry_after
            self._pace.failed(begun, now, None if wait is None else wait / 1000)
        else:
            self._pace.succeeded(now)
        if is_to_halve(outcome, group):
            results, halves = self._judge.halve(group, answer, at)
            self._refused += halves
        else:
            results = self._judge.judge(group, answer, at, hosted=is_hosted(destination))
        self._results += results


def _reaches(destination: DestinationRow) -> tuple[object, ...]:
    """Name what decides whether requests come through at all."""
    return destination.endpoint, destination.api_key, destination.signature_mode, destination.has_secret


async def _holds(is_ours: Callable[[], bool] | None) -> bool:
    """Ask whether a destination is still ours to serve; asking may take as long as its database does."""
    return is_ours is None or await asyncio.get_running_loop().run_in_executor(None, is_ours)


async def _booked(hands: Executor, do: Callable[..., T], *args: Any) -> T:
    """Have something done at the books."""
    return await asyncio.get_running_loop().run_in_executor(hands, do, *args)
