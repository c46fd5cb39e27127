"""Profiles as stored: one row per person, and the full-text index of the customers among them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.profile import Profile, pack, unpack
from richpanel.store import schema, search
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, on_postgres, update
from richpanel.store.search import Entry


def load(connection: Connection, numbers: Iterable[int]) -> dict[int, Profile]:
    """Load profiles by number; those that do not exist are left out."""
    rows = fetch(connection, f"SELECT id, state FROM profiles WHERE id IN {LISTED}", listed(numbers))
    return {number: unpack(state) for number, state in rows}


def customers_among(connection: Connection, numbers: Iterable[int]) -> set[int]:
    """Tell which of these profiles are customers."""
    rows = fetch(connection, f"SELECT id FROM profiles WHERE customer = 1 AND id IN {LISTED}", listed(set(numbers)))
    return {row[0] for row in rows}


def customers(connection: Connection, low: int, high: int) -> dict[int, bool]:
    """Tell of all profiles with `low < number <= high` whether they are customers."""
    rows = fetch(connection, "SELECT id, customer FROM profiles WHERE id > ? AND id <= ?", low, high)
    return {number: bool(customer) for number, customer in rows}


def are_customers(connection: Connection, numbers: Iterable[int]) -> dict[int, bool]:
    """Tell of those of these profiles that exist whether they are customers."""
    rows = fetch(connection, f"SELECT id, customer FROM profiles WHERE id IN {LISTED}", listed(numbers))
    return {number: bool(customer) for number, customer in rows}


def states(connection: Connection, low: int, high: int) -> Sequence[tuple[int, bytes]]:
    """Give all profiles with `low < number <= high`, packed (`core.profile.glance`)."""
    return fetch(connection, "SELECT id, state FROM profiles WHERE id > ? AND id <= ?", low, high)


class Keys(NamedTuple):
    """What a profile's row is listed and sorted by, beside when it was last seen."""

    customer: int
    created_at: int
    ltv: int


_KEYS: Final = Keys._fields


class Written(NamedTuple):
    """A profile to write.

    `shown` is (name, email, phone) of a customer whose contact may have changed, else None. `stored` and `seen` are the
    row's keys and `last_seen` as they stand, None and 0 where there is no row yet.
    """

    number: int
    profile: Profile
    shown: tuple[str, str, str] | None
    keys: Keys
    stored: Keys | None
    seen: int


SORTED_CHARACTERS: Final = 500
"""PostgreSQL sorts customers by so much of their names; an index has no room for very long ones there."""


def save(connection: Connection, written: Iterable[Written], uids: Mapping[int, str]) -> None:
    """Write profiles, each once however often it changed in a batch; `uids` gives the uids of those that are shown.

    A statement writes to the index of every column that it names, changed or not, and an index's pages are all over the
    place: most writes change when someone was last seen, and the state.
    """
    added, whole, later, same = [], [], [], []
    shown = {}
    for number, profile, texts, keys, stored, seen in written:
        state = pack(profile)
        if stored is None:
            added.append((number, *keys, profile.seen, state))
        elif keys != stored:
            whole.append((*keys, profile.seen, state, number))
        elif profile.seen != seen:
            later.append((profile.seen, state, number))
        else:
            same.append((state, number))
        if texts is not None:
            shown[number] = Entry(*texts, uids.get(number, ""))
    insert(connection, schema.profiles, sorted(added), columns=("id", *_KEYS, "last_seen", "state"))
    for rows, columns in ((whole, (*_KEYS, "last_seen", "state")), (later, ("last_seen", "state")), (same, ("state",))):
        update(connection, schema.profiles, sorted(rows, key=_last), columns=columns, keys=("id",))
    if shown:
        _show(connection, shown)


def _last(row: tuple[Any, ...]) -> Any:
    return row[-1]


def _show(connection: Connection, shown: dict[int, Entry]) -> None:
    """Write the names and the search's entries that changed; a full-text entry costs as much as everything else."""
    known = search.entries(connection, shown)
    changed = {number: entry for number, entry in shown.items() if known.get(number) != entry}
    named = [(_sorted_by(connection, entry.name), number) for number, entry in changed.items()]
    update(connection, schema.profiles, named, columns=("name",), keys=("id",))
    search.remove(connection, changed.keys() & known.keys())
    search.add(connection, changed)


def _sorted_by(connection: Connection, name: str) -> str | None:
    lower = name.lower()
    return (lower[:SORTED_CHARACTERS] if on_postgres(connection) else lower) or None


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Remove profiles whose messages are somebody else's now."""
    gone = list(numbers)
    delete(connection, schema.profiles, [(number,) for number in gone], keys=("id",))
    search.remove(connection, gone)
