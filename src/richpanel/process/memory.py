"""What the processor remembers between batches: look-ups that would otherwise be queries.

Everything here can be read again from the state; after a failed transaction it is thrown away whole.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

from sqlalchemy import Connection

from richpanel.core.identity import Runs, unpack
from richpanel.core.profile import Profile
from richpanel.store import identities, names
from richpanel.store import profile_rows as profiles
from richpanel.store.identities import Key
from richpanel.store.parts import MessageIds

MAX_IDENTITIES: Final = 250_000
MAX_PROFILES: Final = 16_000
MAX_NAMES: Final = 50_000
"""How many are remembered at the most: some 80 MB for identities, 40 MB for profiles."""

K = TypeVar("K")


def _halve(remembered: dict[K, Any], limit: int) -> None:
    if len(remembered) > limit:
        for key in list(remembered)[: len(remembered) // 2]:
            del remembered[key]


class Known:
    """An identity: its number, its runs, and whether this batch is the first to see it."""

    __slots__ = ("fresh", "number", "runs")

    def __init__(self, number: int, runs: Runs, *, fresh: bool = False) -> None:
        self.number = number
        self.runs = runs
        self.fresh = fresh


class Memory:
    """The processor's memory of the state, as of its last transaction."""

    def __init__(self, connection: Connection, secret: bytes) -> None:
        self.secret = secret
        self.message_ids = MessageIds(connection)
        self.last_message = names.last_message(connection)
        self.last_identity = identities.last_number(connection)
        self.identities: dict[Key, Known] = {}
        self.names: dict[str, int] = {}
        self.profiles: dict[int, Profile] = {}
        self.added: list[tuple[int, Key]] = []

    def trim(self) -> None:
        """Forget the oldest half of what has grown too large; called between batches."""
        _halve(self.identities, MAX_IDENTITIES)
        _halve(self.profiles, MAX_PROFILES)
        _halve(self.names, MAX_NAMES)

    def know(self, connection: Connection, keys: Iterable[Key]) -> None:
        """Make sure that every key is known, numbering those that are new; `write_identities` stores them."""
        unknown = {key for key in keys if key not in self.identities}
        if not unknown:
            return
        for key, (number, runs) in identities.find(connection, self.secret, unknown).items():
            if key in unknown:
                self.identities[key] = Known(number, unpack(runs))
        for key in unknown:
            if key not in self.identities:
                self.last_identity += 1
                self.identities[key] = Known(self.last_identity, (), fresh=True)
                self.added.append((self.last_identity, key))

    def write_identities(self, connection: Connection) -> None:
        """Store the identities that are new since the last call."""
        identities.add(connection, self.secret, self.added)
        for _, key in self.added:
            self.identities[key].fresh = False
        self.added = []

    def name(self, connection: Connection, values: Iterable[str]) -> dict[str, int]:
        """Give the numbers of names, adding those that are new."""
        wanted = set(values)
        missing = wanted - self.names.keys()
        if missing:
            self.names.update(names.ensure(connection, missing))
        return {value: self.names[value] for value in wanted}

    def load_profiles(self, connection: Connection, numbers: Iterable[int]) -> None:
        """Make sure that the profiles that exist among `numbers` are in memory."""
        missing = [number for number in numbers if number not in self.profiles]
        if missing:
            self.profiles.update(profiles.load(connection, missing))
