"""Statements for many rows at a time, on either engine: the tables are SQLAlchemy's, the rows go to the driver.

Statements are written once, with SQLite's placeholders (`?`, or `?1` where one is used twice). For PostgreSQL they are
translated, and what concerns many rows becomes one statement over arrays, or a COPY.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Boolean, Connection, LargeBinary, Table, Text
from sqlalchemy.types import UserDefinedType

LISTED: Final = "(SELECT value FROM json_each(?))"
"""A list of integers or strings as a sub-select, behind IN; pass it as `listed(values)`."""
PAIRS: Final = "(SELECT value ->> 0 AS low, value ->> 1 AS high FROM json_each(?))"
"""Pairs of integers as a table with the columns `low` and `high`; pass it as `Pairs(values)`."""
_PAIRS: Final = "(SELECT (value ->> 0)::bigint AS low, (value ->> 1)::bigint AS high FROM json_array_elements(?::json))"
NAMED: Final = "(SELECT value ->> 0 AS number, value ->> 1 AS name FROM json_each(?))"
"""Pairs of an integer and a text as a table with the columns `number` and `name`; pass it as `Named(values)`."""
_NAMED: Final = "(SELECT * FROM unnest(?::bigint[], ?::text[]) AS given (number, name))"
_COPY_FROM: Final = 32
"""A COPY takes two round trips, arrays one: from so many rows on the former is quicker."""
_TYPES: Final = ((Text, "text"), (LargeBinary, "bytea"), (Boolean, "boolean"))
_SELECT_FROM: Final = 64
"""Lists of so many values are asked for as a sub-select."""
_INDEXED_CHARACTERS: Final = 500
_MARKS: Final = re.compile(r"\?(\d*)")
_encode = msgspec.json.Encoder().encode


class Words(UserDefinedType[str]):
    """The type of a `tsvector`, PostgreSQL's alone."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Give its name there."""
        return "tsvector"


class Listed(list[Any]):
    """Values for `LISTED`."""


class Pairs(list[tuple[int, int]]):
    """Values for `PAIRS`."""


class Named(list[tuple[int, str]]):
    """Values for `NAMED`, at least one."""


_LISTS: Final = frozenset({Listed, Pairs, Named})


def listed(values: Iterable[Any]) -> Listed:
    """Give values for `LISTED`."""
    return Listed(values)


def index_text(connection: Connection, text: str) -> str:
    """Give what stands for a text in a column that is in an index: PostgreSQL has no room there for a very long one."""
    if len(text) <= _INDEXED_CHARACTERS or not on_postgres(connection):
        return text
    return f"{text[:_INDEXED_CHARACTERS]} {sha256(text.encode()).hexdigest()}"


def on_postgres(connection: Connection) -> bool:
    """Tell which engine it is: PostgreSQL, or SQLite."""
    return connection.dialect.name == "postgresql"


class _Translated(NamedTuple):
    """A statement for PostgreSQL; `order` has the index of each mark's parameter, None where they come as given."""

    text: str
    order: tuple[int, ...] | None


_ANY: Final = "= ANY(?)"


def _behind(values: Listed) -> str:
    """Give what asks for one of these values.

    All values of an array are looked for in every partition; those of a sub-select are looked for one after the other,
    each in its own: 5,000 values take a third of the time then.
    """
    if len(values) < _SELECT_FROM:
        return _ANY
    return f"IN (SELECT unnest(?::{'text' if isinstance(values[0], str) else 'bigint'}[]))"


@lru_cache(4_096)
def _translated(statement: str, lists: tuple[str, ...] = ()) -> _Translated:
    """Translate a statement; `lists` has what stands for each `IN LISTED` of it.

    SQLite is told which table to begin with (CROSS JOIN) or which index to use; PostgreSQL has statistics.
    """
    text = statement.replace("%", "%%").replace("CROSS JOIN", "JOIN")
    for each in lists:
        text = text.replace(f"IN {LISTED}", each, 1)
    text = re.sub(r" INDEXED BY \w+", "", text.replace(PAIRS, _PAIRS).replace(NAMED, _NAMED))
    marks = [mark.group(1) for mark in _MARKS.finditer(text)]
    order = tuple(int(mark) - 1 for mark in marks) if any(marks) else None
    return _Translated(_MARKS.sub("%s", text), order)


def _execute(connection: Connection, statement: str, parameters: Sequence[Any]) -> Any:
    if not on_postgres(connection):
        given = tuple(_encode(each).decode() if type(each) in _LISTS else each for each in parameters)
        return connection.exec_driver_sql(statement, given)
    text, order = _translated(statement, tuple(_behind(each) for each in parameters if type(each) is Listed))
    found = parameters if order is None else [parameters[index] for index in order]
    return connection.exec_driver_sql(text, tuple(given for each in found for given in _given(each)))


def _given(value: Any) -> tuple[Any, ...]:
    """Give what stands for a parameter; texts go in arrays, since JSON's may hold what PostgreSQL's may not."""
    if type(value) is Named:
        return _columns_of(value)
    if type(value) is Listed:
        return (_array(value),)
    return (_encode(value).decode() if type(value) is Pairs else value,)


def _array(values: Sequence[Any]) -> Any:
    """Give values as the driver is to send them: integers as the text of an array, which it would write one by one."""
    if set(map(type, values)) == {int}:
        return f"{{{','.join(map(str, values))}}}"
    return list(values)


def fetch(connection: Connection, statement: str, *parameters: Any) -> Sequence[Any]:
    """Run a query and give all its rows as tuples."""
    return _execute(connection, statement, parameters).fetchall()  # type: ignore[no-any-return]


def run(connection: Connection, statement: str, *parameters: Any) -> int:
    """Run a statement that changes rows; give how many."""
    return int(_execute(connection, statement, parameters).rowcount)


