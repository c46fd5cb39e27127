"""`richpanel export`: customers or their events, as a stream of JSON lines or CSV; nothing is held in memory."""

import csv
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
from cyclopts import Parameter
from sqlalchemy import Engine

from richpanel.commands.invocation import Data, definitions, existing, fail, state
from richpanel.log.contract import LogDamaged, LogGone, LogReader
from richpanel.log.opening import open_reader
from richpanel.store.account import AccountSettings, read_account
from richpanel.store.database import reading
from richpanel.store.person import ProfileView
from richpanel.store.profiles import list_profiles
from richpanel.store.sources import SourceRow, list_sources
from richpanel.store.timeline import list_timeline

_PAGE: Final = 500
_INTERNAL: Final = ("profile", "anonymousId")
_EVENT_COLUMNS: Final = ("uid", "id", "type", "event", "timestamp", "sessionId", "source", "channel", "properties")
Row = dict[str, Any]


@dataclass(frozen=True)
class _Store:
    """What the rows are read from."""

    state: Engine
    log: LogReader
    account: AccountSettings
    sources: Mapping[int, SourceRow]


def export(
    what: Annotated[Literal["customers", "events"], Parameter(help="customers, or the timelines of all customers.")],
    *,
    format: Annotated[Literal["jsonl", "csv"], Parameter(help="JSON lines, or CSV with a header.")] = "jsonl",
    data: Data = None,
) -> None:
    """Write the rows as they are read."""
    directory = existing(data)
    with definitions(directory) as connection:
        account = read_account(connection)
        sources = {source.number: source for source in list_sources(connection, deleted=True)}
    with state(directory) as engine:
        store = _Store(engine, open_reader(directory.log, directory.log_url), account, sources)
        rows = _customers(store) if what == "customers" else _events(store)
        try:
            if format == "csv":
                _write_csv(rows, _customer_columns() if what == "customers" else _EVENT_COLUMNS)
            else:
                _write_lines(rows)
            sys.stdout.flush()
        except BrokenPipeError:  # Whoever reads has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (LogDamaged, LogGone) as error:
            fail(f"{error}; `richpanel doctor --deep` says more")


def _write_lines(rows: Iterator[Row]) -> None:
    for row in rows:
        sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")


def _write_csv(rows: Iterator[Row], columns: tuple[str, ...]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])


def _cell(value: object) -> object:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


def _customer_columns() -> tuple[str, ...]:
    names = (field.encode_name for field in msgspec.structs.fields(ProfileView))
    return tuple(name for name in names if name not in _INTERNAL)


def _people(store: _Store) -> Iterator[ProfileView]:
    """Read the customers, those first seen first; each page is a snapshot of its own, so that writers go on."""
    cursor: str | None = None
    while True:
        with reading(store.state) as connection:
            page = list_profiles(
                connection, store.account, customers=True, q=None, sort="createdAt", cursor=cursor, limit=_PAGE
            )
        yield from page.data
        cursor = page.next
        if cursor is None:
            return


def _customers(store: _Store) -> Iterator[Row]:
    for customer in _people(store):
        row = _plain(customer)
        yield {name: value for name, value in row.items() if name not in _INTERNAL}


def _events(store: _Store) -> Iterator[Row]:
    for customer in _people(store):
        cursor: str | None = None
        while True:
            with reading(store.state) as connection:
                page = list_timeline(
                    connection,
                    store.log.slice,
                    store.account,
                    store.sources,
                    customer.profile,
                    cursor=cursor,
                    limit=_PAGE,
                )
            for event in page.data:
                yield {"uid": customer.uid, **_plain(event)}
            cursor = page.next
            if cursor is None:
                break


def _plain(view: object) -> Row:
    row: Row = msgspec.to_builtins(view, builtin_types=(msgspec.Raw,))
    return row
