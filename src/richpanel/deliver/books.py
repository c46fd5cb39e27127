"""Books: what is to be sent, and what came of it, in the databases. Called on one thread, a turn at a time.

A turn is one transaction on the deliveries: it records what came of what was sent, takes over what the outbox has, and
claims what may be sent now, said with the values of now. Nothing is sent before its turn is committed, so a person's
next call goes out only once it is on record what became of the one before. Who is next is known from a line in memory;
it is no more than what the deliveries say, and is made anew from them at the start and after everything that fails.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, Engine

from richpanel.core.codes import Code
from richpanel.core.retrying import STATUSES
from richpanel.deliver.claiming import Claims, Wanted
from richpanel.deliver.payloads import Known, Payload, Prepared, Strayed, Unsent, prepare
from richpanel.deliver.sending import host_of
from richpanel.store import deliveries, delivery_requests, delivery_retention, tries
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.bodies import Slice, bodies_of
from richpanel.store.computations import all_computations
from richpanel.store.database import reading
from richpanel.store.definitions import definitions_version
from richpanel.store.deliveries import Delivery, Result
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

    `destinations` are those outside, by number; `ever` has the numbers of all that there ever were. `computations` are
    the audiences and computed traits, by id.
    """

    version: int
    account: AccountSettings
    sources: dict[int, SourceRow]
    destinations: dict[int, DestinationRow]
    ever: frozenset[int]
    computations: Mapping[str, int]


def is_hosted(destination: DestinationRow) -> bool:
    """Tell whether a destination is Richpanel's own API."""
    return host_of(destination.endpoint) == HOSTED


class Books:
    """Keeps the books of all destinations that are served here."""

    def __init__(self, store: Store) -> None:
        """Nothing is opened yet."""
        self._store = store
        self._numbered: dict[int, str] = {}  # By which state what waits for a destination is numbered.
        self._claims: dict[int, Claims] = {}
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
        self._claims.pop(destination, None)
        with self._store.delivery.begin() as delivery:
            return tries.was_served(delivery, destination)

    def turn(self, destination: DestinationRow, results: Sequence[Result], wanted: Wanted) -> Turn:
        """Record, take over and claim, for one destination."""
        try:
            return self._turn(destination, results, wanted)
        except BaseException:
            self._claims.pop(destination.number, None)  # What it has learned may not be on record.
            raise

    def _turn(self, destination: DestinationRow, results: Sequence[Result], wanted: Wanted) -> Turn:
        now, number = self._store.now(), destination.number
        claims = self._claims.setdefault(number, Claims(number))
        with self._store.delivery.begin() as delivery, reading(self._store.state) as state:
            claims.record(delivery, results)
            numbered = self._renumber(delivery, state, number, now)
            if numbered is None:  # What waits is said by its numbers: the state's mark moves, and then it is looked at.
                return Turn([], {}, None, False, None)
            delivery_requests.grant(delivery, wanted.asked, now)
            if wanted.asked or numbered != self._numbered.get(number):
                claims = self._claims[number] = Claims(number)  # What stood there may be another's, or wait anew.
            taken = deliveries.take_over(delivery, state, number, now=now, limit=_AT_ONCE)
            found = claims.due(delivery, wanted, now)
            prepared = self._prepare(state, destination, found)
            unsent = [each for each in prepared if isinstance(each, Unsent)]
            claims.record(delivery, [_settled(each, now) for each in unsent])
            strayed = any(isinstance(each, Strayed) for each in prepared)
            if strayed:
                deliveries.renumber(delivery, state, number, now=now)
                self._claims.pop(number)
            claimed = [each for each in prepared if isinstance(each, Payload)]
            first = tries.first_tries(delivery, [each.delivery.id for each in claimed if each.delivery.attempts])
        self._numbered[number] = numbered
        self._forget(wanted.asked)
        more = taken == _AT_ONCE or bool(unsent) or strayed
        return Turn(claimed, first, self._secret(destination), more, claims.next_due(now))

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

    def _prepare(self, state: Connection, destination: DestinationRow, found: list[Delivery]) -> list[Prepared]:
        if not found:
            return []
        known = Known(
            self.setup.account,
            self.setup.sources,
            destination.id,
            exact=not is_hosted(destination),
            computations=self.setup.computations,
        )
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
                all_computations(account),
            )


def _settled(unsent: Unsent, now: int) -> Result:
    return Result(unsent.delivery, STATUSES.index(unsent.status), now, code=unsent.code)
