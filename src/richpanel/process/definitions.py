"""Definitions: what the account has set up, as far as processing needs it, read again when it changed."""

from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Engine

from richpanel.core.filters import Filter, Filters
from richpanel.process.computing import Plans
from richpanel.process.tombstones import Tombstones
from richpanel.store import ledger
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.computations import ENGAGE, ComputationRow, ended, keys_in_use, list_computations
from richpanel.store.connectors import list_connectors
from richpanel.store.database import Changes
from richpanel.store.definitions import definitions_version
from richpanel.store.destinations import DestinationRow, list_destinations, outside
from richpanel.store.plans import PlanRow
from richpanel.store.sources import SourceRow, list_sources
from richpanel.store.vacuum import cut_wal, vacuum

T = TypeVar("T")


class Route(msgspec.Struct, frozen=True):
    """One enabled destination of a source. `connector` is the number of the account's connector with its API Key.

    `key_ends_at` is until when (ms UTC) messages have to be received for this key, one of before a rotation, to do.
    `filters` are the destination's, compiled; None where it has none that are enabled.
    """

    destination: str
    endpoint: str
    connector: int | None
    filters: Filters | None = None
    key_ends_at: int | None = None


class Definitions(msgspec.Struct):
    """The account's settings, its sources by id, each source's routes, and what was erased.

    `outside` numbers the destinations that are not the built-in account, also those that are off or deleted by now.
    `computations` are the audiences and computed traits.
    """

    version: int
    account: AccountSettings
    sources: dict[str, SourceRow]
    routes: dict[str, list[Route]]
    tombstones: Tombstones
    outside: dict[str, int]
    computations: list[ComputationRow] = []
    in_use: dict[str, tuple[int, int | None]] = {}
    """Their keys, each with when it was made, and deleted, ms UTC."""
    ready: Plans = msgspec.field(default_factory=Plans)
    """Their plans, made ready."""

    @property
    def computes(self) -> bool:
        """Tell whether there is any audience or computed trait, or was one of which people keep something."""
        return bool(self.ready or self.ready.ended)

    @property
    def plans(self) -> dict[int, PlanRow]:
        """The plans that are computed, live or before they are, by number."""
        found = [plan for row in self.computations for plan in (row.live, row.next) if plan is not None]
        return {plan.number: plan for plan in found if plan.status in ("live", "computing")}

    def in_use_at(self, received: int) -> Collection[str]:
        """Give the traits that no source could set in a message received then, ms UTC: those of audiences (0025).

        When a message came does not change: whoever folds it again leaves out the same.
        """
        if not self.in_use:
            return ()
        return [
            key for key, (start, end) in self.in_use.items() if start <= received and (end is None or received < end)
        ]

    @property
    def engage(self) -> SourceRow | None:
        """The source that tells of them; None before the first."""
        return next((row for row in self.sources.values() if row.type == ENGAGE), None)


def read(connection: Connection) -> Definitions:
    """Read the definitions in force. Deleted sources are among them: the log still holds their records."""
    version = definitions_version(connection)
    keys: dict[str, tuple[int | None, int | None]] = {}
    for connector in list_connectors(connection):
        keys[connector.api_key] = (connector.number, None)
        keys.update({old.api_key: (connector.number, old.ends_at) for old in connector.retired})
    routes: dict[str, list[Route]] = {}
    for row in list_destinations(connection):
        if row.enabled:
            number, ends_at = keys.get(row.api_key, (None, None))
            route = Route(row.id, row.endpoint, number, _compiled(row), ends_at)
            for source in row.sources:
                routes.setdefault(source, []).append(route)
    sources = {row.id: row for row in list_sources(connection, deleted=True)}
    account = read_account(connection)
    tombstones = Tombstones(account.hash_key, *ledger.all_tombstones(connection))
    computations = list_computations(connection)
    return Definitions(
        version,
        account,
        sources,
        routes,
        tombstones,
        outside(connection),
        computations,
        keys_in_use(connection),
        Plans(computations, ended(connection)),
    )


def _compiled(row: DestinationRow) -> Filters | None:
    """Compile a destination's filters, once for each version of the definitions."""
    return Filters(msgspec.convert(row.filters, list[Filter])) or None


class Watch:
    """The definitions, read again only when their version has moved on; and the ledger, which is kept with them."""

    def __init__(self, engine: Engine, writing: Engine | None = None) -> None:
        """Read by `engine`, which needs no right to write; into the ledger write by the other, where there is one."""
        self._engine = engine
        self._writing = writing or engine
        self._changes = Changes(engine) if writing is not None and writing is not engine else None
        self._known: Definitions | None = None
        self._is_read = False

    def current(self) -> Definitions:
        """Give the definitions in force."""
        if self._changes is None or self._changes.any():  # By what only reads all is noticed.
            self._is_read = False
        if self._known is None or not self._is_read:
            with self._engine.connect() as connection:
                if self._known is None or definitions_version(connection) != self._known.version:
                    self._known = read(connection)
            self._is_read = True
        return self._known

    def erased_among(self, hashes: list[int]) -> set[int]:
        """Tell which hashes of (source, messageId) are of messages that were erased."""
        with self._engine.connect() as connection:
            return ledger.erased_among(connection, hashes)

    def look_up(self, query: Callable[[Connection], T]) -> T:
        """Ask the ledger."""
        with self._engine.connect() as connection:
            return query(connection)

    def scrub(self) -> bool:
        """Let go of what stands in the definitions' files and is not in force; False where somebody is in the way."""
        if self._writing.dialect.name == "postgresql":
            vacuum(self._writing)
            return True
        return cut_wal(self._writing)

    def write(self, change: Callable[[Connection], None]) -> None:
        """Write into the ledger, for good."""
        with self._writing.begin() as connection:
            change(connection)
