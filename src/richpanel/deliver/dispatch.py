"""Dispatch: a courier for each destination outside, begun and ended as people set destinations up."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from sqlalchemy.exc import SQLAlchemyError

from richpanel import telemetry
from richpanel.deliver.courier import Courier, Means
from richpanel.store.delivery_requests import Asked

LOOK_SECONDS: Final = 0.1
"""How often it looks whether the state has moved on."""
_UNWELL_SECONDS: Final = 1.0
_TIDY_STEP_SECONDS: Final = 0.5
_TIDY_SECONDS: Final = 600.0
"""How long the next look for what is old waits once nothing is left of it."""
_DROP_SECONDS: Final = 1.0
_LATE_SECONDS: Final = 10.0
"""So long after a destination is gone messages may still be decided by definitions that have it."""
_log = telemetry.get_logger(__name__)


class Place(Protocol):
    """The place of whoever serves a destination, of which there is one among all nodes of a cluster."""

    def is_held(self) -> bool:
        """Whether this process has it."""

    def close(self) -> None:
        """Leave it to others."""


class Dispatch:
    """Keeps a courier at each destination that this process is to serve."""

    def __init__(
        self,
        means: Means,
        place: Callable[[int], Place] | None,
        drain: float,
        tell: Callable[[dict[int, bool]], None] = lambda _: None,
    ) -> None:
        """`place` gives the place for a destination, by its number; None where nobody else delivers.

        `tell` hears, whenever that changes, which destinations are served here, and whether they are left alone.
        """
        self._tell = tell
        self._told: dict[int, bool] = {}
        self._means = means
        self._place = place
        self._drain = drain
        self._places: dict[int, Place] = {}
        self._couriers: dict[int, Courier] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._dropped: set[int] = set()
        self._gone: dict[int, float] = {}
        self._next_drop = 0.0
        self._to_tidy: list[int] = []
        self._next_tidy = 0.0
        self._mark = (-1, -1)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until told to stop."""
        while not stop.is_set():
            try:
                await self._look(stop)
                wait = LOOK_SECONDS
            except SQLAlchemyError:
                _log.exception("books_unreachable")
                wait = _UNWELL_SECONDS
            try:
                await asyncio.wait_for(stop.wait(), wait)
            except TimeoutError:
                continue
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for place in self._places.values():
            place.close()

    async def _look(self, stop: asyncio.Event) -> None:
        loop, books = asyncio.get_running_loop(), self._means.books
        version = books.setup.version
        mark = await loop.run_in_executor(self._means.hands, books.news)
        setup = books.setup
        for number in setup.destinations:
            if number not in self._tasks and await self._has_place(number):
                self._begin(number, stop)
        await self._drop()
        await self._pass_on()
        await self._tidy()
        resting = {number: courier.is_resting for number, courier in self._couriers.items()}
        if resting != self._told:
            self._told = resting
            self._tell(resting)
        if mark != self._mark or setup.version != version:
            self._mark = mark
            for courier in self._couriers.values():
                courier.wake()

    async def _drop(self) -> None:
        """Give up what waits for destinations that are gone; for a while, since some of it may come late."""
        setup, now = self._means.books.setup, monotonic()
        self._dropped -= setup.destinations.keys()
        self._gone = {number: since for number, since in self._gone.items() if number not in setup.destinations}
        if now < self._next_drop:
            return
        self._next_drop = now + _DROP_SECONDS
        for number in sorted(setup.ever - setup.destinations.keys() - self._dropped - self._tasks.keys()):
            if not await self._has_place(number):
                continue
            since = self._gone.setdefault(number, now)
            loop = asyncio.get_running_loop()
            has_more = await loop.run_in_executor(self._means.hands, self._means.books.drop, number)
            if not has_more and now > since + _LATE_SECONDS:
                self._dropped.add(number)
                del self._gone[number]
                if (place := self._places.pop(number, None)) is not None:
                    place.close()

    async def _tidy(self) -> None:
        """Let go of what is old, of whatever is served here or by nobody any more: a step at a time, then a rest."""
        if monotonic() < self._next_tidy:
            return
        self._next_tidy = monotonic() + _TIDY_STEP_SECONDS
        if not self._to_tidy:
            setup = self._means.books.setup
            self._to_tidy = sorted(setup.ever - setup.destinations.keys() | self._tasks.keys())
        if not self._to_tidy:
            return
        number = self._to_tidy[-1]
        loop, books = asyncio.get_running_loop(), self._means.books
        if not await loop.run_in_executor(self._means.hands, books.tidy, number, self._means.kept_days):
            self._to_tidy.pop()
            if not self._to_tidy:
                self._next_tidy += _TIDY_SECONDS

    async def _pass_on(self) -> None:
        """Tell couriers what is asked of their deliveries; of a destination that is gone nothing is under way."""
        books = self._means.books
        by_number: defaultdict[int, list[Asked]] = defaultdict(list)
        for each in books.asked:
            by_number[each.destination].append(each)
        for number, asked in by_number.items():
            if (courier := self._couriers.get(number)) is not None:
                courier.wake(asked)
            elif number not in books.setup.destinations and await self._has_place(number):
                await asyncio.get_running_loop().run_in_executor(self._means.hands, books.grant, asked)
                if number in self._dropped and (place := self._places.pop(number, None)) is not None:
                    place.close()

    async def _has_place(self, number: int) -> bool:
        if self._place is None:
            return True
        if number not in self._places:
            self._places[number] = self._place(number)
        return await asyncio.get_running_loop().run_in_executor(None, self._places[number].is_held)

    def _begin(self, number: int, stop: asyncio.Event) -> None:
        place = self._places.get(number)
        courier = Courier(number, self._means, None if place is None else place.is_held)
        task = asyncio.ensure_future(courier.run(stop, self._drain))
        self._couriers[number], self._tasks[number] = courier, task
        task.add_done_callback(lambda done: self._end(number, done))

    def _end(self, number: int, task: "asyncio.Task[None]") -> None:
        self._tasks.pop(number, None)
        self._couriers.pop(number, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("courier_failed", destination=number, exc_info=error)
