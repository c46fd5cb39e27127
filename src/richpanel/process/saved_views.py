"""Saved views and erasure: whoever is erased is named by no view of the customers' list (`semantics.md` 10).

A view is no part of the state, and people wrote it: what names the person goes, all else of it stays, and its page says
that something went. The receipt counts them.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection

from richpanel.core.mentions import by_hash, by_value, without
from richpanel.core.regulation import Hashed, Interval
from richpanel.core.traits import contact
from richpanel.process.definitions import Definitions
from richpanel.process.erasure import Plan
from richpanel.store import profile_rows as profiles
from richpanel.store import views
from richpanel.store.account import AccountSettings
from richpanel.store.ledger import Tombstone
from richpanel.store.views import NAMELESS, Held

SAVED_VIEWS: Final = "saved views"
"""What a receipt calls them."""


def values_of(connection: Connection, plan: Plan) -> set[str]:
    """Give the ids, addresses and names of the persons that a plan erases."""
    found = {value for _, value in plan.aliases.values()}
    for profile in profiles.load(connection, plan.numbers).values():
        known = contact(profile.traits, profile.carried_email)
        called = [profile.called[1]] if profile.called else []
        found.update(filter(None, (known.email, known.firstName, known.lastName, known.name, known.phone, *called)))
    return found


def mend(
    connection: Connection,
    definitions: Definitions,
    values: set[str],
    stones: Sequence[Tombstone],
    at: int,
) -> list[str]:
    """Take persons out of the saved views, those that were saved up to `at` (ms UTC); give the ids of those views.

    `values` is what is known of them, `stones` their tombstones: a view that names an id which is somebody else's by
    now, or theirs who began afresh, keeps it.
    """
    loose, whole = by_value(values), by_value(values, whole=True)
    covered: dict[Hashed, list[Interval]] = {}
    for stone in stones:
        covered.setdefault(stone.hashed, []).append((stone.from_t, stone.to_t))

    def mended(held: Held) -> Held:
        if held.created_at > at:
            return held
        hashed = by_hash(definitions.account.hash_key, definitions.account.phone_country, covered, held.created_at)

        def names(text: str) -> bool:
            return loose(text) or hashed(text)

        def names_whole(text: str) -> bool:
            return whole(text) or hashed(text)

        name = NAMELESS if names_whole(held.name) else held.name
        return Held(created_at=held.created_at, name=name, query=without(held.query, names, names_whole))

    return views.mend(connection, mended, now=at)


def count_naming(connection: Connection, account: AccountSettings, covered: Mapping[Hashed, Sequence[Interval]]) -> int:
    """Count the saved views that name an erased id at a time when it was theirs."""

    def names(held: Held) -> bool:
        hashed = by_hash(account.hash_key, account.phone_country, covered, held.created_at)
        return hashed(held.name) or without(held.query, hashed, hashed) != held.query

    return views.count(connection, names)
