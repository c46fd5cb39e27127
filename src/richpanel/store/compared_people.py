"""Profiles, sessions, links and orders, as two states are compared by them (`store.comparison`)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection

from richpanel.core import order as orders
from richpanel.core import profile as profiles
from richpanel.core.identity import unpack as unpack_runs
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.comparison import CHUNK, NOBODY, counted, keys_of, numbers_of, person
from richpanel.store.identities import Key

_UNREADABLE: Final = (RuntimeError, ValueError, MemoryError, msgspec.MsgspecError)
"""What unpacking damaged bytes raises; LZ4's own error is a RuntimeError."""


def _differ(names: Sequence[str], old: Sequence[Any], new: Sequence[Any]) -> str:
    return ", ".join(name for name, was, now in zip(names, old, new, strict=True) if was != now)


def _inside(unpack: Callable[[bytes], Any], old: bytes, new: bytes) -> str:
    """Tell in which fields two packed values differ. Equal amounts may be written differently, so bytes may differ."""
    if old == new:
        return ""
    try:
        was, now = unpack(old), unpack(new)
    except _UNREADABLE:
        return "unreadable"
    found = []
    for field in was.__struct_fields__:
        one, other = getattr(was, field), getattr(now, field)
        if one == other:
            continue
        if isinstance(one, dict):
            found += [f"{field}.{key}" for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key)]
        else:
            found.append(field)
    return ", ".join(found)


class Profiles:
    """Profiles by the identity they are of, with their row's columns and their entry in the search."""

    kind = "profiles"
    _FIELDS = ("customer", "last_seen", "created_at", "name", "ltv", "searched name", "email", "phone", "uid")
    _SELECT = (
        "SELECT p.id, p.state, p.customer, p.last_seen, p.created_at, p.name, p.ltv, s.name, s.email, s.phone, s.uid "
        "FROM profiles p LEFT JOIN search s ON s.rowid = p.id WHERE "
    )

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def count(self, connection: Connection) -> int:
        return counted(connection, "profiles")

    def read(self, connection: Connection, after: int | None) -> tuple[list[tuple[Key, Any]], int]:
        rows = fetch(connection, f"{self._SELECT} p.id > ? ORDER BY p.id LIMIT ?", after or 0, CHUNK)
        keys = keys_of(connection, [row[0] for row in rows])
        return [(keys.get(row[0], (-1, str(row[0]))), row[1:]) for row in rows], rows[-1][0] if rows else 0

    def find(self, connection: Connection, keys: Sequence[Key]) -> dict[Key, Any]:
        numbers = numbers_of(connection, self._secret, keys)
        rows = {
            row[0]: row[1:] for row in fetch(connection, f"{self._SELECT} p.id IN {LISTED}", listed(numbers.values()))
        }
        return {key: rows[number] for key, number in numbers.items() if number in rows}

    def differ(self, old: Sequence[Any], new: Sequence[Any]) -> str:
        parts = (_inside(profiles.unpack, old[0], new[0]), _differ(self._FIELDS, old[1:], new[1:]))
        return ", ".join(part for part in parts if part)

    def name(self, key: Key, _value: Any) -> str:
        return person(key)


class Sessions:
    """Sessions that have a row of their own, by their profile, key and start."""

    kind = "sessions"

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def count(self, connection: Connection) -> int:
        return counted(connection, "sessions")

    def read(self, connection: Connection, after: Any) -> tuple[list[tuple[Any, Any]], Any]:
        rows = fetch(
            connection,
            'SELECT profile, key, "start", "end", data FROM sessions WHERE (profile, key, "start") > (?, ?, ?) '
            'ORDER BY profile, key, "start" LIMIT ?',
            *(after or (0, "", -1)),
            CHUNK,
        )
        keys = keys_of(connection, [row[0] for row in rows])
        found = [((keys.get(p, NOBODY), key, start), (end, data)) for p, key, start, end, data in rows]
        return found, tuple(rows[-1][:3]) if rows else None

    def find(self, connection: Connection, keys: Sequence[Any]) -> dict[Any, Any]:
        numbers = numbers_of(connection, self._secret, {key[0] for key in keys})
        who = {number: key for key, number in numbers.items()}
        wanted = {(numbers[key[0]], *key[1:]) for key in keys if key[0] in numbers}
        rows = fetch(
            connection,
            f'SELECT profile, key, "start", "end", data FROM sessions WHERE profile IN {LISTED} AND key IN {LISTED} '
            f'AND "start" IN {LISTED}',
            *(listed({place[column] for place in wanted}) for column in range(3)),
        )
        return {
            (who[profile], key, start): (end, data)
            for profile, key, start, end, data in rows
            if (profile, key, start) in wanted
        }

    def differ(self, old: Sequence[Any], new: Sequence[Any]) -> str:
        parts = (_inside(profiles.unpack_session, old[1], new[1]), _differ(("end",), old[:1], new[:1]))
        return ", ".join(part for part in parts if part)

    def name(self, key: Any, _value: Any) -> str:
        return f"{person(key[0])}: {key[1] or f'generated, from {key[2]}'}"


