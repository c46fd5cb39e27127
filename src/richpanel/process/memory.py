"""What the processor remembers between batches: look-ups that would otherwise be queries.

Everything here can be read again from the state; after a failed transaction it is thrown away whole.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from richpanel.core.profile import Profile
from richpanel.process.earlier import EarlierDecisions
from richpanel.process.growing import Growths
from richpanel.process.known import Identities
from richpanel.store import manual_rows, names, progress, suppressed
from richpanel.store import profile_rows as profiles
from richpanel.store.numbering import Counting, Taking
from richpanel.store.parts import open_ids

MAX_PROFILES: Final = 16_000
MAX_NAMES: Final = 50_000
"""How many are remembered at the most: some 30 MB for profiles."""


class Memory:
    """The processor's memory of the state, as of its last transaction.

    Profiles are remembered in two generations: what a batch asks for is in the younger; when that has grown to half of
    what may be remembered it becomes the older one, and what nobody asked for meanwhile is forgotten. `growing` has the
    pieces that are not stored yet, by identity. `earlier` is set while a state is made anew: what was decided stays.
    """

    def __init__(self, connection: Connection, secret: bytes, *, shared: bool = False) -> None:
        """Remember nothing yet. `shared`: others write the state, too."""
        self.secret = secret
        self.shared = shared
        self.earlier: EarlierDecisions | None = None
        self.message_ids = open_ids(connection)
        self._numbers = Taking() if shared else Counting(connection)
        self.identities = Identities(secret, self._numbers)
        self.look_up(connection)
        self.profiles: dict[int, Profile] = {}
        self.growing: dict[int, Growths] = {}
        self._older_profiles: dict[int, Profile] = {}
        self._names: dict[str, int] = {}

    def renewed(self, connection: Connection) -> "Memory":
        """Give a memory that has only what stays true while others write the state, too.

        Pieces that grow stay: a message is folded by one writer alone, and looked for before a piece is stored.
        """
        fresh = Memory(connection, self.secret, shared=True)
        fresh._names, fresh.growing = self._names, self.growing
        return fresh

    def outdate(self) -> None:
        """Forget as `renewed` does, but keep the numbers of identities; who uses their runs has to refresh them."""
        self.identities.age += 1
        self.profiles, self._older_profiles = {}, {}

    def look_up(self, connection: Connection) -> None:
        """Look up what concerns everybody: who is kept out, and whether anybody links by hand."""
        self.any_manual = manual_rows.any_at_all(connection)
        self.suppressed = suppressed.load(connection)

    def trim(self) -> None:
        """Forget what was not asked for lately; called between batches."""
        self.identities.trim()
        if len(self.profiles) > MAX_PROFILES // 2:
            self._older_profiles, self.profiles = self.profiles, {}
        if len(self._names) > MAX_NAMES:
            self._names = {}

    def number_messages(self, connection: Connection, count: int) -> int:
        """Take numbers for so many messages; give the first of them. All that are stored already have lower ones."""
        return self._numbers.messages(connection, count)

    def advance(self, connection: Connection, position: int, received_at: int) -> None:
        """Note that all before `position` is applied; of several who apply, each notes what it has (`shared.py`)."""
        if isinstance(self._numbers, Counting):
            progress.advance(connection, position, self._numbers.last_message, received_at)
            self.message_ids.seal(connection, self._numbers.last_message)

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
