"""Addresses: which messages carried an email or a phone number for whom, and what that links (`semantics.md` 3)."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.identity import EMAIL, MAX_UIDS, NOBODY, Runs, link
from richpanel.core.stamps import Stamp
from richpanel.store import history, schema
from richpanel.store.bulk import LISTED, fetch, insert, listed, run

IDENTIFIED, CARRIED, REMOVED, VISITOR_SET, VISITOR_REMOVED = range(5)
"""What a message did: an identify with a userId gave the address; a page or track call carried the email; an identify
removed the email; an identify without a userId set or removed it, for whoever the alias is."""

_MAKES: Final = frozenset({IDENTIFIED, VISITOR_SET})


class AddressRow(NamedTuple):
    """A row of `addresses`. `address` is 0 where nothing can link; `uid` is the alias's number of a visitor's identify.

    `source` is the source's id, so that rows sort by the order of messages.
    """

    address: int
    t: int
    message_id: str
    source: str
    uid: int
    kind: int


def add(connection: Connection, rows: Sequence[AddressRow]) -> None:
    """Keep which messages carried an address, or removed the email."""
    insert(connection, schema.addresses, rows, replace=True)


def remove(connection: Connection, uid: int, stamp: Stamp) -> set[int]:
    """Forget what one message of a uid, or of a visitor's alias, said of addresses; give those that it carried."""
    where = "uid = ? AND t = ? AND message_id = ? AND source = ?"
    rows = fetch(connection, f"SELECT address FROM addresses WHERE {where}", uid, *stamp)
    if rows:
        run(connection, f"DELETE FROM addresses WHERE {where}", uid, *stamp)
    return {row[0] for row in rows} - {0}


def forget(connection: Connection, identity: int, from_t: int, to_t: int) -> set[int]:
    """Forget what all messages of a uid, or of a visitor's alias, said in a span of time; give what they carried."""
    where = "uid = ? AND t >= ? AND t < ?"
    rows = fetch(connection, f"SELECT DISTINCT address FROM addresses WHERE {where}", identity, from_t, to_t)
    run(connection, f"DELETE FROM addresses WHERE {where}", identity, from_t, to_t)
    return {row[0] for row in rows} - {0}


def part(connection: Connection, address: int, times: Iterable[int]) -> None:
    """Let an address start afresh at these instants (ms UTC): nobody has it from then on until it links again."""
    add(connection, [AddressRow(address, t, "", "", NOBODY, IDENTIFIED) for t in times])


def of_uids(connection: Connection, uids: Iterable[int]) -> set[int]:
    """Give every address that was ever carried for one of these uids."""
    rows = fetch(
        connection, f"SELECT DISTINCT address FROM addresses WHERE uid IN {LISTED} AND address > 0", listed(uids)
    )
    return {row[0] for row in rows}


def runs(connection: Connection, address: int) -> Runs:
    """Give the runs of an address: its links are identifies, and page and track emails that took effect."""
    rows = fetch(
        connection,
        "SELECT t, message_id, source, uid, kind FROM addresses WHERE address = ? ORDER BY t, message_id, source",
        address,
    )
    emails: dict[int, _Emails] = {}
    found: Runs = ()
    for t, message_id, source, uid, kind in rows:
        stamp = (t, message_id, source)
        if kind == CARRIED:
            if uid not in emails:
                emails[uid] = _Emails(connection, uid)
            if not emails[uid].has_one(stamp):
                continue
        found = link(found, stamp, uid)
    return found


def first_links(connection: Connection, uid: int) -> dict[int, Stamp]:
    """Give the addresses that ever linked to a uid, each with its first link."""
    rows = fetch(
        connection,
        "SELECT address, t, message_id, source, kind FROM addresses WHERE uid = ? AND address > 0 "
        "ORDER BY t, message_id, source",
        uid,
    )
    emails: _Emails | None = None
    first: dict[int, Stamp] = {}
    for address, t, message_id, source, kind in rows:
        if kind == CARRIED:
            emails = emails or _Emails(connection, uid)
            if not emails.has_one((t, message_id, source)):
                continue
        first.setdefault(address, (t, message_id, source))
    return first


class _Emails:
    """When identifies gave a person an email, and when they removed it: those of the uid and of its aliases."""

    def __init__(self, connection: Connection, uid: int) -> None:
        rows = fetch(
            connection,
            "SELECT a.t, a.message_id, a.source, a.kind FROM addresses a LEFT JOIN identities i ON i.id = a.address "
            "WHERE a.uid = ? AND (a.kind = ? OR (a.kind = ? AND i.kind = ?))",
            *(uid, REMOVED, IDENTIFIED, EMAIL),
        )
        found = list(rows)
        for span in history.of_profile(connection, uid, MAX_UIDS):
            if span.identity != uid:
                statement = "SELECT t, message_id, source, kind FROM addresses WHERE uid = ? AND t >= ? AND t < ?"
                found += fetch(connection, statement, *span)
        found.sort()
        self._stamps: list[Stamp] = [(t, message_id, source) for t, message_id, source, _ in found]
        self._makes = [kind in _MAKES for *_, kind in found]

    def has_one(self, stamp: Stamp) -> bool:
        """Tell whether the person has an email right before `stamp`."""
        at = bisect_left(self._stamps, stamp)
        return at > 0 and self._makes[at - 1]
