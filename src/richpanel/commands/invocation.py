"""What the verbs share: their options, the data directory they work on, and how they print."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, IntegrityError

from richpanel.config import Settings, read_settings
from richpanel.store.database import Branch, open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.half_copy import HalfCopyError
from richpanel.store.migrating import RevisionError
from richpanel.store.preparing import prepare
from richpanel.store.secrets import SecretKeyError

Data = Annotated[Path | None, Parameter(name="--data", help="Data directory (RICHPANEL_DATA; default: ./data).")]
AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="Print JSON.")]


def fail(text: str, code: int = 1) -> NoReturn:
    """End the command with one line that says what to do."""
    sys.stderr.write(f"richpanel: {text}\n")
    sys.exit(code)


def settings_of(data: Path | None) -> Settings:
    """Give the settings in force for a verb whose only setting option is `--data`. Raises SettingError."""
    return read_settings({"data": data}, environ).settings


def directory_of(settings: Settings) -> DataDirectory:
    """Tell where everything is."""
    return DataDirectory(settings.data, settings.database_url, settings.log_url)


def existing(data: Path | None) -> DataDirectory:
    """Give the data directory, where there must be one."""
    directory = directory_of(settings_of(data))
    try:
        found = directory.exists
    except ConnectionError as error:
        fail(str(error))
    if found:
        return directory
    if directory.is_embedded:
        fail(
            f"there is no data directory at {directory.path}: start one with `richpanel serve`, or name it with --data"
        )
    fail(f"there is no account at {directory.databases}: start a server with `richpanel serve`")


def ready(data: Path | None, *, new_key: bool = False) -> DataDirectory:
    """Give the data directory, made and migrated where that is needed; `new_key`: as `store.preparing` says."""
    settings = settings_of(data)
    directory = directory_of(settings)
    try:
        prepare(directory, secret_key=settings.secret_key, new_key=new_key)
    except (OSError, SecretKeyError, RevisionError, HalfCopyError, DatabaseError) as error:
        fail(f"cannot use {_what(directory)} {directory.databases}: {_reason(error)}")
    return directory


def _what(directory: DataDirectory) -> str:
    return "the data directory" if directory.is_embedded else "the database"


def _named(directory: DataDirectory, branch: Branch) -> str:
    return str(directory.path / f"{branch}.db") if directory.is_embedded else f"the schema {branch}"


def _reason(error: Exception) -> str:
    return str(error.orig) if isinstance(error, DatabaseError) else str(error)


@contextmanager
def definitions(directory: DataDirectory, *, write: bool = False) -> Iterator[Connection]:
    """Open the definitions: one snapshot, or with `write` one transaction."""
    engine = open_engine(directory.account_url, read_only=not write, cache_mib=1)
    try:
        with engine.begin() if write else reading(engine) as connection:
            yield connection
    except IntegrityError:
        raise  # Something is there already: the verb says what.
    except DatabaseError as error:
        fail(f"{_named(directory, 'account')}: {_reason(error)}")
    finally:
        engine.dispose()


@contextmanager
def state(directory: DataDirectory) -> Iterator[Engine]:
    """Open the state; `reading` gives a snapshot of it."""
    engine = open_engine(directory.state_url, read_only=True)
    try:
        yield engine
    except DatabaseError as error:
        fail(f"{_named(directory, 'state')}: {_reason(error)}")
    finally:
        engine.dispose()


def console(*, stderr: bool = False) -> Console:
    """Give a console that wraps nothing where it is no terminal: programs read lines."""
    made = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = 1_000
    return made


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print a table, or `empty` where it has no rows."""
    if not rows:
        console().print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row))
    console().print(table)
