"""What `richpanel doctor` looks at in the databases: files of SQLite's, or the schemas of a PostgreSQL server."""

import time
from collections.abc import Iterator
from typing import Any, Final

from rich.filesize import decimal
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError

from richpanel.commands.checks import Check, State
from richpanel.core.timestamps import iso
from richpanel.store import checks
from richpanel.store.bulk import fetch
from richpanel.store.connectors import connector_secret, list_connectors
from richpanel.store.database import Branch, open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.nodes import check_key
from richpanel.store.postgres import is_pooled
from richpanel.store.revisions import ASK_STORED, Stored, goes_on, is_newer, newest
from richpanel.store.secrets import SecretKeyError, open_secrets

_BRANCHES: Final[tuple[Branch, ...]] = ("account", "state")
_OLDEST: Final = 150_000
"""PostgreSQL 15, as it writes its own version."""
_CLOCK_SECONDS: Final = 2.0
_MANY: Final = 0.8
_DURABLE: Final = ("fsync", "full_page_writes")


def databases(directory: DataDirectory, secret_key: str | None, *, deep: bool) -> Iterator[Check]:
    """Look at both databases: their server if they have one, their tables, their secrets, with `deep` every page."""
    for branch, url in zip(_BRANCHES, (directory.account_url, directory.state_url), strict=True):
        engine = open_engine(url, read_only=True, cache_mib=4)
        try:
            if branch == "account" and not directory.is_embedded:
                yield from server(engine, directory.databases)
            with reading(engine) as connection:
                tables = _revision(connection, directory, branch)
                yield tables
                if deep and directory.is_embedded:
                    yield _pages(connection, branch)
                if branch == "state" and tables.state == "ok":
                    yield from _memberships(connection)
                if branch == "account" and tables.state == "ok":
                    _open_secrets(connection, directory, secret_key)
        except DatabaseError as error:
            yield Check(_called(directory, branch), "problem", f"cannot be read: {error.orig}")
            if not directory.is_embedded and error.connection_invalidated:
                return
        except (SecretKeyError, OSError, LookupError) as error:
            yield Check("secret key", "problem", str(error))
        finally:
            engine.dispose()


def _memberships(connection: Connection) -> Iterator[Check]:
    """Say what came of counting memberships again, where that was done."""
    plans, differing, began = checks.summary(connection)
    if began is None:
        return
    counted = f"{plans} counted again since {iso(began)}"
    if differing:
        yield Check("audiences", "note", f"{counted}: {differing} memberships differed, and were made afresh")
    else:
        yield Check("audiences", "ok", f"{counted}: all agree with the stored messages")


def _called(directory: DataDirectory, branch: Branch) -> str:
    return f"{branch}.db" if directory.is_embedded else f"schema {branch}"


def _open_secrets(connection: Connection, directory: DataDirectory, key: str | None) -> None:
    box = open_secrets(directory.path, key)
    check_key(connection, directory.path, key)
    for connector in list_connectors(connection):
        connector_secret(connection, box, connector.id)


def _pages(connection: Connection, branch: Branch) -> Check:
    found = connection.exec_driver_sql("PRAGMA quick_check").scalar()
    state: State = "ok" if found == "ok" else "problem"
    return Check(f"{branch}.db", state, "every page is sound" if found == "ok" else f"damaged: {found}")


def _revision(connection: Connection, directory: DataDirectory, branch: Branch) -> Check:
    called, wanted = _called(directory, branch), newest(branch)
    if not directory.is_embedded and not fetch(connection, "SELECT to_regclass('alembic_version')")[0][0]:
        return Check("migrations", "problem", f"{called} is not there: run `richpanel migrate`, or start the server")
    stored = _stored(connection, directory)
    if stored.revision == wanted:
        return Check("migrations", "ok", f"{called} is at {stored.revision}")
    if is_newer(stored, branch):
        newer = f"{called} is at {stored.revision}, newer than this version"
        if goes_on(stored, branch):
            return Check("migrations", "note", f"{newer}, which goes on with it: install {stored.version} here, too")
        return Check("migrations", "problem", f"{newer}: install {stored.version or 'a newer one'}")
    return Check(
        "migrations", "problem", f"{called} is at {stored.revision}: run `richpanel migrate`, or start the server"
    )


