"""Pace: how much is sent to a destination at once and in a time, and when it is left alone.

Three limits that hold together: the destination's rate, as many requests under way as it has shown to bear, and none at
all while it says so or only fails. Times are seconds of a monotonic clock and come as arguments.
"""

import heapq
from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 30.0
"""A rate is so many requests in any such time."""
FIRST_CONCURRENCY: Final = 8.0
MOST_CONCURRENCY: Final = 64
_FAILURES_TO_OPEN: Final = 10
_FIRST_REST: Final = 1.0
_LONGEST_REST: Final = 60.0
_LONGEST_HOLD: Final = 3_600.0
"""A destination that asks for a longer pause is asked again after this one."""


class Window:
    """So many requests in any 30 s, as the other side sees them.

    A request may arrive at any moment between its sending and its answer. So its place is free again only 30 s after
    the answer: however requests are held up on their way, the other side never sees more in 30 s.
    """

    def __init__(self, rate: int | None, now: float, *, used: bool) -> None:
        """`used` says that unknown requests may have been sent up to now: their time is waited out."""
        self.rate = rate
        self._under_way = 0
        self._ended = [now] * rate if used and rate is not None else []

    def free(self, now: float) -> int:
        """Give how many requests may begin."""
        if self.rate is None:
            return MOST_CONCURRENCY
        while self._ended and self._ended[0] + WINDOW_SECONDS <= now:
            heapq.heappop(self._ended)
        return max(self.rate - self._under_way - len(self._ended), 0)

    def free_at(self) -> float | None:
        """Give when the next place becomes free by the passing of time; None where only an answer can free one."""
        return self._ended[0] + WINDOW_SECONDS if self._ended else None

    def begin(self) -> None:
        """A request is sent."""
        self._under_way += 1

    def end(self, now: float) -> None:
        """It is over: answered, broken or given up."""
        self._under_way -= 1
        if self.rate is not None:
            heapq.heappush(self._ended, now)


class Concurrency:
    """How many requests may be under way: one more for each round that went well, half after one that did not."""

    def __init__(self, most: int = MOST_CONCURRENCY) -> None:
        """Begin with a few."""
        self.most = most
        self._limit = min(FIRST_CONCURRENCY, float(most))
        self._shrunk_at = float("-inf")

    @property
    def limit(self) -> int:
        """The requests that may be under way; one at least."""
        return int(self._limit)

    def grow(self, under_way: int) -> None:
        """A request went well. What is not made use of is no proof that more would go well, too."""
        if under_way >= self.limit:
            self._limit = min(self._limit + 1 / self._limit, float(self.most))

    def shrink(self, sent_at: float, now: float) -> None:
        """A request failed as it does where too much is sent; those sent before the last halving tell nothing new."""
        if sent_at >= self._shrunk_at:
            self._limit = max(self._limit / 2, 1.0)
            self._shrunk_at = now


class Breaker:
    """Leaves a destination alone that only fails: rests, then tries one request, and rests for longer if that fails."""

    def __init__(self) -> None:
        """Begin in good faith."""
        self._failures = 0
        self._rest = _FIRST_REST
        self._until = float("-inf")
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether the destination has only failed of late."""
        return self._failures >= _FAILURES_TO_OPEN

    def free(self, now: float) -> int:
        """Give how many requests it lets through: none while it rests, then one at a time."""
        if not self.is_open:
            return MOST_CONCURRENCY
        return 0 if self._probing or now < self._until else 1

    def free_at(self) -> float | None:
        """Give when its rest is over; None where there is none."""
        return self._until if self.is_open and not self._probing else None

    def begin(self) -> None:
        """A request is sent."""
        self._probing = self.is_open

    def succeeded(self) -> None:
        """The destination took a request, or refused it in its senses."""
        self._failures, self._rest, self._probing = 0, _FIRST_REST, False

    def failed(self, sent_at: float, now: float, jitter: float) -> None:
        """It failed. `jitter` of [0, 1) spreads the ends of rests; what was sent before a rest tells no more."""
        was_open = self.is_open
        self._failures += 1
        if not self.is_open or (was_open and sent_at < self._until):
            return
        self._probing = False
        self._until = now + self._rest * (0.5 + jitter / 2)
        self._rest = min(self._rest * 2, _LONGEST_REST)

    def gave_up(self) -> None:
        """A request was given up for a reason of ours: it tells nothing."""
        self._probing = False


class Pace:
    """The three together, for one destination. Each `begin` is followed by one of `succeeded`, `failed`, `gave_up`."""

    def __init__(self, rate: int | None, now: float, jitter: Callable[[], float], *, used: bool = False) -> None:
        """`rate` is requests in 30 s; `used` as in `Window`. `jitter` gives numbers of [0, 1)."""
        self.window = Window(rate, now, used=used)
        self.concurrency = Concurrency()
        self.breaker = Breaker()
        self._jitter = jitter
        self._held_until = float("-inf")
        self._forgiven_at = float("-inf")
        self._under_way = 0

    def set_rate(self, rate: int | None, now: float) -> None:
        """Take another rate; what was sent without one counts as if it had used the new one up."""
        if rate == self.window.rate:
            return
        self.window, under_way = Window(rate, now, used=rate is not None), self._under_way
        for _ in range(under_way):
            self.window.begin()

    def forgive(self, now: float) -> None:
        """It is another server from now on, or sees another client in us: what was sent before tells nothing of it."""
        self.breaker = Breaker()
        self._held_until = float("-inf")
        self._forgiven_at = now

    def is_resting(self, now: float) -> bool:
        """Tell whether the destination is left alone, or asked with one request at the most."""
        return now < self._held_until or self.breaker.is_open

    def free(self, now: float) -> int:
        """Give how many requests may begin now."""
        if now < self._held_until:
            return 0
        room = self.concurrency.limit - self._under_way
        return max(min(room, self.window.free(now), self.breaker.free(now)), 0)

    def free_at(self, now: float) -> float | None:
        """Give when there may be more room by the passing of time; None where only an answer can make some."""
        if now < self._held_until:
            return self._held_until
        if self._under_way >= self.concurrency.limit:
            return None
        waits = [at for at in (self.breaker.free_at(), self._window_at(now)) if at is not None and at > now]
        return max(waits, default=None)

    def begin(self) -> None:
        """A request is sent."""
        self._under_way += 1
        self.window.begin()
        self.breaker.begin()

    def succeeded(self, now: float) -> None:
        """The destination took it, or refused it in its senses."""
        self.concurrency.grow(self._under_way)
        self.breaker.succeeded()
        self._end(now)

    def failed(self, sent_at: float, now: float, retry_after: float | None = None) -> None:
        """It was not taken, for the moment; `retry_after` is for how long the destination wants to be left alone."""
        if sent_at < self._forgiven_at:
            self.gave_up(now)
            return
        self.concurrency.shrink(sent_at, now)
        self.breaker.failed(sent_at, now, self._jitter())
        if retry_after is not None:
            self._held_until = max(self._held_until, now + min(retry_after, _LONGEST_HOLD))
        self._end(now)

    def gave_up(self, now: float) -> None:
        """It was given up for a reason of ours, or never sent."""
        self.breaker.gave_up()
        self._end(now)

    def _end(self, now: float) -> None:
        self._under_way -= 1
        self.window.end(now)

    def _window_at(self, now: float) -> float | None:
        return self.window.free_at() if self.window.free(now) == 0 else None
