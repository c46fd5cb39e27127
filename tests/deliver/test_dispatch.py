"""Dispatch: who serves which destination, from when on and until when, with real servers to send to."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest

from richpanel.deliver.courier import Means
from richpanel.deliver.dispatch import Dispatch, Place
from richpanel.deliver.sending import Sender
from richpanel.store.bulk import run
from richpanel.store.destinations import delete_destination
from tests.deliver.test_books import Keeper, keeper
from tests.process.account import Account
from tests.process.calls import track
from tests.sink import Sink

__all__ = ["keeper"]
DAY = 86_400_000
_MINUTES = count()


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink(1)
    yield made
    made.stop()


class Seats:
    """Of each number there is one seat; whoever asks first has it."""

    def __init__(self) -> None:
        self.held: dict[int, object] = {}

    def seat(self, number: int) -> Place:
        """A claim to one."""
        return _Seat(self.held, number)


class _Seat:
    def __init__(self, held: dict[int, object], number: int) -> None:
        self._held = held
        self._number = number

    def is_held(self) -> bool:
        return self._held.setdefault(self._number, self) is self

    def close(self) -> None:
        if self._held.get(self._number) is self:
            del self._held[self._number]


@contextmanager
def dispatching(
    keeper: Keeper,
    place: Callable[[int], Place] | None = None,
    tell: Callable[[dict[int, bool]], None] = lambda _: None,
    kept_days: int = 30,
) -> Iterator[None]:
    """Dispatch on a thread of its own, until it is left; what is under way ends first."""
    begun: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        sender = Sender("tests", allow_private=True)
        with ThreadPoolExecutor(1) as hands:
            means = Means(keeper.fresh(), sender, hands, lambda: keeper.now, kept_days=kept_days)
            begun.append((asyncio.get_running_loop(), stop))
            await Dispatch(means, place, 5.0, tell).run(stop)
            await sender.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield
    finally:
        loop, stop = begun[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()


def until(holds: Callable[[], bool], found: Callable[[], str] = str) -> None:
    """Wait for it; `found` tells what there is instead."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, found()
        time.sleep(0.02)


def names(sink: Sink) -> list[str]:
    """The events that have arrived, in order."""
    return [each.event["event"] for each in list(sink.arrivals)]


def say(account: Account, *events: str, uid: str = "u") -> None:
    """Calls, applied at once."""
    account.send(*(track(next(_MINUTES), event, uid) for event in events))


def test_a_destination_is_served_as_long_as_it_is_there(keeper: Keeper, sink: Sink) -> None:
    account = keeper.account
    say(account, "One", "Two")
    with dispatching(keeper):
        until(lambda: [status for _, status, _ in keeper.rows()] == ["retrying", "queued"])  # No such host.
        keeper.change(endpoint=sink.start())

        def arrived() -> bool:
            keeper.now += 1_000  # Until the next try is due.
            return names(sink) == ["One", "Two"]

        until(arrived, lambda: f"{names(sink)} {keeper.tries()}")
        say(account, "Three")
        until(lambda: names(sink) == ["One", "Two", "Three"])
        until(lambda: all(status == "delivered" for _, status, _ in keeper.rows()))
    say(account, "Four")
    with account.account_engine.begin() as connection:
        delete_destination(connection, keeper.id, now=2)
    with dispatching(keeper):
        until(lambda: ("Four", "failed", "destination_deleted") in keeper.rows())
    assert names(sink) == ["One", "Two", "Three"]


def test_a_destination_has_one_who_serves_it_and_another_one_goes_on(keeper: Keeper, sink: Sink) -> None:
    seats = Seats()
    keeper.change(endpoint=sink.start())
    say(keeper.account, *(f"First {number}" for number in range(5)))
    with dispatching(keeper, seats.seat):
        with dispatching(keeper, seats.seat):
            until(lambda: len(names(sink)) == 5)
            before = dict(seats.held)
        until(lambda: seats.held.keys() == before.keys())
        say(keeper.account, *(f"Second {number}" for number in range(5)))
        until(lambda: len(names(sink)) == 10)
    expected = [f"{turn} {number}" for turn in ("First", "Second") for number in range(5)]
    assert names(sink) == expected
    assert seats.held == {}


def test_it_tells_whom_it_leaves_alone(keeper: Keeper, sink: Sink) -> None:
    told: list[dict[int, bool]] = []
    sink.moods = {"unavailable": 1.0}
    keeper.change(endpoint=sink.start())
    for number in range(15):
        say(keeper.account, "Event", uid=f"u{number}")
    with dispatching(keeper, tell=told.append):
        until(lambda: {keeper.number: True} in told)
    assert told[0] in ({}, {keeper.number: False})


def test_what_is_old_goes(keeper: Keeper, sink: Sink) -> None:
    keeper.change(endpoint=sink.start())
    say(keeper.account, "Old", "Older")
    with dispatching(keeper):
        until(lambda: [status for _, status, _ in keeper.rows()] == ["delivered"] * 2)
    with keeper.delivery.begin() as connection:
        run(connection, "UPDATE deliveries SET finished_at = finished_at - ? WHERE event = 'Older'", 8 * DAY)
    with dispatching(keeper, kept_days=7):
        until(lambda: [event for event, _, _ in keeper.rows()] == ["Old"])
