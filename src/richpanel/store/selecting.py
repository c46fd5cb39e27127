"""Selections of customers, or of visitors: a search, filters on any field, a membership, in one of the list's orders.

What an index can find is found by it: a search, a small audience, a span of what the list is ordered by. All else is
looked at one person after the other, and no more of them at a time than a page can wait for; how many is said.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    state: bytes


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
        keys = reader.passing(rows)
        for row in rows:
            view = reader.view(row, *keys[row.id]) if row.id in keys else None
            if view is not None:
                if len(found) == limit and last is not None:
                    return Selected(found, write_cursor(column, *last), looked, True)
                found.append(view)
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
        self._of_traits = [
            (term, dict.fromkeys((term.key, canonical_key(term.key))))
            for term in selection.terms
            if term.key not in _FIELDS
        ]
        """The terms that are about traits, each with the spellings that the trait's key may have."""
        contacts = (("email", selection.email), ("phone", selection.phone))
        self._without = [key for key, given in contacts if given is False]
        """Contacts that are not to be there: whoever has one is out, and need not be named for that."""
        spans = (selection.orders, selection.visits, selection.ltv)
        self._looks_into = bool(self._of_traits or self._without) or any(span != (None, None) for span in spans)
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

    def passing(self, rows: list[_Row]) -> Mapping[int, tuple[int, str]]:
        """Give kind and value of those of these candidates that pass what needs no view of them, by number."""
        wanted = self._wanted
        left = [row for row in rows if _within(row.created, wanted.created) and _within(row.seen, wanted.seen)]
        if wanted.plan is not None and not self._is_small and left:
            statement = f"SELECT profile FROM memberships WHERE plan = ? AND value = 'true' AND profile IN {LISTED}"
            members = fetch(self._connection, statement, wanted.plan, listed(row.id for row in left))
            among = {row[0] for row in members}
            left = [row for row in left if row.id in among]
        if self._looks_into:
            left = [row for row in left if self._is_wanted(outline(row.state))]
        keys = self._keys(left)
        if wanted.email is None and wanted.phone is None:
            return keys
        return {
            row.id: keys[row.id]
            for row in left
            if row.id in keys and _is_reached(outline(row.state), keys[row.id][0], wanted)
        }

    def _is_wanted(self, profile: Outline) -> bool:
        """Tell whether a profile has what is wanted in itself, whoever it is."""
        wanted = self._wanted
        if not (_within(profile.orders, wanted.orders) and _within(profile.visits, wanted.visits)):
            return False
        if self._without and any(profile.trait(key) is not None for key in self._without):
            return False
        if wanted.ltv != (None, None):
            own = profile.currencies().get(self._account.currency)
            if not _within(own.total if own is not None else Decimal(0), wanted.ltv):
                return False
        return all(term.holds(_trait(profile, spellings)) for term, spellings in self._of_traits)

    def view(self, row: _Row, kind: int, value: str) -> ProfileView | None:
        """Give a view of a candidate that passed; None where it is not wanted after all."""
        view = ProfileView(**fields(row.id, kind, value, unpack(row.state), self._account))
        terms = (term for term in self._wanted.terms if term.key in _FIELDS)
        return view if all(term.holds(getattr(view, _FIELDS[term.key])) for term in terms) else None

    def _keys(self, rows: list[_Row]) -> dict[int, tuple[int, str]]:
        if not rows:
            return {}
        statement = f"SELECT id, kind, value FROM identities WHERE id IN {LISTED}"
        found = fetch(self._connection, statement, listed(row.id for row in rows))
        return {number: (kind, value) for number, kind, value in found}

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
            f"SELECT p.id, p.{column}, p.created_at, p.last_seen, p.state FROM {people} WHERE {' AND '.join(where)} "
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


def _is_reached(profile: Outline, kind: int, wanted: Selection) -> bool:
    """Tell whether there is, or is not, an email and a phone, as is wanted."""
    if wanted.email is not None and wanted.email != (kind == EMAIL or profile.trait("email") is not None):
        return False
    return wanted.phone is None or wanted.phone == (kind == PHONE or profile.trait("phone") is not None)


def _trait(profile: Outline, spellings: Iterable[str]) -> Any:
    found = next((text for key in spellings if (text := profile.trait(key))), None)
    return None if found is None else decode_exact(found)
