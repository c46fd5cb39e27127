"""Where an account moves from and to: what is looked at before anything is copied, and what is made ready there."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path

from sqlalchemy import Connection, Engine

from richpanel.commands.database_checks import server
from richpanel.commands.moving_shown import Telling
from richpanel.config import Settings, read_settings
from richpanel.log import ground
from richpanel.log.ground import Ground
from richpanel.log.opening import stream_of
from richpanel.log.stream import Stream
from richpanel.store import half_copy, moving
from richpanel.store.account import account_name
from richpanel.store.bulk import fetch
from richpanel.store.database import Branch, open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.half_copy import HalfCopy
from richpanel.store.migrating import migrate
from richpanel.store.moving_deliveries import any_deliveries
from richpanel.store.nodes import check_key
from richpanel.store.revisions import is_newest

_BRANCHES: tuple[Branch, ...] = ("account", "state", "delivery")
_PATIENCE_SECONDS = 600.0
"""How long a statement waits for somebody else's lock at the target."""


class MoveError(Exception):
    """It cannot be done; the text says why and what to do."""


@dataclass(frozen=True)
class Sides:
    """The files that the account is in, the cluster that it moves to, and this node's secret key if it is a setting."""

    old: DataDirectory
    new: DataDirectory
    stream: Stream
    secret_key: str | None

    @staticmethod
    def of(settings: Settings, database_url: str, log_url: str) -> "Sides":
        """Take the command line's word for where it goes. Raises SettingError."""
        given = {"data": settings.data, "database_url": database_url, "log_url": log_url}
        target = read_settings(given, environ).settings
        new = DataDirectory(settings.data, target.database_url, target.log_url)
        return Sides(DataDirectory(settings.data), new, stream_of(target.log_url or ""), settings.secret_key)

    @property
    def path(self) -> Path:
        """The data directory."""
        return self.old.path

    @property
    def log_name(self) -> str:
        """What people call the stream; nothing secret is in it."""
        hosts = ", ".join(server.rpartition("@")[2].rpartition("//")[2] for server in self.stream.servers)
        return f"the stream {self.stream.name} at {hosts}"

    @contextmanager
    def opened(self, branch: Branch) -> Iterator[Engine]:
        """Open a schema of the target."""
        engine = open_engine(_urls(self.new)[branch], busy_seconds=_PATIENCE_SECONDS)
        try:
            yield engine
        finally:
            engine.dispose()

    @contextmanager
    def definitions(self, *, write: bool = False) -> Iterator[Engine]:
        """Open the definitions that are copied."""
        engine = open_engine(self.old.account_url, read_only=not write, cache_mib=1)
        try:
            yield engine
        finally:
            engine.dispose()


def _urls(place: DataDirectory) -> dict[Branch, str]:
    return {"account": place.account_url, "state": place.state_url, "delivery": place.delivery_url}


def check(sides: Sides, telling: Telling) -> str:
    """Look at both sides; give the account's name. Raises MoveError, SecretKeyError, GroundError, ConnectionError."""
    if not sides.old.exists:
        raise MoveError(f"there is no account in files at {sides.path}")
    for branch in _BRANCHES:
        if not is_newest(sides.path / f"{branch}.db", branch):
            raise MoveError(f"{branch}.db is not of this version: start the server of this version on it once")
    with sides.definitions() as engine, reading(engine) as connection:
        check_key(connection, sides.path, sides.secret_key)
        account = account_name(connection)
    if account is None:
        raise MoveError(f"there is no account at {sides.path}")
    found = asyncio.run(ground.survey(sides.stream))
    half = _look_at_database(sides, telling, account)
    if found.records and (half is None or (half.stream, half.stream_made) != (sides.stream.name, found.made)):
        raise MoveError(
            f"{sides.log_name} holds {found.records:,} records that this command has not put there: name another "
            "stream (`?stream=NAME` behind the servers), or delete it where nobody needs it"
        )
    _tell(sides, telling, found, again=half is not None)
    return account


