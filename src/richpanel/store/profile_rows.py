"""Profiles as stored: one row per person, and the full-text index of the customers among them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from richpanel.core.profile import Profile, pack, unpack
from richpanel.store.bulk import LISTED, fetch, listed, many


def load(connection: Connection, numbers: Iterable[int]) -> dict[int, Profile]:
    """Load profiles by number; those that do not exist are left out."""
    rows = fetch(connection, f"SELECT id, state FROM profiles WHERE id IN {LISTED}", listed(numbers))
    return {number: unpack(state) for number, state in rows}


def customers_among(connection: Connection, numbers: Iterable[int]) -> set[int]:
    """Tell which of these profiles are customers."""
    rows = fetch(connection, f"SELECT id FROM profiles WHERE customer = 1 AND id IN {LISTED}", listed(set(numbers)))
    return {row[0] for row in rows}


class Keys(NamedTuple):
    """What a profile's row is listed and sorted by, beside when it was last seen."""

    customer: int
    created_at: int
    ltv: int


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


_UPSERT: Final = (
    "INSERT INTO profiles (id, customer, created_at, ltv, last_seen, state) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, created_at = excluded.created_at, "
    "ltv = excluded.ltv, last_seen = excluded.last_seen, state = excluded.state"
)


def save(connection: Connection, written: Iterable[Written], uids: Mapping[int, str]) -> None:
    """Write profiles, each once however often it changed in a batch; `uids` gives the uids of those that are shown.

    A statement writes to the index of every column that it names, changed or not, and an index's pages are all over the
    place: most writes change when someone was last seen, and the state.
    """
    whole, later, same = [], [], []
    shown = {}
    for number, profile, texts, keys, stored, seen in written:
        state = pack(profile)
        if keys != stored:
            whole.append((number, *keys, profile.seen, state))
        elif profile.seen != seen:
            later.append((profile.seen, state, number))
        else:
            same.append((state, number))
        if texts is not None:
            shown[number] = (*texts, uids.get(number, ""))
    many(connection, _UPSERT, sorted(whole))
    many(connection, "UPDATE profiles SET last_seen = ?, state = ? WHERE id = ?", sorted(later, key=_last))
    many(connection, "UPDATE profiles SET state = ? WHERE id = ?", sorted(same, key=_last))
    if shown:
        _show(connection, shown)


def _last(row: tuple[Any, ...]) -> Any:
    return row[-1]


def _show(connection: Connection, shown: dict[int, tuple[str, str, str, str]]) -> None:
    """Write the names and the search's entries that changed; a full-text entry costs as much as everything else."""
    known = fetch(
        connection, f"SELECT rowid, name, email, phone, uid FROM search WHERE rowid IN {LISTED}", listed(shown)
    )
    for number, *texts in known:
        if shown[number] == tuple(texts):
            del shown[number]
    many(connection, "UPDATE profiles SET name = ? WHERE id = ?", [(t[0].lower() or None, n) for n, t in shown.items()])
    stale = {row[0] for row in known}
    many(connection, "DELETE FROM search WHERE rowid = ?", [(number,) for number in shown if number in stale])
    many(
        connection,
        "INSERT INTO search (rowid, name, email, phone, uid) VALUES (?, ?, ?, ?, ?)",
        [(number, *texts) for number, texts in sorted(shown.items())],
    )


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Remove profiles whose messages are somebody else's now."""
    gone = [(number,) for number in numbers]
    many(connection, "DELETE FROM profiles WHERE id = ?", gone)
    many(connection, "DELETE FROM search WHERE rowid = ?", gone)
