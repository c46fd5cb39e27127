"""The identities that the processor remembers: their numbers and runs, by kind and value."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, EMAIL, KINDS, NOBODY, PHONE, Run, Runs, unpack
from richpanel.process.tombstones import NONE, Tombstones
from richpanel.store import addresses, identities
from richpanel.store.identities import Key
from richpanel.store.numbering import Numbers

MAX_IDENTITIES: Final = 128_000
"""How many are remembered at the most: some 50 MB."""


class Known:
    """An identity: its number, its runs, at which `Identities.age` they were read, and whether this batch brings it."""

    __slots__ = ("age", "fresh", "number", "runs")

    def __init__(self, number: int, runs: Runs, *, age: int = 0, fresh: bool = False) -> None:
        self.number = number
        self.runs = runs
        self.age = age
        self.fresh = fresh


class Identities:
    """What is remembered of identities, in two generations: what a batch asks for is in the younger.

    When that has grown to half of what may be remembered it becomes the older one, and what nobody asked for meanwhile
    is forgotten. `age` is how often others may have changed runs since; `tombstones` tell who was erased.
    """

    def __init__(self, secret: bytes, numbers: Numbers) -> None:
        """Remember nothing yet; new ones get their numbers from `numbers`."""
        self._secret = secret
        self._numbers = numbers
        self.tombstones = NONE
        self.age = 0
        self._young = _by_kind()
        self._older = _by_kind()
        self._added: list[tuple[int, Key]] = []

    def __getitem__(self, kind: int) -> dict[str, Known]:
        """Give the identities of one kind that are known, by value."""
        return self._young[kind]

    def trim(self) -> None:
        """Forget what was not asked for lately; called between batches."""
        if sum(map(len, self._young)) > MAX_IDENTITIES // 2:
            self._older, self._young = self._young, _by_kind()

    def know(self, connection: Connection, kind: int, values: set[str]) -> dict[str, Known]:
        """Make sure that these identities of one kind are known, and give all that are, by value.

        New ones are numbered; `write` stores them.
        """
        known = self._young[kind]
        missing = sorted(self._without_known(connection, kind, values))
        for number, value in enumerate(missing, self._numbers.identities(connection, len(missing))):
            known[value] = Known(number, _parted(self.tombstones, (kind, value)), age=self.age, fresh=True)
            self._added.append((number, (kind, value)))
        return known

    def introduce(self, connection: Connection, kind: int, values: set[str]) -> None:
        """Make sure that these identities of one kind are known, and stored, with this transaction, if they are new.

        Others may store the same ones at the same time: whoever comes second finds them.
        """
        missing = sorted(self._without_known(connection, kind, values))
        first = self._numbers.identities(connection, len(missing))
        made = [
            (number, (kind, value), _parted(self.tombstones, (kind, value)))
            for number, value in enumerate(missing, first)
        ]
        if not made:
            return
        identities.add(connection, self._secret, made, ignore=True)
        self._without_known(connection, kind, set(missing))
        if self.tombstones:
            _part(connection, self.tombstones, [(self._young[kind][value].number, (kind, value)) for value in missing])

    def _without_known(self, connection: Connection, kind: int, values: set[str]) -> set[str]:
        """Take up what is remembered or stored of these identities; give those that are neither."""
        known = self._young[kind]
        unknown = values - known.keys()
        if not unknown:
            return unknown
        older = self._older[kind]
        for value in unknown & older.keys():
            known[value] = older[value]
            unknown.discard(value)
        found = identities.find(connection, self._secret, kind, unknown) if unknown else {}
        for value, (number, runs) in found.items():
            known[value] = Known(number, unpack(runs), age=self.age)
        return unknown - found.keys()

    def refresh(self, connection: Connection, aliases: set[str]) -> None:
        """Read the runs of these aliases again, which are known, where others may have changed them."""
        known = self._young[ANONYMOUS]
        aged = [each for each in (known[alias] for alias in aliases) if each.age != self.age]
        runs = identities.runs_of(connection, [each.number for each in aged])
        for each in aged:
            each.runs, each.age = runs.get(each.number, ()), self.age

    def write(self, connection: Connection) -> None:
        """Store the identities that are new since the last call, with the runs that they have by now."""
        known = [(number, key, self._young[key[0]][key[1]]) for number, key in self._added]
        identities.add(connection, self._secret, [(number, key, each.runs) for number, key, each in known])
        if self._added and self.tombstones:
            _part(connection, self.tombstones, self._added)
        for _, _, each in known:
            each.fresh = False
        self._added = []

    def relink(self, alias: str, runs: Runs) -> None:
        """Follow an alias whose links were taken away, if it is remembered."""
        for known in (self._young[ANONYMOUS], self._older[ANONYMOUS]):
            if alias in known:
                known[alias].runs = runs


def _by_kind() -> tuple[dict[str, Known], ...]:
    return tuple({} for _ in KINDS)


def _parted(tombstones: Tombstones, key: Key) -> Runs:
    """Give the runs of a new identity: of an alias that somebody had who was erased, it starts afresh there."""
    parted = tombstones.parts(*key) if key[0] == ANONYMOUS else ()
    return tuple(Run((t, "", ""), NOBODY) for t in parted)


def _part(connection: Connection, tombstones: Tombstones, added: Sequence[tuple[int, Key]]) -> None:
    """Let new addresses start afresh where they were once those of somebody who was erased."""
    for number, (kind, value) in added:
        if kind in (EMAIL, PHONE):
            addresses.part(connection, number, tombstones.parts(kind, value))