def _tell(sides: Sides, telling: Telling, found: Ground, *, again: bool) -> None:
    holds = f"room for {found.max_bytes:,} bytes" if found.max_bytes > 0 else "no limit"
    text = f"from {sides.path} to {sides.new.databases} and {sides.log_name} (nats-server {found.version}, {holds})"
    if again:
        text += "; an earlier copy that was not finished is made anew"
    telling.say("checked", text, database=sides.new.databases, log=sides.log_name, again=again)


def _look_at_database(sides: Sides, telling: Telling, account: str) -> HalfCopy | None:
    """Look at the database; give the mark of an unfinished copy of this account. Raises MoveError."""
    with sides.opened("account") as engine:
        for found in server(engine, sides.new.databases):
            if found.state == "problem" and found.name != "durability":
                raise MoveError(f"{found.name}: {found.text}")
            if found.state == "problem":
                telling.say("note", f"note: {found.name}: {found.text}", about=found.name, note=found.text)
        with engine.connect() as connection:
            ours = _our_schemas(connection, sides)
            if "account" not in ours:
                return None
            half, there = half_copy.find(connection), account_name(connection)
    if half is not None and half.account != account:
        raise MoveError(f"{sides.new.databases} holds an unfinished copy of another account: {_ELSEWHERE}")
    if there is not None:
        which = "this account" if there == account else "another account"
        raise MoveError(f"{sides.new.databases} holds {which} already: {_ELSEWHERE}")
    if half is None:
        _see_empty(sides, ours)
    return half


def _see_empty(sides: Sides, ours: set[str]) -> None:
    """See that nothing is in the schemas that are there. Raises MoveError."""
    looks: tuple[tuple[Branch, str, Callable[[Connection], bool]], ...] = (
        ("state", "a state", lambda connection: not moving.is_empty(connection)),
        ("delivery", "deliveries", any_deliveries),
    )
    for branch, what, holds in looks:
        if branch in ours:
            with sides.opened(branch) as engine, reading(engine) as connection:
                if holds(connection):
                    raise MoveError(f"{sides.new.databases} holds {what} already: {_ELSEWHERE}")


def _our_schemas(connection: Connection, sides: Sides) -> set[str]:
    """Give those of our schemas that are there and have tables. Raises MoveError for somebody else's."""
    statement = (
        "SELECT n.nspname, bool_or(c.relname = 'alembic_version') FROM pg_namespace n "
        "JOIN pg_class c ON c.relnamespace = n.oid "
        "WHERE n.nspname IN ('account', 'state', 'delivery') GROUP BY n.nspname"
    )
    found = dict(tuple(row) for row in fetch(connection, statement))
    if strange := sorted(name for name, ours in found.items() if not ours):
        raise MoveError(f"{sides.new.databases} has a schema `{strange[0]}` of somebody else's: {_ELSEWHERE}")
    return set(found)


_ELSEWHERE = (
    "name an empty database, or drop the schemas `account`, `state` and `delivery` there where nobody needs them"
)


def make_ready(sides: Sides, account: str, floor: int) -> tuple[HalfCopy, int]:
    """Make the target ready and empty; give its mark, and where the first record of the stream will stand.

    Raises GroundError, RevisionError, ConnectionError.
    """
    for branch, url in _urls(sides.new).items():
        migrate(url, branch)
    made = asyncio.run(ground.make(sides.stream))
    copy = HalfCopy(secrets.token_hex(8), account, sides.stream.name, made)
    with sides.opened("account") as engine, engine.begin() as connection:
        half_copy.mark(connection, copy)
        moving.clear(connection, keep=("half_copy",))
    for branch in ("state", "delivery"):
        with sides.opened(branch) as engine, engine.begin() as connection:
            moving.clear(connection)
    return copy, asyncio.run(ground.clear(sides.stream, floor))
