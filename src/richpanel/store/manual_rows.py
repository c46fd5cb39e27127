"""Manual links as stored: what people linked, cut and took back; `core.manual` says what counts."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from richpanel.core.manual import UNDO
from richpanel.core.stamps import Stamp
from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed


class ManualRow(NamedTuple):
    """A row of `manual`: `alias` and `uid` are 0 of an undo, `undoes` is its alone."""

    n: int
    kind: int
    alias: int
    uid: int
    t: int
    message_id: str
    source: str
    undoes: str | None

    @property
    def stamp(self) -> Stamp:
        """The record's place in the order of messages."""
        return (self.t, self.message_id, self.source)


_COLUMNS = ", ".join(f"m.{name}" for name in ManualRow._fields)


def add(connection: Connection, rows: Sequence[ManualRow]) -> None:
    """Keep records."""
    insert(connection, schema.manual, rows)


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Forget records."""
    delete(connection, schema.manual, [(number,) for number in numbers], keys=("n",))


def any_at_all(connection: Connection) -> bool:
    """Tell whether anybody ever linked or cut by hand."""
    return bool(fetch(connection, "SELECT 1 FROM manual LIMIT 1"))


def touched(connection: Connection, numbers: Iterable[int]) -> set[int]:
    """Give the aliases that these records are about; an undo's is that of what it takes back, once that is known."""
    asked = listed(numbers)
    rows = fetch(connection, f"SELECT alias FROM manual WHERE kind < {UNDO} AND n IN {LISTED}", asked)
    undone = fetch(
        connection,
        "SELECT m.alias FROM manual u JOIN manual m ON m.message_id = u.undoes AND m.source = u.source "
        f"WHERE u.kind = {UNDO} AND m.kind < {UNDO} AND u.n IN {LISTED}",
        asked,
    )
    return {row[0] for row in (*rows, *undone)}


def naming(connection: Connection, uids: Iterable[int], aliases: Iterable[int]) -> set[int]:
    """Give the records that name one of these uids, or one of these aliases."""
    where = f"uid IN {LISTED} OR alias IN {LISTED}"
    rows = fetch(connection, f"SELECT n FROM manual WHERE {where}", listed(uids), listed(aliases))
    return {row[0] for row in rows}


def among(connection: Connection, aliases: Iterable[int]) -> set[int]:
    """Give those of the aliases that somebody linked or cut by hand."""
    rows = fetch(connection, f"SELECT DISTINCT alias FROM manual WHERE alias IN {LISTED}", listed(aliases))
    return {row[0] for row in rows}


def of_alias(connection: Connection, alias: int) -> list[tuple[ManualRow, bool]]:
    """Give what people did with an alias, each with whether it counts: nobody took it back."""
    rows = fetch(
        connection,
        f"SELECT {_COLUMNS}, NOT EXISTS (SELECT 1 FROM manual u WHERE u.kind = {UNDO} AND u.undoes = m.message_id "
        "AND u.source = m.source) FROM manual m WHERE m.alias = ?",
        alias,
    )
    return [(ManualRow(*row[:-1]), bool(row[-1])) for row in rows]
