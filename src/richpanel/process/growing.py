"""A piece that is being made, in memory (`process.pieces` says what for)."""

from typing import Final

from richpanel.core.profile import Profile
from richpanel.core.session import Book
from richpanel.core.stamps import Stamp
from richpanel.store.piece_rows import OrderEvent, Piece

_LATE_MS: Final = 3_600_000
"""What comes so much later than its time is put aside, so that the other pieces each cover a short time."""
_SPAN_MS: Final = 30 * 24 * 3_600_000
"""A piece of what comes late covers so much time at the most."""


class Growing:
    """What some messages of one identity make together, as far as they have come."""

    __slots__ = ("book", "high", "low", "numbers", "orders", "profile")

    def __init__(self, t: int, gap: int) -> None:
        self.profile = Profile(created=t, seen=t)
        self.book = Book([], gap)
        self.numbers: list[int] = []
        self.orders: list[OrderEvent] = []
        self.low = self.high = t

    def hold(self, number: int, stamp: Stamp, order_id: str | None) -> None:
        """Note that a message is folded in; `order_id` names the order that it is an event of."""
        self.numbers.append(number)
        self.low = min(self.low, stamp[0])
        self.high = max(self.high, stamp[0])
        if order_id is not None:
            self.orders.append((order_id, stamp))

    def made(self) -> Piece:
        """Give what the messages make."""
        self.profile.open = self.book.all()
        return Piece(self.profile, self.orders)


class Growths:
    """The next pieces of one identity: of what comes in time, and of what comes late, by the time it is of."""

    __slots__ = ("_gap", "_newest", "late", "timely")

    def __init__(self, gap: int) -> None:
        self._gap = gap
        self._newest = 0
        self.timely: Growing | None = None
        self.late: dict[int, Growing] = {}

    def of(self, t: int) -> Growing:
        """Give the piece that a message of this event time goes into."""
        if t < self._newest - _LATE_MS:
            growing = self.late.get(t // _SPAN_MS)
            if growing is None:
                growing = self.late[t // _SPAN_MS] = Growing(t, self._gap)
            return growing
        self._newest = max(self._newest, t)
        if self.timely is None:
            self.timely = Growing(t, self._gap)
        return self.timely

    def all(self) -> list[Growing]:
        """Give what grows."""
        return [*self.late.values()] if self.timely is None else [self.timely, *self.late.values()]

    def begin_anew(self, full: Growing) -> None:
        """Let go of a piece that is stored now."""
        if full is self.timely:
            self.timely = None
        else:
            del self.late[full.low // _SPAN_MS]
