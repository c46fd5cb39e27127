"""Channel activity: whose it is, and following it when someone it names becomes known (`semantics.md` 3)."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection

from richpanel.core.channel import CHANNEL_TYPE
from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, owner
from richpanel.core.ids import email_address, phone_address
from richpanel.core.traits import read
from richpanel.process.incoming import IDENTIFY, Incoming, named
from richpanel.process.memory import Memory
from richpanel.store import addresses, channels, history, identities
from richpanel.store.account import AccountSettings
from richpanel.store.addresses import CARRIED, IDENTIFIED, REMOVED, VISITOR_REMOVED, VISITOR_SET, AddressRow
from richpanel.store.channels import ActivityRow
from richpanel.store.identities import Key


class Addresses:
    """The addresses that a batch's messages carry, written as rows that links are decided from."""

    def __init__(self, account: AccountSettings) -> None:
        self._account = account
        self.rows: list[tuple[Key | None, Incoming, int]] = []

    def note(self, message: Incoming) -> None:
        """Note what a kept message says of addresses."""
        if message.kind != IDENTIFY:
            inside = message.inside
            if inside is not None and inside.email is not None and message.uid is not None:
                self.rows.append(((EMAIL, email_address(inside.email) or ""), message, CARRIED))
            return
        raw = memoryview(message.message.traits).tobytes()
        if not raw or raw == b"null":
            return
        given = read(raw)
        email = email_address(_text(given.get("email")))
        if message.uid is None:
            if "email" in given:
                self.rows.append((None, message, VISITOR_SET if email else VISITOR_REMOVED))
            return
        if "email" in given:
            self.rows.append(((EMAIL, email) if email else None, message, IDENTIFIED if email else REMOVED))
        phone = phone_address(_text(given.get("phone")), self._account.phone_country)
        if phone is not None:
            self.rows.append(((PHONE, phone), message, IDENTIFIED))

    def write(self, connection: Connection, memory: Memory) -> set[int]:
        """Store the rows; give the numbers of the addresses whose owner they may change."""
        if not self.rows:
            return set()
        for kind in (EMAIL, PHONE):
            memory.identities.know(
                connection, kind, {key[1] for key, _, _ in self.rows if key is not None and key[0] == kind}
            )
        rows = []
        for key, message, kind in self.rows:
            number = 0 if key is None else memory.identities[key[0]][key[1]].number
            rows.append(AddressRow(number, *message.stamp, message.identity, kind))
        addresses.add(connection, rows)
        return {row.address for row in rows} - {0}


def _text(raw: str | None) -> object:
    return None if raw is None else msgspec.json.decode(raw)


class Resolver:
    """Finds whose channel activity is: the first that resolves of uid, email, phone and anonymousId."""

    def __init__(self, connection: Connection, memory: Memory, account: AccountSettings) -> None:
        self._connection = connection
        self._memory = memory
        self._account = account

    def number(self, arrived: Iterable[Incoming]) -> list[ActivityRow]:
        """Number what new channel messages name, and give each its identity."""
        rows = []
        for message in arrived:
            if message.activity is None:
                continue
            keys = named(message.activity, self._account)
            uid, email, phone, anonymous = (None if key is None else self._number(key) for key in keys)
            row = ActivityRow(message.n, uid, email, phone, anonymous, 0)
            message.identity = row.identity = self.resolve(row, message.t)
            rows.append(row)
        self._memory.identities.write(self._connection)
        return rows

    def _number(self, key: Key) -> int:
        kind, value = key
        return self._memory.identities.know(self._connection, kind, {value})[value].number

    def resolve(self, row: ActivityRow, t: int) -> int:
        """Give the identity in whose history a channel message stands."""
        if row.uid is not None:
            return row.uid
        for address in (row.email, row.phone):
            found = None if address is None else owner(addresses.runs(self._connection, address), t)
            if found is not None:
                return found
        if row.anonymous is not None and self._is_known(row.anonymous):
            return row.anonymous
        return row.email or row.phone or row.anonymous or 0  # One of them is known: see `batch._open`.

    def _is_known(self, alias: int) -> bool:
        return channels.has_segment_messages(self._connection, alias)

    def follow(self, addresses: set[int], aliases: set[int]) -> list[tuple[ActivityRow, int, int]]:
        """Find stored channel messages whose identity changed: (row as it is now, t, old identity)."""
        moved = []
        for row, t in channels.naming(self._connection, addresses, aliases):
            now = self.resolve(row, t)
            if now != row.identity:
                old, row.identity = row.identity, now
                moved.append((row, t, old))
        for row, t, old in moved:
            history.remove(self._connection, [(old, t, row.n)])
            history.add(self._connection, [(row.identity, t, row.n, CHANNEL_TYPE)])
        channels.move(self._connection, [row for row, _, _ in moved])
        return moved


def owner_of(connection: Connection, identity: int, t: int) -> int:
    """Give the profile that a message in an identity's history belongs to."""
    kind, _, runs = identities.by_number(connection, [identity])[identity]
    found = owner(runs, t) if kind == ANONYMOUS else None
    return identity if found is None else found
