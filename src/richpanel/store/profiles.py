"""Profiles: lists, search, and one person with everything that is known (contract.md, "REST API")."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core import identity
from richpanel.core.figures import figures, view
from richpanel.core.identity import ANONYMOUS, EMAIL, KINDS, PHONE, UID
from richpanel.core.ids import email_address, phone_address
from richpanel.core.money import text
from richpanel.core.profile import Profile, unpack
from richpanel.core.stamps import Stamp
from richpanel.core.timestamps import iso
from richpanel.store import addresses, identities, order_rows, search
from richpanel.store.account import AccountSettings
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.paging import BadCursor, Page, read_cursor, write_cursor
from richpanel.store.person import CustomerDetail, Identity, ProfileView, fields, last_order_fields

__all__ = [
    "CustomerDetail",
    "Moved",
    "Person",
    "ProfileView",
    "count_profiles",
    "find_customer",
    "find_visitor",
    "identify_customer",
    "identify_visitor",
    "list_by_number",
    "list_profiles",
    "mark_of",
    "read_sort",
]

CUSTOMER_SORTS: Final = {"lastSeen": "last_seen", "createdAt": "created_at", "name": "name", "ltv": "ltv"}
VISITOR_SORTS: Final = ("lastSeen", "createdAt", "ltv")
"""By `ltv` are listed those who have one; a name that an index has is a customer's."""
DEFAULT_SORT: Final = "-lastSeen"
MAX_ORDER_IDS: Final = 100
_ROW: Final = "p.id, i.kind, i.value, p.state"
_KNOWN: Final = (
    "SELECT i.kind, i.value, i.id, i.runs, p.state FROM identities i LEFT JOIN profiles p ON p.id = i.id "
    "WHERE i.hash = ?"
)


class Person(NamedTuple):
    """Who somebody is: their number, the id by which they were found, and their profile."""

    number: int
    key: identities.Key
    profile: Profile


class Moved(msgspec.Struct):
    """This person is known under another uid now, as a customer or still as a visitor: the answer is 308."""

    uid: str
    customer: bool = True


def read_sort(given: str | None, *, customers: bool = True) -> tuple[str, bool]:
    """Read a sort of customers or of visitors: the column, and whether it goes down. Raises ValueError."""
    wanted = given or DEFAULT_SORT
    names = tuple(CUSTOMER_SORTS) if customers else VISITOR_SORTS
    if wanted.removeprefix("-") not in names:
        allowed = ", ".join(f"{name}, -{name}" for name in names)
        raise ValueError(f"sort must be one of {allowed}")
    return CUSTOMER_SORTS[wanted.removeprefix("-")], wanted.startswith("-")


def ordered(column: str, *, customers: bool) -> tuple[str, list[str]]:
    """Give the table that is read in the order of a column, with its index, and what holds of those who are listed.

    Without statistics SQLite takes any index that begins with `customer`, and sorts everybody.
    """
    also = {"name": ["p.name IS NOT NULL"]} if customers else {"ltv": ["p.ltv <> 0"]}
    index = f"profiles_{column}" if customers or column == "last_seen" else f"visitors_{column}"
    return f"profiles p INDEXED BY {index}", [f"p.customer = {int(customers)}", *also.get(column, [])]


def named(connection: Connection, account: AccountSettings, q: str, *, customers: bool) -> tuple[str, list[Any]]:
    """Give the query for the numbers of customers that match a search, or of visitors with this id, and its parameters.

    The search has customers alone (`semantics.md` 3).
    """
    return search.matching(connection, q) if customers else _visitors_called(account, q)


