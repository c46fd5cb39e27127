"""The reference of the whole path: insert the rows that it has written into an empty store, in as many transactions.

The same tables, the same SQLite, the same settings and page cache, the rows in the order in which they came to be; read
beforehand, so that only BEGIN, the inserts and COMMIT are timed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from richpanel.process.worker import CACHE_MIB
from richpanel.store import schema
from richpanel.store.database import open_engine, sqlite_url
from richpanel.store.migrating import migrate

_CREATED: Final = {  # What a table's rows are numbered by as they come; else their key.
    "message_ids": "n",
    "history": "n",
    "ownership": "alias",
    "addresses": "t",
    "sessions": "end",
    "order_profiles": '"order"',
}


def bulk_insert(data: Path, batches: int, progress: Callable[[float], object]) -> float:
    """Insert what `state.db` in `data` holds into a new one beside it; gives the seconds that the inserts took."""
    target = data / "bulk"
    target.mkdir()
    migrate(sqlite_url(target, "state"), "state")
    engines = (
        open_engine(sqlite_url(data, "state"), read_only=True),
        open_engine(sqlite_url(target, "state"), cache_mib=CACHE_MIB),
    )
    seconds = 0.0
    try:
        with engines[0].connect() as source, engines[1].connect() as store:
            readers = [_Rows(source, table, batches) for table in _tables()]
            for number in range(batches):
                rows = [(reader.insert, next(reader)) for reader in readers]
                start = time.perf_counter()
                with store.begin():
                    for statement, values in rows:
                        if values:
                            store.exec_driver_sql(statement, values)
                seconds += time.perf_counter() - start
                progress(number + 1)
            if not all(reader.ended() for reader in readers):
                raise RuntimeError("rows are left over")
    finally:
        for engine in engines:
            engine.dispose()
    return seconds


def _tables() -> list[tuple[str, str, str, list[str]]]:
    """List (name, order in which rows came, columns, key) of every table."""
    found = []
    for table in schema.metadata.sorted_tables:
        key = [column.name for column in table.primary_key]
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        found.append((table.name, _CREATED.get(table.name, ", ".join(f'"{name}"' for name in key)), columns, key))
    return [*found, (schema.SEARCH, "rowid", "rowid, name, email, phone, uid", ["rowid"])]


class _Rows:
    """A table's rows in order, cut into as many pieces as there were transactions; each sorted by its key."""

    def __init__(self, source: Connection, table: tuple[str, str, str, list[str]], batches: int) -> None:
        name, order, columns, key = table
        names = [column.strip().strip('"') for column in columns.split(",")]
        self.insert = f'INSERT INTO "{name}" ({columns}) VALUES ({", ".join("?" * len(names))})'
        self._key = [names.index(part) for part in key]
        self._count: int = source.exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()
        self._rows = source.exec_driver_sql(f'SELECT {columns} FROM "{name}" ORDER BY {order}')
        self._batches = batches
        self._number = 0

    def __iter__(self) -> Iterator[list[tuple[Any, ...]]]:
        return self

    def __next__(self) -> list[tuple[Any, ...]]:
        size = self._count * (self._number + 1) // self._batches - self._count * self._number // self._batches
        self._number += 1
        rows = [tuple(row) for row in self._rows.fetchmany(size)] if size else []
        return sorted(rows, key=lambda row: [row[index] for index in self._key])

    def ended(self) -> bool:
        """Whether no row is left."""
        with closing(self._rows):
            return self._rows.fetchone() is None