def many(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Run a statement once per row of parameters. For many rows on PostgreSQL the ones below are quicker."""
    if not rows:
        return
    if not on_postgres(connection):
        connection.exec_driver_sql(statement, list(rows))
        return
    text, order = _translated(statement)
    given = list(rows) if order is None else [tuple(row[index] for index in order) for row in rows]
    connection.exec_driver_sql(text, given)


def insert(
    connection: Connection,
    table: Table,
    rows: Sequence[tuple[Any, ...]],
    *,
    columns: Sequence[str] | None = None,
    replace: bool = False,
    ignore: bool = False,
    plus: str | None = None,
) -> None:
    """Insert rows, each a tuple of all the table's columns in order, or of `columns`.

    Of rows with a key that is there, `replace` writes the new one over the old, the last of several, `ignore` leaves
    the old one, and `plus` names a column whose values are added up: there no key may come twice.
    """
    if not rows:
        return
    names = tuple(columns) if columns is not None else tuple(column.name for column in table.columns)
    if not on_postgres(connection):
        verb = "INSERT OR REPLACE" if replace else "INSERT OR IGNORE" if ignore else "INSERT"
        added = _adding(table, plus) if plus else ""
        connection.exec_driver_sql(_sqlite_insert(table, names, verb) + added, list(rows))
    elif plus:
        connection.exec_driver_sql(_array_insert(table, names, False, False) + _adding(table, plus), _columns_of(rows))
    elif not (replace or ignore) and len(rows) >= _COPY_FROM:
        connection.info["copy_rows"](connection, _copy(table, names), rows)  # `store.postgres`, not loaded by SQLite.
    else:
        if replace:
            keys = [names.index(column.name) for column in table.primary_key.columns]
            rows = list({tuple(row[at] for at in keys): row for row in rows}.values())
        connection.exec_driver_sql(_array_insert(table, names, replace, ignore), _columns_of(rows))


def update(
    connection: Connection,
    table: Table,
    rows: Sequence[tuple[Any, ...]],
    *,
    columns: Sequence[str],
    keys: Sequence[str],
) -> None:
    """Set columns of the rows that have these keys; each of `rows` has the values of `columns`, then those of `keys`.

    No key may come twice.
    """
    if rows:
        _by_keys(connection, _Change(table, tuple(columns), tuple(keys)), rows)


def delete(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], *, keys: Sequence[str]) -> None:
    """Delete the rows that have these keys; each of `rows` has the values of `keys`."""
    if rows:
        _by_keys(connection, _Change(table, None, tuple(keys)), rows)


class _Change(NamedTuple):
    """An UPDATE, or where it sets no columns a DELETE, of the rows with given keys."""

    table: Table
    columns: tuple[str, ...] | None
    keys: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*(self.columns or ()), *self.keys)


def _by_keys(connection: Connection, change: _Change, rows: Sequence[tuple[Any, ...]]) -> None:
    if on_postgres(connection):
        connection.exec_driver_sql(_array_change(change), _columns_of(rows))
    else:
        connection.exec_driver_sql(_sqlite_change(change), list(rows))


@cache
def _sqlite_insert(table: Table, names: tuple[str, ...], verb: str) -> str:
    return f'{verb} INTO "{table.name}" ({_quoted(names)}) VALUES ({", ".join("?" for _ in names)})'


@cache
def _adding(table: Table, plus: str) -> str:
    keys = _quoted(column.name for column in table.primary_key.columns)
    return f' ON CONFLICT ({keys}) DO UPDATE SET "{plus}" = "{table.name}"."{plus}" + excluded."{plus}"'


@cache
def _sqlite_change(change: _Change) -> str:
    where = " AND ".join(f'"{name}" = ?' for name in change.keys)
    if change.columns is None:
        return f'DELETE FROM "{change.table.name}" WHERE {where}'
    changed = ", ".join(f'"{name}" = ?' for name in change.columns)
    return f'UPDATE "{change.table.name}" SET {changed} WHERE {where}'


@cache
def _copy(table: Table, names: tuple[str, ...]) -> str:
    return f'COPY "{table.name}" ({_quoted(names)}) FROM STDIN'


@cache
def _array_insert(table: Table, names: tuple[str, ...], replace: bool, ignore: bool) -> str:
    text = f'INSERT INTO "{table.name}" ({_quoted(names)}) SELECT * FROM {_arrays(table, names)}'
    if ignore:
        return f"{text} ON CONFLICT DO NOTHING"
    if replace:
        keys = [column.name for column in table.primary_key.columns]
        changed = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
        return f"{text} ON CONFLICT ({_quoted(keys)}) DO " + (f"UPDATE SET {changed}" if changed else "NOTHING")
    return text


@cache
def _array_change(change: _Change) -> str:
    table = change.table
    given = f"{_arrays(table, change.names)} AS given ({_quoted(change.names)})"
    where = " AND ".join(f'"{table.name}"."{name}" = given."{name}"' for name in change.keys)
    if change.columns is None:
        return f'DELETE FROM "{table.name}" USING {given} WHERE {where}'
    changed = ", ".join(f'"{name}" = given."{name}"' for name in change.columns)
    return f'UPDATE "{table.name}" SET {changed} FROM {given} WHERE {where}'


def _arrays(table: Table, names: Sequence[str]) -> str:
    return f"unnest({', '.join(f'%s::{_type(table, name)}[]' for name in names)})"


def _type(table: Table, name: str) -> str:
    kind = table.columns[name].type
    if isinstance(kind, Words):
        return kind.get_col_spec()
    return next((name for type_, name in _TYPES if isinstance(kind, type_)), "bigint")


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _columns_of(rows: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(map(_array, zip(*rows, strict=True)))