def list_profiles(
    connection: Connection,
    account: AccountSettings,
    *,
    customers: bool,
    q: str | None,
    sort: str | None,
    cursor: str | None,
    limit: int,
) -> Page[ProfileView]:
    """List customers or visitors, or those that match `q` (words or their beginnings, in any of the indexed fields)."""
    column, down = read_sort(sort, customers=customers)
    at = read_cursor(cursor, str, str | int | None, int)
    if at is not None and at[0] != column:
        raise BadCursor("this cursor was given for another sort")
    people, where = ordered(column, customers=customers)
    parameters = list[Any]()
    if q and q.strip():
        found, parameters = named(connection, account, q.strip(), customers=customers)
        people = f"({found}) f CROSS JOIN profiles p ON p.id = f.id"
    if at is not None:
        where.append(f"(p.{column}, p.id) {'<' if down else '>'} (?, ?)")
        parameters = [*parameters, *at[1:]]
    order = "DESC" if down else "ASC"
    listed_if = " AND ".join(where)
    shown = f"SELECT p.id, p.{column} AS at FROM {people} WHERE {listed_if} ORDER BY at {order}, p.id {order} LIMIT ?"
    rows = fetch(
        connection,
        # First who is shown, then what is shown of them: a profile is 1 KB.
        f"SELECT {_ROW}, s.at FROM ({shown}) s CROSS JOIN profiles p ON p.id = s.id "
        f"CROSS JOIN identities i ON i.id = s.id ORDER BY s.at {order}, s.id {order}",
        *parameters,
        limit + 1,
    )
    views = [ProfileView(**fields(n, kind, value, unpack(state), account)) for n, kind, value, state, _ in rows[:limit]]
    more = write_cursor(column, rows[limit - 1][4], rows[limit - 1][0]) if len(rows) > limit else None
    return Page(views, more)


def list_by_number(connection: Connection, account: AccountSettings, numbers: Iterable[int]) -> list[ProfileView]:
    """List the people with these numbers, in their order; who is not there is left out."""
    wanted = list(numbers)
    rows = fetch(
        connection,
        f"SELECT {_ROW} FROM profiles p CROSS JOIN identities i ON i.id = p.id WHERE p.id IN {LISTED}",
        listed(wanted),
    )
    found = {n: ProfileView(**fields(n, kind, value, unpack(state), account)) for n, kind, value, state in rows}
    return [found[number] for number in wanted if number in found]


def _visitors_called(account: AccountSettings, q: str) -> tuple[str, list[Any]]:
    """Give the query for the visitors whose id is exactly `q`, and its parameters."""
    hashes = listed(identities.hash_key(account.hash_key, (kind, q)) for kind in (UID, ANONYMOUS))
    return f"SELECT id FROM identities WHERE hash IN {LISTED} AND value = ?", [hashes, q]


def count_profiles(connection: Connection, customers: bool) -> int:
    """Count customers or visitors."""
    rows = fetch(connection, "SELECT count(*) FROM profiles WHERE customer = ?", int(customers))
    return int(rows[0][0])


def find_customer(connection: Connection, account: AccountSettings, uid: str) -> CustomerDetail | Moved | None:
    """Find a customer as `identify_customer` does, with all that is known of them."""
    return _detailed(connection, account, identify_customer(connection, account, uid))


def find_visitor(connection: Connection, account: AccountSettings, visitor_id: str) -> CustomerDetail | Moved | None:
    """Find a visitor as `identify_visitor` does, with all that is known of them."""
    return _detailed(connection, account, identify_visitor(connection, account, visitor_id))


def identify_customer(connection: Connection, account: AccountSettings, uid: str) -> Person | Moved | None:
    """Find a customer by uid, or by the address or id of a provisional one; Moved where that is linked now."""
    for kind, value in _named_by(account, uid):
        if value is not None:
            found = _find(connection, account, (kind, value), customer=True)
            if found is not None:
                return found
    return None


def _named_by(account: AccountSettings, uid: str) -> Iterator[tuple[int, str | None]]:
    """Give what a customer's id may be, one after the other: most are found by the first, and reading a phone costs."""
    yield UID, uid
    yield EMAIL, email_address(uid)
    yield PHONE, phone_address(uid, account.phone_country)
    yield ANONYMOUS, uid


