"""Names: event and page names and decision sets, each written once and referred to by number."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed

MAX_NAME: Final = 512
"""Longer event names are cut here, for lists; the body keeps them whole."""
WHOLE: Final = 1 << 20
"""Decision sets are not cut: they are read again."""

_LOOKED_AT: Final = 20_000


def ensure(connection: Connection, values: Iterable[str], longest: int = MAX_NAME) -> dict[str, int]:
    """Give the number of each value, adding those that are new."""
    wanted = {value: value[:longest] for value in values}
    stored = sorted(set(wanted.values()))
    insert(connection, schema.names, [(value,) for value in stored], columns=("value",), ignore=True)
    rows = fetch(connection, f"SELECT value, id FROM names WHERE value IN {LISTED}", listed(stored))
    numbers = {value: int(number) for value, number in rows}
    return {value: numbers[cut] for value, cut in wanted.items()}


def by_number(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    """Give the values of numbers."""
    rows = fetch(connection, f"SELECT id, value FROM names WHERE id IN {LISTED}", listed(set(numbers)))
    return {int(number): value for number, value in rows}


def forget_unused(connection: Connection, numbers: Iterable[int]) -> None:
    """Forget those of these names that no message has any more. Most are found at once: others use them, too."""
    left = set(numbers)
    ((newest,),) = fetch(connection, "SELECT coalesce(max(n), 0) FROM messages")
    for end in range(newest, 0, -_LOOKED_AT):
        if not left:
            return
        statement = f"SELECT DISTINCT event FROM messages WHERE n > ? AND n <= ? AND event IN {LISTED}"
        left -= {row[0] for row in fetch(connection, statement, end - _LOOKED_AT, end, listed(left))}
    delete(connection, schema.names, [(number,) for number in left], keys=("id",))
