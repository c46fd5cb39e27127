"""`richpanel restore` on a cluster: a backup of one goes into an empty database, and the stream is handed out again.

No server starts on the copy before all of it is there, is what the backup says, and is held to the ledger: until then
it has the mark of half a copy, which the next try makes anew.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final

from rich.progress import Progress
from sqlalchemy import Engine

from richpanel.commands.bundle import BundleError, ClusterHeld, Manifest, Member
from richpanel.commands.examining import UnsoundError
from richpanel.config import Settings
from richpanel.log import ground
from richpanel.log.ground import GroundError
from richpanel.log.opening import stream_of
from richpanel.process.definitions import Watch
from richpanel.process.incoming import Opened
from richpanel.process.memory import Memory
from richpanel.process.regulating import regulate
from richpanel.store import dumping, half_copy, moving, progress
from richpanel.store.account import account_name, read_account
from richpanel.store.advisory import Seat
from richpanel.store.bodies import StoredBodies
from richpanel.store.database import Branch, open_engine, reading
from richpanel.store.delivery_erasing import sweep
from richpanel.store.directory import DataDirectory
from richpanel.store.half_copy import HalfCopy
from richpanel.store.ledger import RegulationRow, adopt, oldest_first
from richpanel.store.migrating import migrate
from richpanel.store.moved import put
from richpanel.store.nodes import check_key
from richpanel.store.revisions import is_newest, revisions
from richpanel.store.secret_key import KEY_FILE, read_key
from richpanel.store.secrets import SecretKeyError
from richpanel.store.urls import is_postgres, schema_url, shown_url

_BRANCHES: Final[tuple[Branch, ...]] = ("account", "state", "delivery")
_TABLE: Final = re.compile(r"(?:account|state|delivery)/[a-z_0-9]+\.copy")
_CHUNK: Final = 1 << 20
_PATIENCE_SECONDS: Final = 600.0


def put_member(staging: Path, member: Member) -> BinaryIO:
    """Open the place of a member, for this user alone. Raises BundleError where no backup of a cluster has it."""
    if member.name == "account.db":
        raise BundleError(
            "is of a data directory: restore it without database_url and log_url, then move it (`richpanel migrate-to`)"
        )
    if member.name != KEY_FILE and not _TABLE.fullmatch(member.name):
        raise BundleError(f"is no backup of a cluster: that has no {member.name!r}")
    path = staging / member.name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def check_member_list(staging: Path, manifest: Manifest) -> ClusterHeld:
    """See that the file has what it says it has. Raises UnsoundError."""
    held = manifest.cluster
    if held is None:
        raise UnsoundError("it does not say what its tables are")
    for branch in _BRANCHES:
        if manifest.revisions.get(branch) not in revisions(branch):
            raise UnsoundError(f"its schema {branch} is of revision {manifest.revisions.get(branch)}, not known here")
    for table in held.tables:
        if not (staging / table.file).is_file():
            raise UnsoundError(f"it has no {table.file}")
    return held


def put_into_cluster(
    staging: Path, manifest: Manifest, settings: Settings, ledger: str | None, bar: Progress
) -> list[str]:
    """Fill the database; give what a person should know.

    Raises UnsoundError, GroundError, RevisionError, DatabaseError, OSError.
    """
    held = check_member_list(staging, manifest)
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    with closing(Seat(settings.database_url or "", "restore")) as seat, _opened(directory) as (account, state):
        if not seat.is_held():
            raise UnsoundError(f"{directory.databases} does not answer, or somebody else restores into it")
        mark = _look_at_stream(directory, held)
        _make_ready(directory, account, state, mark, manifest)
        _fill(state, staging, held, bar)
        for branch, url in zip(_BRANCHES, _urls(directory), strict=True):
            migrate(url, branch)
        with state.begin() as connection:
            moving.analyze(connection)
        notes = [*_key(staging, account, settings), _followed(account, state, ledger, manifest)]
        with _delivery(directory) as delivery, delivery.begin() as connection, reading(state) as known:
            sweep(connection, known)
        with account.begin() as connection:
            half_copy.put_in_force(connection)
    return notes


@contextmanager
def _opened(directory: DataDirectory) -> Iterator[tuple[Engine, Engine]]:
    urls = (directory.account_url, directory.state_url)
    account, state = (open_engine(url, busy_seconds=_PATIENCE_SECONDS) for url in urls)
    try:
        yield account, state
    finally:
        account.dispose()
        state.dispose()


def _look_at_stream(directory: DataDirectory, held: ClusterHeld) -> HalfCopy:
    """See that the stream is the one that the backup goes with, whose records are handed out again, or has none.

    Gives the mark of the copy. Raises GroundError, ConnectionError.
    """
    stream = stream_of(directory.log_url or "")
    found = asyncio.run(ground.survey(stream))
    if (stream.name, found.made) == (held.stream, held.stream_made):
        asyncio.run(ground.hand_out_again(stream))
    elif found.records:
        raise GroundError(
            f"the stream {stream.name} holds {found.records:,} records, and is not the one that the backup goes with: "
            "name another one (`?stream=NAME` behind the servers), or delete it where nobody needs it"
        )
    return HalfCopy(token_hex(8), held.account, stream.name, found.made or "")


def _make_ready(directory: DataDirectory, account: Engine, state: Engine, mark: HalfCopy, manifest: Manifest) -> None:
    """Make both schemas as they were when the backup was made, empty, with a mark. Raises UnsoundError."""
    if not _is_there(account):
        for branch, url in zip(_BRANCHES, _urls(directory), strict=True):
            migrate(url, branch, to=manifest.revisions[branch])
    with account.begin() as connection:
        half = half_copy.find(connection)
        if account_name(connection) is not None and half is None:
            raise UnsoundError(
                f"{directory.databases} holds an account already: name an empty database, or drop the schemas "
                "`account`, `state` and `delivery` there where nobody needs them"
            )
        if half is not None and half.account != mark.account:
            raise UnsoundError(f"{directory.databases} holds an unfinished copy of another account: name another one")
        half_copy.mark(connection, mark)
        moving.clear(connection, keep=("half_copy",))
    with state.begin() as connection:
        moving.clear(connection)
    with _delivery(directory) as delivery, delivery.begin() as connection:
        moving.clear(connection)


def _urls(directory: DataDirectory) -> tuple[str, ...]:
    return directory.account_url, directory.state_url, directory.delivery_url


@contextmanager
def _delivery(directory: DataDirectory) -> Iterator[Engine]:
    engine = open_engine(directory.delivery_url, busy_seconds=_PATIENCE_SECONDS)
    try:
        yield engine
    finally:
        engine.dispose()


def _is_there(account: Engine) -> bool:
    with reading(account) as connection:
        return bool(connection.exec_driver_sql("SELECT to_regclass('account.account') IS NOT NULL").scalar())


def _fill(state: Engine, staging: Path, held: ClusterHeld, bar: Progress) -> None:
    """Fill all tables in one transaction, and read them back. Raises UnsoundError."""
    with state.begin() as connection:
        for table in held.tables:
            path = staging / table.file
            task = bar.add_task(f"filling {table.file}", total=path.stat().st_size)
            dumping.load(connection, table, _content(path), partial(bar.advance, task))
            if (now := dumping.digest_of(connection, table, lambda _: None)) != table.digest:
                raise UnsoundError(f"the database holds {now} of {table.file}, and the backup says {table.digest}")
            bar.remove_task(task)
        dumping.number_on(connection, held.numbers)


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _key(staging: Path, account: Engine, settings: Settings) -> list[str]:
    """Put the key where this node has none; tell where it has none then, or another one."""
    packed = staging / KEY_FILE
    if packed.exists() and read_key(settings.data, settings.secret_key) is None:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        put(settings.data / KEY_FILE, packed.read_bytes())
    try:
        with reading(account) as connection:
            check_key(connection, settings.data, settings.secret_key)
    except SecretKeyError as error:
        return [f"{error}."]
    return []


# ------------------------------------------------------------------------------------------------------- the ledger


def _followed(account: Engine, state: Engine, ledger: str | None, manifest: Manifest) -> str:
    """Erase again what was erased after the backup was made (`semantics.md` 10). Raises UnsoundError."""
    if ledger is None:
        made = manifest.about.created_at
        return f"What was erased or kept out since {made} is not known to this backup: --ledger tells it."
    place, url = _place(ledger)
    theirs = open_engine(url, read_only=True)
    try:
        with reading(theirs) as other, account.begin() as connection:
            if read_account(connection).hash_key != read_account(other).hash_key:
                raise UnsoundError(f"the ledger at {place} is of another installation")
            fresh = set(adopt(connection, other))
            rows = [row for row in oldest_first(connection) if row.id in fresh]
    finally:
        theirs.dispose()
    watch = Watch(account)
    for row in rows:
        _apply(state, watch, row)
    return f"{len(rows):,} regulations since then were followed again, as the ledger at {place} tells them."


def _place(ledger: str) -> tuple[str, str]:
    """Give how a ledger's place is called, and where it is. Raises UnsoundError."""
    if is_postgres(ledger):
        return shown_url(ledger), schema_url(ledger, "account")
    path = Path(ledger)
    path = path / "account.db" if path.is_dir() else path
    if not path.is_file():
        raise UnsoundError(f"there is no ledger at {ledger}: name a database (postgresql://...), or an account.db")
    if not is_newest(path, "account"):
        raise UnsoundError(f"the ledger at {ledger} is not of this version: `richpanel migrate --data` there first")
    return ledger, f"sqlite:///{path}"


def _apply(state: Engine, watch: Watch, row: RegulationRow) -> None:
    """Apply a regulation to all that is there. What its person sent before is kept out by the ledger."""
    with state.begin() as connection:
        definitions = watch.current()
        end = progress.read(connection).position
        opened = Opened(definitions.version, end, [], [], row.created_at, row.regulation)
        memory = Memory(connection, definitions.account.hash_key, shared=True)
        regulate(
            connection, memory, definitions, opened, StoredBodies(connection), regulation=row.regulation, watch=watch
        )