def identify_visitor(connection: Connection, account: AccountSettings, visitor_id: str) -> Person | Moved | None:
    """Find a visitor by anonymousId, or by the uid of someone never identified; Moved where it is a customer now."""
    for kind in (ANONYMOUS, UID):
        found = _find(connection, account, (kind, visitor_id), customer=False)
        if found is not None:
            return found
    return None


def _find(
    connection: Connection, account: AccountSettings, key: identities.Key, *, customer: bool
) -> Person | Moved | None:
    rows = fetch(connection, _KNOWN, identities.hash_key(account.hash_key, key))
    known = next((row for row in rows if (row[0], row[1]) == key), None)
    if known is None:
        return None
    _, _, number, runs, state = known
    if state is not None:
        profile = unpack(state)
        if (profile.customer is not None) == customer:
            return Person(number, key, profile)
        return Moved(key[1]) if profile.customer is not None else None
    owner = identity.owner(identity.unpack(runs), 1 << 62)
    if owner is None and key[0] in (EMAIL, PHONE):
        owner = _address_owner(connection, number)
    return None if owner is None else _moved_to(connection, owner)


def _address_owner(connection: Connection, address: int) -> int | None:
    return identity.owner(addresses.runs(connection, address), 1 << 62)


def _moved_to(connection: Connection, owner: int) -> Moved | None:
    rows = fetch(
        connection, "SELECT i.value, p.customer FROM identities i JOIN profiles p ON p.id = i.id WHERE i.id = ?", owner
    )
    return Moved(rows[0][0], customer=bool(rows[0][1])) if rows else None


def _detailed(
    connection: Connection, account: AccountSettings, found: Person | Moved | None
) -> CustomerDetail | Moved | None:
    if not isinstance(found, Person):
        return found
    number, key, profile = found
    detail: dict[str, Any] = fields(number, *key, profile, account)
    newest = order_rows.of_owner(connection, number, limit=MAX_ORDER_IDS)
    last = view(newest[0].state, account.currency, account.void_statuses) if newest else None
    return CustomerDetail(
        **detail,
        identities=_identities(connection, number, key),
        ltv_by_currency={code: text(figure.total) for code, figure in sorted(profile.currencies.items())},
        order_ids=[order.key[1] for order in newest],
        first_order_at=_first_order_at(connection, number),
        **last_order_fields(figures([last] if last is not None else [], account.currency)),
    )


def mark_of(connection: Connection, number: int) -> str:
    """Give a mark of somebody that changes with anything that their page begins with: the row, and the last order."""
    found = hashlib.blake2b(digest_size=12)
    for (state,) in fetch(connection, "SELECT state FROM profiles WHERE id = ?", number):
        found.update(state)
    newest = "SELECT state FROM orders WHERE owner = ? AND placed_at > 0 ORDER BY placed_at DESC LIMIT 1"
    for (state,) in fetch(connection, newest, number):
        found.update(state)
    return found.hexdigest()


def _first_order_at(connection: Connection, number: int) -> str | None:
    rows = fetch(
        connection,
        "SELECT placed_at FROM orders WHERE owner = ? AND placed_at > 0 ORDER BY placed_at LIMIT 1",
        number,
    )
    return iso(rows[0][0]) if rows else None


def _identities(connection: Connection, number: int, key: identities.Key) -> list[Identity]:
    """Give the ids and addresses of a person: their own, the aliases with a run of theirs, the addresses they gave."""
    found = [Identity(KINDS[key[0]], key[1])]
    for _, kind, value, runs in identities.aliases(connection, number):
        found.append(_linked(kind, value, next((run.stamp for run in runs if run.uid == number), None)))
    first = addresses.first_links(connection, number)
    for address, (kind, value, _) in identities.by_number(connection, first).items():
        found.append(_linked(kind, value, first[address]))
    return found


def _linked(kind: int, value: str, stamp: Stamp | None) -> Identity:
    if stamp is None:
        return Identity(KINDS[kind], value)
    return Identity(KINDS[kind], value, iso(stamp[0]), stamp[1], stamp[2])
