"""Channel activity: whose it is, and following it when someone it names becomes known (`semantics.md` 3)."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection

from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID, Runs, link, owner
from richpanel.core.ids import clean_id, email_address, phone_address
from richpanel.core.traits import read
from richpanel.process.folding import CHANNEL, IDENTIFY
from richpanel.process.incoming import Incoming
from richpanel.process.memory import Memory
from richpanel.store import channels, history, identities
from richpanel.store.account import AccountSettings
from richpanel.store.bulk import fetch
from richpanel.store.channels import ActivityRow
from richpanel.store.identities import Key

BY_IDENTIFY, BY_EVENT, REMOVED = 0, 1, 2
"""How a message carries an address: as a trait, as a page or track call's email, or by removing the email."""


class Addresses:
    """The addresses that a batch's messages carry for uids, written as rows that links are decided from."""

    def __init__(self, account: AccountSettings) -> None:
        self._account = account
        self.rows: list[tuple[Key | None, Incoming, int]] = []

    def note(self, message: Incoming) -> None:
        """Note what a kept message with a uid says of addresses."""
        if message.kind != IDENTIFY:
            inside = message.inside
            if inside is not None and inside.email is not None:
                self.rows.append(((EMAIL, email_address(inside.email) or ""), message, BY_EVENT))
            return
        raw = memoryview(message.message.traits).tobytes()
        if not raw or raw == b"null":
            return
        given = read(raw)
        if "email" in given:
            email = email_address(_text(given["email"]))
            self.rows.append(((EMAIL, email) if email else None, message, BY_IDENTIFY if email else REMOVED))
        phone = phone_address(_text(given.get("phone")), self._account.phone_country)
        if phone is not None:
            self.rows.append(((PHONE, phone), message, BY_IDENTIFY))

    def write(self, connection: Connection, memory: Memory) -> set[int]:
        """Store the rows; give the numbers of the addresses whose owner they may change."""
        if not self.rows:
            return set()
        memory.know(connection, {key for key, _, _ in self.rows if key is not None})
        memory.write_identities(connection)
        rows = []
        for key, message, kind in self.rows:
            number = 0 if key is None else memory.identities[key].number
            rows.append((number, message.t, message.message_id, message.source.number, message.identity, kind))
        identities.add_addresses(connection, rows)
        return {row[0] for row in rows} - {0}


def _text(raw: str | None) -> object:
    return None if raw is None else msgspec.json.decode(raw)


def address_runs(connection: Connection, address: int, sources: dict[int, str]) -> Runs:
    """Give the runs of an address: its links are identifies, and page and track emails that took effect."""
    rows = identities.address_rows(connection, address)
    effects: dict[int, list[tuple[tuple[int, str, str], bool]]] = {}
    runs: Runs = ()
    for t, message_id, source, uid, kind in rows:
        stamp = (t, message_id, sources.get(source, ""))
        if kind == BY_EVENT:
            if uid not in effects:
                effects[uid] = _email_effects(connection, uid, sources)
            had = [sets for at, sets in effects[uid] if at <= stamp]
            if not had or not had[-1]:
                continue
        runs = link(runs, stamp, uid)
    return runs


def _email_effects(
    connection: Connection, uid: int, sources: dict[int, str]
) -> list[tuple[tuple[int, str, str], bool]]:
    """Give when identifies set (True) or removed (False) a uid's email."""
    emails = fetch(
        connection,
        "SELECT a.t, a.message_id, a.source, a.kind FROM addresses a LEFT JOIN identities i ON i.id = a.address "
        "WHERE a.uid = ? AND (a.kind = 2 OR (a.kind = 0 AND i.kind = ?))",
        uid,
        EMAIL,
    )
    return sorted(
        ((t, message_id, sources.get(source, "")), kind == BY_IDENTIFY) for t, message_id, source, kind in emails
    )


class Resolver:
    """Finds whose channel activity is: the first that resolves of uid, email, phone and anonymousId."""

    def __init__(
        self, connection: Connection, memory: Memory, account: AccountSettings, sources: dict[int, str]
    ) -> None:
        self._connection = connection
        self._memory = memory
        self._account = account
        self._sources = sources

    def number(self, arrived: Iterable[Incoming]) -> list[ActivityRow]:
        """Number what new channel messages name, and give each its identity."""
        rows = []
        for message in arrived:
            if message.activity is None:
                continue
            sender = message.activity.sender
            keys: list[Key | None] = [
                _key(UID, clean_id(sender.uid, self._account.blocked_ids)),
                _key(EMAIL, email_address(sender.email)),
                _key(PHONE, phone_address(sender.phone, self._account.phone_country)),
                _key(ANONYMOUS, clean_id(sender.anonymousId, self._account.blocked_ids)),
            ]
            self._memory.know(self._connection, [key for key in keys if key is not None])
            uid, email, phone, anonymous = (
                None if key is None else self._memory.identities[key].number for key in keys
            )
            row = ActivityRow(message.n, uid, email, phone, anonymous, 0)
            message.identity = row.identity = self.resolve(row, message.t)
            rows.append(row)
        self._memory.write_identities(self._connection)
        return rows

    def resolve(self, row: ActivityRow, t: int) -> int:
        """Give the identity in whose history a channel message stands."""
        if row.uid is not None:
            return row.uid
        for address in (row.email, row.phone):
            found = None if address is None else owner(address_runs(self._connection, address, self._sources), t)
            if found is not None:
                return found
        if row.anonymous is not None and self._is_known(row.anonymous):
            return row.anonymous
        return row.email or row.phone or row.anonymous or 0

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
            history.add(self._connection, [(row.identity, t, row.n, CHANNEL)])
        channels.move(self._connection, [row for row, _, _ in moved])
        return moved


def _key(kind: int, value: str | None) -> Key | None:
    return None if value is None else (kind, value)


def owner_of(connection: Connection, identity: int, t: int) -> int:
    """Give the profile that a message in an identity's history belongs to."""
    kind, _, runs = identities.by_number(connection, [identity])[identity]
    found = owner(runs, t) if kind == ANONYMOUS else None
    return identity if found is None else found