def _stored(connection: Connection, directory: DataDirectory) -> Stored:
    if directory.is_embedded:
        return Stored(str(fetch(connection, "SELECT version_num FROM alembic_version")[0][0]), None, None)
    return Stored(*fetch(connection, ASK_STORED)[0])


def server(engine: Engine, called: str) -> Iterator[Check]:
    """Look at the server: what it is, what it promises, how full it is, and its clock."""
    with engine.connect() as connection:
        yield _version(connection, called)
        yield _sessions(connection)
        yield _encoding(connection)
        yield _durability(connection)
        yield _connections(connection)
        yield _sizes(connection)
        yield _clock(connection)


def _setting(connection: Connection, name: str) -> str:
    return str(fetch(connection, "SELECT current_setting(?)", name)[0][0])


def _version(connection: Connection, called: str) -> Check:
    version = _setting(connection, "server_version")
    if int(_setting(connection, "server_version_num")) < _OLDEST:
        return Check("PostgreSQL", "problem", f"{version} at {called}: 15 or later is needed")
    if fetch(connection, "SELECT pg_is_in_recovery()")[0][0]:
        return Check("PostgreSQL", "problem", f"{called} is a standby, which takes no writes: name the primary")
    return Check("PostgreSQL", "ok", f"{version} at {called}")


def _sessions(connection: Connection) -> Check:
    """Say whether a pooler is in between; where it shares sessions, there would be no connection."""
    if is_pooled(connection):
        return Check("sessions", "ok", "a pooler is in between, and leaves each session to whoever has got it")
    return Check("sessions", "ok", "nothing is between this program and the server")


def _encoding(connection: Connection) -> Check:
    encoding = _setting(connection, "server_encoding")
    ((locale,),) = fetch(connection, "SELECT datcollate FROM pg_database WHERE datname = current_database()")
    if encoding != "UTF8":
        return Check("encoding", "problem", f"{encoding}: the database must be made with ENCODING 'UTF8'")
    return Check("encoding", "ok", f"{encoding}, locale {locale}; our texts are ordered by their bytes")


def _durability(connection: Connection) -> Check:
    """What a commit promises: calls are acknowledged as processed, and let go from the stream, after one."""
    commit = _setting(connection, "synchronous_commit")
    off = [name for name in _DURABLE if _setting(connection, name) == "off"]
    off += ["synchronous_commit"] if commit == "off" else []
    if off:
        lost = "a power cut takes what was acknowledged, or the whole database: turn it on"
        return Check("durability", "problem", f"{', '.join(off)} is off: {lost}")
    standbys = _setting(connection, "synchronous_standby_names")
    kept = f"and on the standbys {standbys}" if standbys and commit != "local" else "and on no standby"
    return Check("durability", "ok", f"synchronous_commit is {commit}: a commit is on this server's disk {kept}")


def _connections(connection: Connection) -> Check:
    most = int(_setting(connection, "max_connections"))
    ((used, ours),) = fetch(
        connection,
        "SELECT count(*), count(*) FILTER (WHERE application_name LIKE 'richpanel%') FROM pg_stat_activity "
        "WHERE backend_type = 'client backend'",
    )
    state: State = "note" if used > _MANY * most else "ok"
    return Check("connections", state, f"{used:,} of {most:,}, {ours:,} of them ours")


def _sizes(connection: Connection) -> Check:
    rows: Any = fetch(
        connection,
        "SELECT n.nspname, sum(pg_total_relation_size(c.oid)) FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE n.nspname IN ('account', 'state') AND c.relkind IN ('r', 'm') "
        "GROUP BY n.nspname ORDER BY n.nspname",
    )
    return Check("size", "ok", ", ".join(f"{name} {decimal(int(size))}" for name, size in rows) or "nothing yet")


def _clock(connection: Connection) -> Check:
    """Compare its clock with ours, at the middle of the question's way."""
    asked = time.time()
    ((theirs,),) = fetch(connection, "SELECT extract(epoch FROM clock_timestamp())")
    apart = abs(float(theirs) - (asked + time.time()) / 2)
    if apart > _CLOCK_SECONDS:
        return Check("clocks", "note", f"the database's clock is {apart:,.1f} s apart from this machine's: set both")
    return Check("clocks", "ok", f"the database's clock is {apart * 1000:,.0f} ms apart from this machine's")
