"""Books: what is to be sent, and what came of it, in the databases. Called on one thread, a turn at a time.

A turn is one transaction on the deliveries: it records what came of what was sent, takes over what the outbox has, and
claims what may be sent now, said with the values of now. Nothing is sent before its turn is committed, so a person's
next call goes out only once it is on record what became of the one before. Who is next is known from a line in memory;
it is no more than what the deliveries say, and is made anew from them at the start and after everything that fails.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from richpanel.core.codes import Code
from richpanel.core.retrying import STATUSES
from richpanel.deliver.line import Line, Waiting
from richpanel.deliver.payloads import Known, Payload, Prepared, Strayed, Unsent, prepare
from richpanel.deliver.sending import host_of
from richpanel.store import deliveries, delivery_requests, delivery_retention, tries
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.bodies import Slice, bodies_of
from richpanel.store.database import reading
from richpanel.store.definitions import definitions_version
from richpanel.store.deliveries import BULK, FINISHED, LIVE, Delivery, Result
from richpanel.store.delivery_requests import Asked
from richpanel.store.destinations import ACCOUNT, DestinationRow, all_numbers, destination_secret, list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import SourceRow, list_sources

HOSTED: Final = "api.richpanel.com"
"""Richpanel's own host, whose 200 means that it took the request, and no more (facts of Richpanel 6)."""
_AT_ONCE: Final = 5_000
_TIDIED_AT_ONCE: Final = 1_000
"""Of what goes: a turn of somebody's waits for no more."""
_DAY_MS: Final = 86_400_000
_SHOWN_DAYS: Final = 31
"""Figures are shown of so long."""
_MOST_IN_LINE: Final = 50_000
"""So many stand in a line at the most, of each destination: 20 MB."""
_LOOK_AGAIN_MS: Final = 1_000


class Store(NamedTuple):
    """Where everything is: `delivery` is written, the others are read. `log` reads bodies; `now` gives ms UTC.

    `notes` is the account, to be written: what is asked of deliveries is taken out of it once it is done.
    """

    delivery: Engine
    notes: Engine
    state: Engine
    account: Engine
    log: Slice
    secrets: SecretBox
    now: Callable[[], int]


class Wanted(NamedTuple):
    """How many deliveries may be claimed in each lane, but none of those that are under way.

    `asked` is what people ask of others than those.
    """

    live: int
    bulk: int
    under_way: Collection[int]
    asked: Sequence[Asked]


class Turn(NamedTuple):
    """What a turn gave: what to send, when the first try of each was, and with which secret to sign.

    `more` says that there may be more to claim at once. `next_due` is when something waits for the next time, ms UTC.
    """

    claimed: list[Payload]
    first_tries: dict[int, int]
    secret: str | None
    more: bool
    next_due: int | None


class Setup(NamedTuple):
    """The definitions, as far as delivery needs them.

    `destinations` are those outside, by number; `ever` has the numbers of all that there ever were.
    """

    version: int
    account: AccountSettings
    sources: dict[int, SourceRow]
    destinations: dict[int, DestinationRow]
    ever: frozenset[int]


def is_hosted(destination: DestinationRow) -> bool:
    """Tell whether a destination is Richpanel's own API."""
    return host_of(destination.endpoint) == HOSTED


