"""What the processor remembers between batches: look-ups that would otherwise be queries.

Everything here can be read again from the state; after a failed transaction it is thrown away whole.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, EMAIL, KINDS, NOBODY, PHONE, Run, Runs, unpack
from richpanel.core.profile import Profile
from richpanel.process.earlier import EarlierDecisions
from richpanel.process.growing import Growths
from richpanel.process.tombstones import NONE
from richpanel.store import addresses, identities, manual_rows, names, progress, suppressed
from richpanel.store import profile_rows as profiles
from richpanel.store.identities import Key
from richpanel.store.numbering import Counting, Taking
from richpanel.store.parts import open_ids

MAX_IDENTITIES: Final = 128_000
MAX_PROFILES: Final = 16_000
MAX_NAMES: Final = 50_000
"""How many are remembered at the most: some 50 MB for identities, 30 MB for profiles."""


class Known:
    """An identity: its number, its runs, and whether this batch is the first to see it."""

    __slots__ = ("fresh", "number", "runs")

    def __init__(self, number: int, runs: Runs, *, fresh: bool = False) -> None:
        self.number = number
        self.runs = runs
        self.fresh = fresh


class Memory:
    """The processor's memory of the state, as of its last transaction.

    Identities and profiles are remembered in two generations: what a batch asks for is in the younger, of identities by
    kind; when that has grown to half of what may be remembered it becomes the older one, and what nobody asked for
    meanwhile is forgotten. `growing` has the pieces that are not stored yet, by identity. `earlier` is set while a
    state is made anew: what was decided stays.
    """

    def __init__(self, connection: Connection, secret: bytes, *, shares: int = 1, shared: bool = False) -> None:
        """Remember nothing yet. `shared`: others write the state, too.

        `shares`: this is one of so many memories of the same writer, which remember so much together.
        """
        self.secret = secret
        self.shared = shared
        self._shares = shares
        self.earlier: EarlierDecisions | None = None
        self.message_ids = open_ids(connection)
        self._numbers = Taking() if shared else Counting(connection)
        self.tombstones = NONE
        self.look_up(connection)
        self.identities: tuple[dict[str, Known], ...] = _by_kind()
        self.profiles: dict[int, Profile] = {}
        self.growing: dict[int, Growths] = {}
        self._older_identities = _by_kind()
        self._older_profiles: dict[int, Profile] = {}
        self._names: dict[str, int] = {}
        self._added: list[tuple[int, Key]] = []

    def renewed(self, connection: Connection) -> "Memory":
        """Give a memory that has only what stays true while others write the state, too.

        Pieces that grow stay: a message is folded by one writer alone, and looked for before a piece is stored.
        """
        fresh = Memory(connection, self.secret, shares=self._shares, shared=True)
        fresh._names, fresh.growing = self._names, self.growing
        return fresh

    def look_up(self, connection: Connection) -> None:
        """Look up what concerns everybody: who is kept out, and whether anybody links by hand."""
        self.any_manual = manual_rows.any_at_all(connection)
        self.suppressed = suppressed.load(connection)

    def trim(self) -> None:
        """Forget what was not asked for lately; called between batches."""
        if sum(map(len, self.identities)) > MAX_IDENTITIES // 2 // self._shares:
            self._older_identities, self.identities = self.identities, _by_kind()
        if len(self.profiles) > MAX_PROFILES // 2 // self._shares:
            self._older_profiles, self.profiles = self.profiles, {}
        if len(self._names) > MAX_NAMES // self._shares:
            self._names = {}

    def know(self, connection: Connection, kind: int, values: set[str]) -> dict[str, Known]:
        """Make sure that these identities of one kind are known, and give all that are, by value.

        New ones are numbered; `write_identities` stores them.
        """
        known = self.identities[kind]
        unknown = values - known.keys()
        if not unknown:
            return known
        older = self._older_identities[kind]
        for value in unknown & older.keys():
            known[value] = older[value]
            unknown.discard(value)
        found = identities.find(connection, self.secret, kind, unknown) if unknown else {}
        for value, (number, runs) in found.items():
            known[value] = Known(number, unpack(runs))
        missing = sorted(unknown - found.keys())
        for number, value in enumerate(missing, self._numbers.identities(connection, len(missing))):
            parted = self.tombstones.parts(kind, value) if kind == ANONYMOUS else ()
            afresh = tuple(Run((t, "", ""), NOBODY) for t in parted)
            known[value] = Known(number, afresh, fresh=True)
            self._added.append((number, (kind, value)))
        return known

    def number_messages(self, connection: Connection, count: int) -> int:
        """Take numbers for so many messages; give the first of them. All that are stored already have lower ones."""
        return self._numbers.messages(connection, count)

    def advance(self, connection: Connection, position: int, received_at: int) -> None:
        """Note that all before `position` is applied; of several who apply, each notes what it has (`shared.py`)."""
        if isinstance(self._numbers, Counting):
            progress.advance(connection, position, self._numbers.last_message, received_at)
            self.message_ids.seal(connection, self._numbers.last_message)

    def learn(self, found: Mapping[Key, tuple[int, Runs]]) -> None:
        """Take up identities, by kind and value, as they stand just now."""
        for (kind, value), (number, runs) in found.items():
            known = self.identities[kind]
            if value in known:
                known[value].runs = runs
            else:
                known[value] = Known(number, runs)

    def write_identities(self, connection: Connection) -> None:
        """Store the identities that are new since the last call, with the runs that they have by now."""
        known = [(number, key, self.identities[key[0]][key[1]]) for number, key in self._added]
        identities.add(connection, self.secret, [(number, key, each.runs) for number, key, each in known])
        if self._added and self.tombstones:
            self._part(connection)
        for _, _, each in known:
            each.fresh = False
        self._added = []

    def _part(self, connection: Connection) -> None:
        """Let new addresses start afresh where they were once those of somebody who was erased."""
        for number, (kind, value) in self._added:
            if kind in (EMAIL, PHONE):
                addresses.part(connection, number, self.tombstones.parts(kind, value))

    def relink(self, alias: str, runs: Runs) -> None:
        """Follow an alias whose links were taken away, if it is remembered."""
        for known in (self.identities[ANONYMOUS], self._older_identities[ANONYMOUS]):
            if alias in known:
                known[alias].runs = runs

    def name(self, connection: Connection, values: Iterable[str], *, longest: int = names.MAX_NAME) -> dict[str, int]:
        """Give the numbers of names, adding those that are new; what is longer is cut."""
        wanted = set(values)
        missing = wanted - self._names.keys()
        if missing:
            self._names.update(names.ensure(connection, missing, longest))
        return {value: self._names[value] for value in wanted}

    def load_profiles(self, connection: Connection, numbers: Iterable[int]) -> None:
        """Make sure that the profiles that exist among `numbers` are in `profiles`."""
        missing = [number for number in numbers if number not in self.profiles]
        if not missing:
            return
        older = self._older_profiles
        self.profiles.update({number: older[number] for number in missing if number in older})
        missing = [number for number in missing if number not in older]
        if missing:
            self.profiles.update(profiles.load(connection, missing))

    def forget_profile(self, number: int) -> None:
        """Forget a profile that is no more, or is folded afresh."""
        self.profiles.pop(number, None)
        self._older_profiles.pop(number, None)


def _by_kind() -> tuple[dict[str, Known], ...]:
    return tuple({} for _ in KINDS)
