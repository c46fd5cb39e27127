"""`richpanel backup` on a cluster: definitions and state as of one instant, out of PostgreSQL, while servers go on.

All tables are read in one snapshot. The stream is no part of it: what it brought is in PostgreSQL within moments, and
what is on its way then is still in the stream. `restore` has it handed out again.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, cast

from sqlalchemy import Connection

from richpanel import __version__
from richpanel.commands.bundle import FORMAT, About, BundleWriter, ClusterHeld, Manifest
from richpanel.commands.draft import Draft
from richpanel.log.ground import survey
from richpanel.log.opening import stream_of
from richpanel.store import dumping
from richpanel.store.account import account_name
from richpanel.store.bulk import fetch
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.dumping import Dumped
from richpanel.store.profiles import count_profiles
from richpanel.store.secrets import KEY_FILE
from richpanel.store.status import message_count, processed, source_counts

_SIZE = (
    "SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint FROM pg_class c WHERE c.relkind = 'r' "
    "AND c.relnamespace IN ('account'::regnamespace, 'state'::regnamespace, 'delivery'::regnamespace)"
)
_REVISION = "SELECT version_num FROM {}.alembic_version"
Meter = Callable[[int], None]


def write_cluster(directory: DataDirectory, draft: Draft, *, of: Meter, spend: Meter, secrets: bool) -> Manifest:
    """Write everything; `of` hears about how many bytes there are, `spend` of those that are done, and may wait.

    Raises DatabaseError, OSError (also where the stream's servers do not answer), GroundError.
    """
    now = datetime.now(UTC)
    about = About(FORMAT, __version__, now.isoformat(timespec="seconds").replace("+00:00", "Z"))
    stream = stream_of(directory.log_url or "")
    made = asyncio.run(survey(stream)).made  # Before the snapshot: a later one of the same name is another stream.
    writer = BundleWriter(cast("BinaryIO", draft), about, modified=now.timestamp())
    account, state = (open_engine(url, read_only=True) for url in (directory.account_url, directory.state_url))
    try:
        with reading(account) as connection, draft.aside() as copies:
            of(int(fetch(connection, _SIZE)[0][0]))
            tables = [_add(connection, writer, table, copies / "table", spend) for table in dumping.tables(connection)]
            name = account_name(connection) or ""
            revisions = {schema: fetch(connection, _REVISION.format(schema))[0][0] for schema in dumping.SCHEMAS}
            connection.exec_driver_sql("SET LOCAL search_path = state")  # For what is written without a schema.
            applied, counts = processed(connection), source_counts(connection)
            people = [count_profiles(connection, customers) for customers in (True, False)]
        with reading(state) as connection:
            numbers = dumping.numbers(connection)  # Behind all rows: they are no part of a snapshot.
    finally:
        for engine in (account, state):
            engine.dispose()
    key = directory.path / KEY_FILE
    has_key = secrets and key.exists()
    if has_key:
        _add_file(writer, KEY_FILE, key)
    manifest = Manifest(
        about=about,
        log_first=applied.position,
        log_end=applied.position,
        processed=applied.position,
        messages=message_count(counts),
        customers=people[0],
        visitors=people[1],
        revisions=revisions,
        secret_key=has_key,
        members=list(writer.members),
        cluster=ClusterHeld(name, stream.name, made, tables, numbers),
    )
    writer.finish(manifest)
    return manifest


def _add(connection: Connection, writer: BundleWriter, table: Dumped, copy: Path, spend: Meter) -> Dumped:
    """Add a table, by way of a file: its size goes first."""
    with copy.open("wb") as file:
        written = dumping.dump(connection, table, file.write, spend)
    _add_file(writer, table.file, copy)
    copy.unlink()
    return written


def _add_file(writer: BundleWriter, name: str, path: Path) -> None:
    with path.open("rb") as file:
        writer.add(name, path.stat().st_size, file)
