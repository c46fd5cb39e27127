"""Members as people see them: who is in an audience, since when and until when, and which audiences somebody is in."""

from collections.abc import Collection
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.announcing import Class
from richpanel.core.timestamps import iso
from richpanel.store.account import AccountSettings
from richpanel.store.bulk import LISTED, fetch, insert, listed, run
from richpanel.store.definitions import sizes
from richpanel.store.memberships import count
from richpanel.store.paging import Page, read_cursor, write_cursor
from richpanel.store.person import ProfileView
from richpanel.store.profiles import list_by_number

_IN = "true"
_HOUR = 3_600_000
_WHOLE = 7 * 24 * _HOUR
"""How long each size that was noted is kept, ms; of older ones one for each hour is."""
_EMPTY = "('null', '0', '[]')"
"""Values of computed traits that say nothing (`core.computed.is_empty`), as they are written."""


class MemberView(msgspec.Struct, kw_only=True):
    """Somebody who is in an audience: since when, and until when, null where time alone does not end it.

    `told` is whether destinations know; null of somebody without a uid, of whom they cannot be told.
    """

    since: str
    until: str | None
    told: bool | None
    person: ProfileView


class ValueView(msgspec.Struct, kw_only=True):
    """Somebody's value of a computed trait: since and until when, null where time alone does not change it.

    `told` is as for members.
    """

    value: msgspec.Raw
    since: str
    until: str | None
    told: bool | None
    person: ProfileView


class Since(NamedTuple):
    """A membership: whether somebody is in, from when on that is so, and until when, ms UTC."""

    member: bool
    since: int
    until: int | None


_TOLD = {0: False, 1: True, 2: None}


def list_members(
    connection: Connection, account: AccountSettings, plan: int, *, cursor: str | None, limit: int
) -> Page[MemberView]:
    """List who is in by a plan, in the order in which they came to be known. Raises BadCursor."""
    at = read_cursor(cursor, int)
    rows = fetch(
        connection,
        "SELECT profile, since, until, told FROM memberships WHERE plan = ? AND profile > ? AND value = ? "
        "ORDER BY profile LIMIT ?",
        *(plan, 0 if at is None else at[0], _IN, limit + 1),
    )
    shown = rows[:limit]
    people = {person.profile: person for person in list_by_number(connection, account, [row[0] for row in shown])}
    members = [
        MemberView(
            since=iso(since), until=None if until is None else iso(until), told=_TOLD[told], person=people[profile]
        )
        for profile, since, until, told in shown
        if profile in people
    ]
    return Page(members, write_cursor(shown[-1][0]) if len(rows) > limit else None)


def list_values(
    connection: Connection, account: AccountSettings, plan: int, *, cursor: str | None, limit: int
) -> Page[ValueView]:
    """List who has a value of a computed trait, in the order in which they came to be known. Raises BadCursor."""
    at = read_cursor(cursor, int)
    rows = fetch(
        connection,
        "SELECT profile, value, since, until, told FROM memberships WHERE plan = ? AND profile > ? "
        f"AND value NOT IN {_EMPTY} ORDER BY profile LIMIT ?",
        *(plan, 0 if at is None else at[0], limit + 1),
    )
    shown = rows[:limit]
    people = {person.profile: person for person in list_by_number(connection, account, [row[0] for row in shown])}
    values = [
        ValueView(
            value=msgspec.Raw(value.encode()),
            since=iso(since),
            until=None if until is None else iso(until),
            told=_TOLD[told],
            person=people[profile],
        )
        for profile, value, since, until, told in shown
        if profile in people
    ]
    return Page(values, write_cursor(shown[-1][0]) if len(rows) > limit else None)


def count_values(connection: Connection, plan: int) -> int:
    """Count who has a value of a computed trait."""
    statement = f"SELECT count(*) FROM memberships WHERE plan = ? AND value NOT IN {_EMPTY}"
    return int(fetch(connection, statement, plan)[0][0])


def size_of(connection: Connection, plan: int, kind: Class) -> int:
    """Count who is in by a plan of an audience, or has a value by one of a computed trait."""
    return count(connection, plan) if kind == "audience" else count_values(connection, plan)


def value_since(connection: Connection, plan: int, profile: int) -> int | None:
    """Tell from when on somebody has the value that they have, ms UTC; None where no row says."""
    rows = fetch(connection, "SELECT since FROM memberships WHERE plan = ? AND profile = ?", plan, profile)
    return rows[0][0] if rows else None


def of_profile(connection: Connection, profile: int, plans: Collection[int]) -> dict[int, Since]:
    """Give somebody's memberships by these plans."""
    rows = fetch(
        connection,
        f"SELECT plan, value, since, until FROM memberships WHERE profile = ? AND plan IN {LISTED}",
        *(profile, listed(plans)),
    )
    return {plan: Since(value == _IN, since, until) for plan, value, since, until in rows}


def values_of(connection: Connection, profile: int, plans: Collection[int]) -> dict[int, str]:
    """Give somebody's values of computed traits by these plans, as JSON; what says nothing is left out."""
    rows = fetch(
        connection,
        f"SELECT plan, value FROM memberships WHERE profile = ? AND plan IN {LISTED} AND value NOT IN {_EMPTY}",
        *(profile, listed(plans)),
    )
    return {row[0]: row[1] for row in rows}


def note_size(account: Connection, computation: int, size: int, *, now: int) -> None:
    """Note how many are in an audience now, ms UTC, unless it is what was noted last.

    What is older than a week is thinned, once an hour: the last of each hour stays.
    """
    rows = fetch(account, "SELECT at, size FROM sizes WHERE computation = ? ORDER BY at DESC LIMIT 1", computation)
    if rows and rows[0][1] == size:
        return
    insert(account, sizes, [(computation, now, size)], replace=True)
    if rows and rows[0][0] // _HOUR != now // _HOUR:
        run(
            account,
            "DELETE FROM sizes WHERE computation = ? AND at < ? AND EXISTS (SELECT 1 FROM sizes later WHERE "
            "later.computation = sizes.computation AND later.at > sizes.at AND later.at / ? = sizes.at / ?)",
            *(computation, now - _WHOLE, _HOUR, _HOUR),
        )


def list_sizes(account: Connection, computation: int, limit: int) -> list[tuple[int, int]]:
    """Give the newest sizes that were noted, oldest first: (ms UTC, size). Each holds until the next."""
    rows = fetch(
        account, "SELECT at, size FROM sizes WHERE computation = ? ORDER BY at DESC LIMIT ?", computation, limit
    )
    return [(at, size) for at, size in reversed(rows)]


def noted_sizes(account: Connection) -> dict[int, int]:
    """Give the size that was noted last of each audience, by number."""
    rows = fetch(
        account,
        "SELECT s.computation, s.size FROM sizes s JOIN "
        "(SELECT computation, max(at) AS at FROM sizes GROUP BY computation) n "
        "ON n.computation = s.computation AND n.at = s.at",
    )
    return {row[0]: row[1] for row in rows}
