"""Memberships, as two states are compared by them (`store.comparison`)."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from richpanel.store import memberships
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.comparison import CHUNK, NOBODY, keys_of, numbers_of, person
from richpanel.store.memberships import ALL

_COLUMNS: Final = "plan, profile, state, value, until, told"
_FIELDS: Final = ("state", "value", "until", "told")


class Memberships:
    """Memberships by plan and person, of plans that are complete in both states. From when on somebody is in is not.

    What time has changed by `now` (ms UTC) is compared no further: the state in force may be about to follow.
    """

    kind = "memberships"

    def __init__(self, old: Connection, new: Connection, secret: bytes, now: int) -> None:
        self._secret = secret
        self._now = now
        runs = memberships.reached(old), memberships.reached(new)
        self._plans = sorted(plan for plan in runs[0].keys() & runs[1].keys() if all(run[plan] == ALL for run in runs))

    def count(self, connection: Connection) -> int:
        query = f"SELECT count(*) FROM memberships WHERE plan IN {LISTED}"
        return int(fetch(connection, query, listed(self._plans))[0][0])

    def read(self, connection: Connection, after: Any) -> tuple[list[tuple[Any, Any]], Any]:
        rows = fetch(
            connection,
            f"SELECT {_COLUMNS} FROM memberships WHERE plan IN {LISTED} AND (plan, profile) > (?, ?) "
            "ORDER BY plan, profile LIMIT ?",
            *(listed(self._plans), *(after or (-1, 0)), CHUNK),
        )
        keys = keys_of(connection, [row[1] for row in rows])
        found = [((row[0], keys.get(row[1], NOBODY)), tuple(row[2:])) for row in rows]
        return found, tuple(rows[-1][:2]) if rows else None

    def find(self, connection: Connection, keys: Sequence[Any]) -> dict[Any, Any]:
        numbers = numbers_of(connection, self._secret, {key[1] for key in keys})
        who = {number: key for key, number in numbers.items()}
        query = f"SELECT {_COLUMNS} FROM memberships WHERE plan IN {LISTED} AND profile IN {LISTED}"
        rows = fetch(connection, query, listed({key[0] for key in keys}), listed(who))
        return {(row[0], who[row[1]]): tuple(row[2:]) for row in rows}

    def differ(self, old: Sequence[Any], new: Sequence[Any]) -> str:
        is_due = old[2] is not None and old[2] <= self._now
        named = zip(_FIELDS, old, new, strict=True)
        return ", ".join(name for name, was, now in named if was != now and (name == "state" or not is_due))

    def name(self, key: Any, _value: Any) -> str:
        return f"{person(key[1])}: plan {key[0]}"
