"""Names: event and page names and decision sets, each written once and referred to by number."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection

from richpanel.store.bulk import LISTED, fetch, listed, many

MAX_NAME: Final = 512
"""Longer event names are cut here, for lists; the body keeps them whole."""
WHOLE: Final = 1 << 20
"""Decision sets are not cut: they are read again."""


def ensure(connection: Connection, values: Iterable[str], longest: int = MAX_NAME) -> dict[str, int]:
    """Give the number of each value, adding those that are new."""
    wanted = {value: value[:longest] for value in values}
    stored = sorted(set(wanted.values()))
    many(connection, "INSERT OR IGNORE INTO names (value) VALUES (?)", [(value,) for value in stored])
    rows = fetch(connection, f"SELECT value, id FROM names WHERE value IN {LISTED}", listed(stored))
    numbers = {value: int(number) for value, number in rows}
    return {value: numbers[cut] for value, cut in wanted.items()}


def by_number(connection: Connection, numbers: Iterable[int]) -> dict[int, str]:
    """Give the values of numbers."""
    rows = fetch(connection, f"SELECT id, value FROM names WHERE id IN {LISTED}", listed(set(numbers)))
    return {int(number): value for number, value in rows}