class Books:
    """Keeps the books of all destinations that are served here."""

    def __init__(self, store: Store) -> None:
        """Nothing is opened yet."""
        self._store = store
        self._numbered: dict[int, str] = {}  # By which state what waits for a destination is numbered.
        self._lines: dict[int, Line] = {}
        self._looked_at: dict[int, int] = {}
        self.setup = self._read_setup()
        self.asked: list[Asked] = []

    def news(self) -> tuple[int, int]:
        """Look whether definitions have changed and what is asked.

        Give how far the state has the log, and what grows with replays.
        """
        with reading(self._store.account) as account:
            version = definitions_version(account)
            self.asked = delivery_requests.waiting(account)
        if version != self.setup.version:
            self.setup = self._read_setup()
        with reading(self._store.state) as state:
            applied = tries.applied_to(state)
        with reading(self._store.delivery) as delivery:
            return applied, tries.replayed(delivery)

    def begin(self, destination: int) -> bool:
        """Begin to serve a destination: tell whether it was served before."""
        self._numbered.pop(destination, None)
        self._lines.pop(destination, None)
        with self._store.delivery.begin() as delivery:
            return tries.was_served(delivery, destination)

    def turn(self, destination: DestinationRow, results: Sequence[Result], wanted: Wanted) -> Turn:
        """Record, take over and claim, for one destination."""
        try:
            return self._turn(destination, results, wanted)
        except BaseException:
            self._lines.pop(destination.number, None)  # What it has learned may not be on record.
            raise

    def _turn(self, destination: DestinationRow, results: Sequence[Result], wanted: Wanted) -> Turn:
        now, line = self._store.now(), self._lines.setdefault(destination.number, Line())
        with self._store.delivery.begin() as delivery, reading(self._store.state) as state:
            if results:
                self._record(delivery, line, results)
            numbered = self._renumber(delivery, state, destination.number, now)
            if numbered is None:  # What waits is said by its numbers: the state's mark moves, and then it is looked at.
                return Turn([], {}, None, False, None)
            delivery_requests.grant(delivery, wanted.asked, now)
            if wanted.asked or numbered != self._numbered.get(destination.number):
                line = self._lines[destination.number] = Line()  # What stood there may be another's, or wait anew.
            taken = deliveries.take_over(delivery, state, destination.number, now=now, limit=_AT_ONCE)
            found = self._due(delivery, destination.number, wanted, now)
            prepared = self._prepare(state, destination, found)
            unsent = [each for each in prepared if isinstance(each, Unsent)]
            self._record(delivery, line, [_settled(each, now) for each in unsent])
            strayed = any(isinstance(each, Strayed) for each in prepared)
            if strayed:
                deliveries.renumber(delivery, state, destination.number, now=now)
                self._lines.pop(destination.number)
            claimed = [each for each in prepared if isinstance(each, Payload)]
            first = tries.first_tries(delivery, [each.delivery.id for each in claimed if each.delivery.attempts])
        self._numbered[destination.number] = numbered
        self._forget(wanted.asked)
        more = taken == _AT_ONCE or bool(unsent) or strayed
        return Turn(claimed, first, self._secret(destination), more, self._next_due(line, now))

    def record(self, results: Sequence[Result]) -> None:
        """Record what became of deliveries, and nothing else: of a destination that is gone, or at the end."""
        with self._store.delivery.begin() as delivery:
            deliveries.record(delivery, results)

    def drop(self, number: int) -> bool:
        """Give up what waits for a destination that is gone, some at a time; tell whether there may be more.

        What the outbox has for it is taken over first: that, too, was to be sent, and says what became of it.
        """
        now = self._store.now()
        with self._store.delivery.begin() as delivery, reading(self._store.state) as state:
            taken = deliveries.take_over(delivery, state, number, now=now, limit=_AT_ONCE)
            rows = tries.waiting(delivery, number, _AT_ONCE)
            gone = [Unsent(each, "failed", Code.DESTINATION_DELETED) for each in rows]
            deliveries.record(delivery, [_settled(each, now) for each in gone])
        return _AT_ONCE in (taken, len(rows))

    def tidy(self, number: int, days: int) -> bool:
        """Let go of what was finished so many days ago, some at a time; tell whether there may be more."""
        before = self._store.now() - days * _DAY_MS
        shown = self._store.now() - max(days, _SHOWN_DAYS) * _DAY_MS
        with self._store.delivery.begin() as delivery:
            gone = delivery_retention.drop_finished(delivery, number, before=before, limit=_TIDIED_AT_ONCE)
            gone += delivery_retention.add_up(delivery, number, before=shown, limit=_TIDIED_AT_ONCE)
        return gone >= _TIDIED_AT_ONCE

    def _renumber(self, delivery: Connection, state: Connection, destination: int, now: int) -> str | None:
        """Have what waits numbered as this state numbers, or persons could overtake themselves; give which one it is.

        None where it has not reached yet what was taken over from the one before it: that is waited for.
        """
        identity = tries.identity_of(state)
        if self._numbered.get(destination) != identity:
            if tries.applied_to(state) < tries.taken_over(delivery, destination):
                return None
            deliveries.renumber(delivery, state, destination, now=now)
        return identity

    def grant(self, asked: Sequence[Asked]) -> None:
        """Do what is asked of deliveries of a destination that is gone."""
        with self._store.delivery.begin() as delivery:
            delivery_requests.grant(delivery, asked, self._store.now())
        self._forget(asked)

    def _forget(self, asked: Sequence[Asked]) -> None:
        if asked:
            with self._store.notes.begin() as notes:
                delivery_requests.done(notes, asked)

    def _record(self, delivery: Connection, line: Line, results: Sequence[Result]) -> None:
        if not results:
            return
        deliveries.record(delivery, results)
        for result in results:
            if result.status >= FINISHED:
                line.finish(result.delivery.id)
            else:
                line.put_off(result.delivery.id, result.delivery.due_at if result.due_at is None else result.due_at)

    def _due(self, delivery: Connection, destination: int, wanted: Wanted, now: int) -> list[Delivery]:
        """Claim from the line, which is filled up as far as that takes."""
        if wanted.live <= 0:
            return []
        line = self._lines[destination]
        line.hold(wanted.under_way)
        ids = _take(line, wanted, now)
        while len(ids) < wanted.live and len(line) < _MOST_IN_LINE:
            rows = self._standing(delivery, destination, line, now)
            line.add(rows)
            ids += _take(line, wanted, now, len(ids))
            if len(rows) < _AT_ONCE:
                break
        there = deliveries.load(delivery, ids)
        for id_ in ids:
            if id_ not in there:
                line.finish(id_)  # Somebody was erased.
        found = [there[id_] for id_ in ids if id_ in there]
        return found + self._beyond(delivery, destination, wanted, found, now) if _is_full(line) else found

    def _standing(self, delivery: Connection, destination: int, line: Line, now: int) -> list[Waiting]:
        """Give what stands in line next; from time to time what became visible later than what was made after it."""
        rows = deliveries.standing(delivery, destination, line.last, _AT_ONCE)
        if not rows and len(line) < _AT_ONCE and now >= self._looked_at.get(destination, 0) + _LOOK_AGAIN_MS:
            self._looked_at[destination] = now
            rows = deliveries.standing(delivery, destination, 0, _AT_ONCE)
        return [Waiting(*row) for row in rows]

    def _beyond(
        self, delivery: Connection, destination: int, wanted: Wanted, found: Sequence[Delivery], now: int
    ) -> list[Delivery]:
        """Claim what has no room in the line, in which too many wait for somebody."""
        beyond: list[Delivery] = []
        without = {*wanted.under_way, *(each.id for each in found)}
        for lane, most in ((LIVE, wanted.live), (BULK, wanted.bulk)):
            limit = min(most, wanted.live - len(found) - len(beyond))
            if limit > 0:
                beyond += deliveries.due(delivery, destination, lane, now=now, limit=limit, without=without)
        return beyond

    def _next_due(self, line: Line, now: int) -> int | None:
        at = line.next_due(now)
        return now + _LOOK_AGAIN_MS if at is None and _is_full(line) else at

    def _prepare(self, state: Connection, destination: DestinationRow, found: list[Delivery]) -> list[Prepared]:
        if not found:
            return []
        known = Known(self.setup.account, self.setup.sources, destination.id, exact=not is_hosted(destination))
        return prepare(state, bodies_of(state, self._store.log), known, found)

    def _secret(self, destination: DestinationRow) -> str | None:
        """Open the secret, where something is to be signed with it."""
        if destination.signature_mode == "none" or not destination.has_secret:
            return None
        with reading(self._store.account) as account:
            return destination_secret(account, self._store.secrets, destination.id)

    def _read_setup(self) -> Setup:
        with reading(self._store.account) as account:
            return Setup(
                definitions_version(account),
                read_account(account),
                {row.number: row for row in list_sources(account, deleted=True)},
                {row.number: row for row in list_destinations(account) if row.endpoint != ACCOUNT},
                frozenset(all_numbers(account).values()),
            )


def _take(line: Line, wanted: Wanted, now: int, has: int = 0) -> list[int]:
    """Take from both lanes, what is live first, where `has` are taken already."""
    found = line.take(LIVE, now, wanted.live - has)
    return found + line.take(BULK, now, min(wanted.bulk, wanted.live - has - len(found)))


def _is_full(line: Line) -> bool:
    return len(line) >= _MOST_IN_LINE


def _settled(unsent: Unsent, now: int) -> Result:
    return Result(unsent.delivery, STATUSES.index(unsent.status), now, code=unsent.code)
