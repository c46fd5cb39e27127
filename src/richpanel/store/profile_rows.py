"""Profiles as stored: one row per person, and the full-text index of the customers among them."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

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


class Written(NamedTuple):
    """A profile to write. `shown` is (name, email, phone) of a customer whose contact may have changed, else None."""

    number: int
    profile: Profile
    shown: tuple[str, str, str] | None
    ltv_hundredths: int


_UPSERT: Final = (
    "INSERT INTO profiles (id, customer, last_seen, created_at, ltv, state) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET customer = excluded.customer, last_seen = excluded.last_seen, "
    "created_at = excluded.created_at, ltv = excluded.ltv, state = excluded.state"
)


def save(connection: Connection, written: Iterable[Written], uids: Mapping[int, str]) -> None:
    """Write profiles, each once however often it changed in a batch; `uids` gives the uids of those that are shown."""
    rows = []
    shown = []
    for number, profile, texts, ltv in written:
        customer = 0 if profile.customer is None else 1
        rows.append((number, customer, profile.seen, profile.created, ltv, pack(profile)))
        if texts is not None:
            shown.append((number, texts))
    rows.sort()
    many(connection, _UPSERT, rows)
    if shown:
        many(connection, "UPDATE profiles SET name = ? WHERE id = ?", [(t[0].lower() or None, n) for n, t in shown])
        many(connection, "DELETE FROM search WHERE rowid = ?", [(number,) for number, _ in shown])
        many(
            connection,
            "INSERT INTO search (rowid, name, email, phone, uid) VALUES (?, ?, ?, ?, ?)",
            [(number, *texts, uids.get(number, "")) for number, texts in shown],
        )


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Remove profiles whose messages are somebody else's now."""
    gone = [(number,) for number in numbers]
    many(connection, "DELETE FROM profiles WHERE id = ?", gone)
    many(connection, "DELETE FROM search WHERE rowid = ?", gone)
