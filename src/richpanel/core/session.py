"""Sessions: page and track events of one profile, clustered (`semantics.md` 5).

Events with a `richpanel_session_id` form one session per id. The others form sessions among themselves, cut by a gap.
Both are unions, so the result is a function of the set of events: adding an event, late or not, gives what a fresh
computation over all events gives. A `Book` holds those of a profile's sessions that an addition can touch.
"""

from bisect import bisect_right
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from richpanel.core.stamps import Stamp

GAP_MS: Final = 30 * 60 * 1000
"""A generated session ends when this long has passed without such an event (`semantics.md` 5; a setting)."""

Mark = tuple[Stamp, str]
"""A value with the stamp of the event it came from; the earliest or the newest wins."""


class Event(NamedTuple):
    """What a page or track call tells a session. `key` is the richpanel_session_id, empty where there is none."""

    stamp: Stamp
    key: str = ""
    visit: bool = True  # From a web or mobile source.
    page: str | None = None
    referrer: str | None = None
    campaign: str | None = None
    device: str | None = None


class Session(msgspec.Struct, array_like=True, kw_only=True):
    """A session: `first` and `last` are the stamps of its outermost events."""

    key: str
    first: Stamp
    last: Stamp
    events: int = 1
    visit: bool = False
    landing: Mark | None = None
    exit: Mark | None = None
    referrer: Mark | None = None
    campaign: Mark | None = None
    device: Mark | None = None

    @property
    def start(self) -> int:
        """Event time of the first event, ms."""
        return self.first[0]

    @property
    def end(self) -> int:
        """Event time of the last event, ms."""
        return self.last[0]

    @property
    def id(self) -> str:
        """The session id: the given one, or one derived from the first event's source and messageId alone."""
        if self.key:
            return self.key
        digest = blake2b(f"{self.first[2]}\x1f{self.first[1]}".encode("utf-8", "surrogatepass"), digest_size=12)
        return f"ses_{digest.hexdigest()}"


def of_event(event: Event) -> Session:
    """Make the session that holds just one event."""
    stamp = event.stamp
    page = None if event.page is None else (stamp, event.page)
    return Session(
        key=event.key,
        first=stamp,
        last=stamp,
        visit=event.visit,
        landing=page,
        exit=page,
        referrer=None if event.referrer is None else (stamp, event.referrer),
        campaign=None if event.campaign is None else (stamp, event.campaign),
        device=None if event.device is None else (stamp, event.device),
    )


def earliest(a: Mark | None, b: Mark | None) -> Mark | None:
    """Give the mark of the earlier event."""
    if a is None or b is None:
        return a or b
    return a if a <= b else b


def newest(a: Mark | None, b: Mark | None) -> Mark | None:
    """Give the mark of the newer event."""
    if a is None or b is None:
        return a or b
    return a if a >= b else b


def absorb(into: Session, other: Session) -> None:
    """Make `into` the union of both."""
    into.first = min(into.first, other.first)
    into.last = max(into.last, other.last)
    into.events += other.events
    into.visit = into.visit or other.visit
    into.landing = earliest(into.landing, other.landing)
    into.exit = newest(into.exit, other.exit)
    into.referrer = earliest(into.referrer, other.referrer)
    into.campaign = earliest(into.campaign, other.campaign)
    into.device = newest(into.device, other.device)


def _start(session: Session) -> int:
    return session.first[0]


class Book:
    """A profile's sessions, as far as they are loaded, and which of them changed.

    `visits` is the change in the number of sessions with an event from a web or mobile source. `gone` names what must
    be deleted: `(key, start)` as it was loaded.
    """

    __slots__ = ("explicit", "gap", "generated", "gone", "visits")

    def __init__(self, sessions: list[Session], gap: int = GAP_MS) -> None:
        self.gap = gap
        self.explicit: dict[str, Session] = {}
        self.generated: list[Session] = []
        for session in sessions:
            if session.key:
                self.explicit[session.key] = session
            else:
                self.generated.append(session)
        if len(self.generated) > 1:
            self.generated.sort(key=_start)
        self.gone: set[tuple[str, int]] = set()
        self.visits = 0

    def add_event(self, event: Event) -> None:
        """Add one event; the usual one, newer than all, extends the last session or starts one."""
        if not event.key and self.generated:
            last = self.generated[-1]
            if last.last <= event.stamp and event.stamp[0] - last.last[0] < self.gap:
                self._extend(last, event)
                return
        elif event.key:
            known = self.explicit.get(event.key)
            if known is not None and known.last <= event.stamp:
                self._extend(known, event)
                return
        self.add(of_event(event))

    def _extend(self, session: Session, event: Event) -> None:
        session.last = event.stamp
        session.events += 1
        if event.visit and not session.visit:
            session.visit = True
            self.visits += 1
        if event.page is not None:
            session.exit = (event.stamp, event.page)
            if session.landing is None:
                session.landing = session.exit
        if event.referrer is not None and session.referrer is None:
            session.referrer = (event.stamp, event.referrer)
        if event.campaign is not None and session.campaign is None:
            session.campaign = (event.stamp, event.campaign)
        if event.device is not None:
            session.device = (event.stamp, event.device)

    def add(self, session: Session) -> None:
        """Add a session of one or more events, joining what it touches."""
        self.visits += session.visit
        if session.key:
            known = self.explicit.get(session.key)
            if known is None:
                self.explicit[session.key] = session
            else:
                self._join(known, session)
            return
        at = bisect_right(self.generated, session.first[0], key=_start)
        if at and session.first[0] - self.generated[at - 1].last[0] < self.gap:
            at -= 1
            self._join(self.generated[at], session)
        else:
            self.generated.insert(at, session)
        joined = self.generated[at]
        while at + 1 < len(self.generated) and self.generated[at + 1].first[0] - joined.last[0] < self.gap:
            follower = self.generated.pop(at + 1)
            self.gone.add(("", follower.first[0]))
            self._join(joined, follower)

    def _join(self, into: Session, other: Session) -> None:
        self.visits -= into.visit and other.visit
        if not into.key and other.first[0] < into.first[0]:
            self.gone.add(("", into.first[0]))
        absorb(into, other)

    def all(self) -> list[Session]:
        """Give every loaded session, oldest first."""
        return sorted([*self.generated, *self.explicit.values()], key=lambda session: session.first)