class Links:
    """Aliases by their id, with whose they are from when on."""

    kind = "links"

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def count(self, connection: Connection) -> int:
        return counted(connection, "identities", "runs IS NOT NULL")

    def read(self, connection: Connection, after: int | None) -> tuple[list[tuple[Key, Any]], int]:
        rows = fetch(
            connection,
            "SELECT id, kind, value, runs FROM identities WHERE runs IS NOT NULL AND id > ? ORDER BY id LIMIT ?",
            after or 0,
            CHUNK,
        )
        return list(self._valued(connection, rows).items()), rows[-1][0] if rows else 0

    def find(self, connection: Connection, keys: Sequence[Key]) -> dict[Key, Any]:
        numbers = numbers_of(connection, self._secret, keys)
        statement = f"SELECT id, kind, value, runs FROM identities WHERE runs IS NOT NULL AND id IN {LISTED}"
        return self._valued(connection, fetch(connection, statement, listed(numbers.values())))

    def _valued(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> dict[Key, Any]:
        runs: dict[Key, Any] = {}
        for _, kind, value, packed in rows:
            try:
                runs[(kind, value)] = unpack_runs(packed)
            except _UNREADABLE:
                runs[(kind, value)] = ()
        who = keys_of(connection, [run.uid for each in runs.values() for run in each])
        return {key: [(run.stamp, who.get(run.uid, NOBODY)) for run in each] for key, each in runs.items()}

    def differ(self, old: Any, new: Any) -> str:
        return "" if old == new else f"{_said(old)} became {_said(new)}"

    def name(self, key: Key, _value: Any) -> str:
        return person(key)


def _said(runs: Sequence[tuple[Any, Key]]) -> str:
    return " then ".join(person(uid) for _, uid in runs[:3]) or "unreadable"


class Orders:
    """Orders by connector and order id; their events name profiles by identity."""

    kind = "orders"
    _FIELDS = ("owner", "placed_at", "figure", "events")
    _SELECT = "SELECT id, connector, order_id, owner, placed_at, figure, state FROM orders WHERE "

    def count(self, connection: Connection) -> int:
        return counted(connection, "orders")

    def read(self, connection: Connection, after: int | None) -> tuple[list[tuple[Any, Any]], int]:
        rows = fetch(connection, f"{self._SELECT} id > ? ORDER BY id LIMIT ?", after or 0, CHUNK)
        return list(self._valued(connection, rows).items()), rows[-1][0] if rows else 0

    def find(self, connection: Connection, keys: Sequence[Any]) -> dict[Any, Any]:
        rows: list[Any] = []
        for connector in {key[0] for key in keys}:
            ids = [key[1] for key in keys if key[0] == connector]
            rows += fetch(connection, f"{self._SELECT} connector = ? AND order_id IN {LISTED}", connector, listed(ids))
        return self._valued(connection, rows)

    def _valued(self, connection: Connection, rows: Iterable[Sequence[Any]]) -> dict[Any, Any]:
        entries: Mapping[Any, Any] = {row[0]: _entries(row[6]) for row in rows}
        who = keys_of(
            connection,
            {row[3] for row in rows} | {entry.profile for each in entries.values() for entry in each or ()},
        )
        return {
            (connector, order_id): (who.get(owner, NOBODY), placed_at, figure, _events(entries[number], who))
            for number, connector, order_id, owner, placed_at, figure, _ in rows
        }

    def differ(self, old: Sequence[Any], new: Sequence[Any]) -> str:
        return _differ(self._FIELDS, old, new)

    def name(self, key: Any, value: Sequence[Any]) -> str:
        return f"{person(value[0])}: {key[1]}"


def _entries(state: bytes) -> list[orders.Entry] | None:
    try:
        return orders.unpack(state).entries
    except _UNREADABLE:
        return None


def _events(entries: list[orders.Entry] | None, who: Mapping[int, Key]) -> Any:
    if entries is None:
        return None
    return [(entry.stamp, entry.name, who.get(entry.profile), entry.fields, entry.refund) for entry in entries]
