"""Selections of customers, or of visitors: a search, filters on any field, a membership, in one of the list's orders.

What an index can find is found by it: a search, a small audience, a span of what the list is ordered by. All else is
looked at one person after the other, and no more of them at a time than a page can wait for; how many is said.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.identity import EMAIL, PHONE
from richpanel.core.money import decode_exact
from richpanel.core.profile import Outline, outline, unpack
from richpanel.core.terms import Term
from richpanel.core.traits import canonical_key
from richpanel.store.account import AccountSettings
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.paging import BadCursor, read_cursor, write_cursor
from richpanel.store.person import ProfileView, fields
from richpanel.store.profiles import named, ordered, read_sort

MOST_LOOKED: Final = 10_000
"""So many people are looked at for a page of a filtered list."""
_SMALL: Final = 2_000
"""An audience of so many members is read whole."""
_CHUNKS: Final = (200, 1_000)
_FIELDS: Final = {
    field.encode_name: field.name
    for field in msgspec.structs.fields(ProfileView)
    if field.name not in ("profile", "traits", "anonymous_id")
}
Span = tuple[Any, Any]
"""The least and the greatest of what is wanted, both included; None where there is no end."""


class Selection(NamedTuple):
    """What is wanted of a customer, or of a visitor. Spans are inclusive; times are ms UTC.

    `ltv` is in the account's currency; `email` and `phone`: whether there is one. `plan` is the live plan of an
    audience that they are in. `customers` tells whose list it is.
    """

    q: str | None = None
    email: bool | None = None
    phone: bool | None = None
    created: Span = (None, None)
    seen: Span = (None, None)
    orders: Span = (None, None)
    visits: Span = (None, None)
    ltv: Span = (None, None)
    plan: int | None = None
    terms: tuple[Term, ...] = ()
    customers: bool = True


class Selected(NamedTuple):
    """A page of a selection: how many were `looked` at for it; `is_whole` where the page is full or nothing is left."""

    data: list[ProfileView]
    next: str | None
    looked: int
    is_whole: bool


class _Row(NamedTuple):
    id: int
    at: Any
    created: int
    seen: int
    ltv: int


def select(
    connection: Connection,
    account: AccountSettings,
    selection: Selection,
    *,
    sort: str | None,
    cursor: str | None,
    limit: int,
    most: int = MOST_LOOKED,
) -> Selected:
    """Read a page of the people who are wanted. Raises ValueError where sort or cursor are unknown."""
    column, down = read_sort(sort, customers=selection.customers)
    at = read_cursor(cursor, str, str | int | None, int)
    if at is not None and at[0] != column:
        raise BadCursor("this cursor was given for another sort")
    reader = _Reader(connection, account, selection, (column, down), at and (at[1], at[2]))
    found: list[ProfileView] = []
    looked, last = 0, None
    for rows in reader.chunks(most):
        views = reader.views(rows)
        for row in rows:
            if row.id in views:
                if len(found) == limit and last is not None:
                    return Selected(found, write_cursor(column, *last), looked, True)
                found.append(views[row.id])
            looked, last = looked + 1, (row.at, row.id)
    more = write_cursor(column, *last) if reader.is_cut and last is not None else None
    return Selected(found, more, looked, more is None)


class _Reader:
    """Reads candidates in order, and sifts them."""

    def __init__(
        self,
        connection: Connection,
        account: AccountSettings,
        selection: Selection,
        order: tuple[str, bool],
        after: tuple[Any, int] | None,
    ) -> None:
        self._connection, self._account, self._wanted = connection, account, selection
        self._column, self._down = order
        self._after = after
        self._is_small = selection.plan is not None and self._is_small_audience(selection.plan)
        self.is_cut = False
        """Whether there may be more than was looked at."""

    def chunks(self, most: int) -> Iterator[list[_Row]]:
        """Give the candidates, a chunk at a time, `most` of them at the most."""
        left, size = most, _CHUNKS[0]
        while left > 0:
            asked = min(size, left)
            rows = self._chunk(asked)
            left -= len(rows)
            self.is_cut = len(rows) == asked
            if rows:
                self._after = (rows[-1].at, rows[-1].id)
                yield rows
            if not self.is_cut:
                return
            size = _CHUNKS[1]

    def views(self, rows: list[_Row]) -> Mapping[int, ProfileView]:
        """Give those of these candidates that are wanted, by number."""
        wanted = self._wanted
        left = [row.id for row in rows if _within(row.created, wanted.created) and _within(row.seen, wanted.seen)]
        if wanted.plan is not None and not self._is_small and left:
            statement = f"SELECT profile FROM memberships WHERE plan = ? AND value = 'true' AND profile IN {LISTED}"
            left = [row[0] for row in fetch(self._connection, statement, wanted.plan, listed(left))]
        if not left:
            return {}
        statement = (
            "SELECT p.id, i.kind, i.value, p.state FROM profiles p CROSS JOIN identities i ON i.id = p.id "
            f"WHERE p.id IN {LISTED}"
        )
        found = {}
        for number, kind, value, state in fetch(self._connection, statement, listed(left)):
            if _is_wanted(outline(state), kind, wanted, self._account):
                view = ProfileView(**fields(number, kind, value, unpack(state), self._account))
                if all(term.holds(getattr(view, _FIELDS[term.key])) for term in wanted.terms if term.key in _FIELDS):
                    found[number] = view
        return found

    def _chunk(self, size: int) -> list[_Row]:
        column, wanted = self._column, self._wanted
        people, where = ordered(column, customers=wanted.customers)
        parameters = list[Any]()
        if wanted.q:
            people, parameters = named(self._connection, self._account, wanted.q, customers=wanted.customers)
            people = f"({people}) f CROSS JOIN profiles p ON p.id = f.id"
        elif self._is_small:
            members = "SELECT profile AS id FROM memberships WHERE plan = ? AND value = 'true'"
            people, parameters = f"({members}) f CROSS JOIN profiles p ON p.id = f.id", [wanted.plan]
        for (low, high), name in ((wanted.created, "created_at"), (wanted.seen, "last_seen")):
            if name == column:
                where += [f"p.{name} >= ?"] * (low is not None) + [f"p.{name} <= ?"] * (high is not None)
                parameters += [each for each in (low, high) if each is not None]
        if self._after is not None:
            where.append(f"(p.{column}, p.id) {'<' if self._down else '>'} (?, ?)")
            parameters += self._after
        order = "DESC" if self._down else "ASC"
        rows = fetch(
            self._connection,
            f"SELECT p.id, p.{column}, p.created_at, p.last_seen, p.ltv FROM {people} WHERE {' AND '.join(where)} "
            f"ORDER BY p.{column} {order}, p.id {order} LIMIT ?",
            *parameters,
            size,
        )
        return [_Row(*row) for row in rows]

    def _is_small_audience(self, plan: int) -> bool:
        statement = "SELECT profile FROM memberships WHERE plan = ? AND value = 'true' LIMIT ?"
        return len(fetch(self._connection, statement, plan, _SMALL + 1)) <= _SMALL


def _within(value: Any, span: Span) -> bool:
    low, high = span
    return (low is None or value >= low) and (high is None or value <= high)


def _is_wanted(profile: Outline, kind: int, wanted: Selection, account: AccountSettings) -> bool:
    """Tell whether a profile passes what needs no view of it."""
    if not (_within(profile.orders, wanted.orders) and _within(profile.visits, wanted.visits)):
        return False
    if wanted.ltv != (None, None):
        own = profile.currencies.get(account.currency)
        if not _within(own.total if own is not None else Decimal(0), wanted.ltv):
            return False
    if wanted.email is not None and wanted.email != (kind == EMAIL or profile.trait("email") is not None):
        return False
    if wanted.phone is not None and wanted.phone != (kind == PHONE or profile.trait("phone") is not None):
        return False
    return all(term.holds(_trait(profile, term.key)) for term in wanted.terms if term.key not in _FIELDS)


def _trait(profile: Outline, key: str) -> Any:
    found = profile.trait(key) or profile.trait(canonical_key(key))
    return None if found is None else decode_exact(found)
