"""What must hold of the files of a backup before they are a data directory (`richpanel restore`)."""

from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Final

from rich.progress import Progress

from richpanel.commands.bundle import Manifest
from richpanel.commands.regulating import regulate
from richpanel.config import read_settings
from richpanel.log.archive import Archive
from richpanel.log.contract import LogDamaged
from richpanel.log.files import DurableMark, archive_path, segment_bases, segment_path
from richpanel.log.frames import RecordWalk
from richpanel.store import copying
from richpanel.store.account import read_account
from richpanel.store.connectors import connector_secret, list_connectors
from richpanel.store.copying import DatabaseDamagedError, WrongRevisionError
from richpanel.store.database import Branch, open_engine, reading
from richpanel.store.delivery_erasing import sweep
from richpanel.store.directory import DataDirectory
from richpanel.store.ledger import adopt, oldest_first
from richpanel.store.migrating import migrate
from richpanel.store.revisions import is_newest
from richpanel.store.secrets import KEY_FILE, SecretKeyError, open_secrets
from richpanel.store.status import processed

_CHUNK: Final = 1 << 20
_BRANCHES: Final[tuple[Branch, ...]] = ("account", "state", "delivery")


class UnsoundError(Exception):
    """The files are whole, and yet no data directory: the text says why."""


def examine(staged: DataDirectory, manifest: Manifest, bar: Progress, ledger: Path | None) -> list[str]:
    """Make sure that unpacked files fit together, and bring their tables up to date; give what a person should know.

    Behind this nothing is in place yet: what must not come back with old data (`semantics.md` 10) is taken out here,
    after the migration, as the `ledger` of the installation says that this one follows. Raises UnsoundError,
    LogDamaged, sqlalchemy.exc.DatabaseError, OSError.
    """
    _check_log(staged.log, manifest, bar)
    for branch, url in _urls(staged):
        if branch == "delivery" and not (staged.path / "delivery.db").exists():
            continue  # A backup of before there were deliveries: its database is made below.
        task = bar.add_task(f"checking {branch}.db", total=None)
        try:
            copying.check(url, branch)
        except WrongRevisionError as error:
            raise UnsoundError(f"{error}: install a newer version") from None
        except DatabaseDamagedError as error:
            raise UnsoundError(str(error)) from None
        bar.remove_task(task)
    _check_positions(staged, manifest)
    for branch, url in _urls(staged):
        migrate(url, branch)
    notes = [*_waiting(manifest), *_key(staged)]
    if ledger is None:
        made = manifest.about.created_at
        return [*notes, f"What was erased or kept out since {made} is not known to this backup: --ledger tells it."]
    return [*notes, _follow(staged, ledger, bar)]


def _follow(staged: DataDirectory, place: Path, bar: Progress) -> str:
    """Erase again what the installation erased after the backup was made. Raises UnsoundError."""
    path = place / "account.db" if place.is_dir() else place
    if not path.is_file():
        raise UnsoundError(f"there is no ledger at {place}: name a data directory, or its account.db")
    if not is_newest(path, "account"):
        raise UnsoundError(f"the ledger at {place} is not of this version: `richpanel migrate --data` there first")
    task = bar.add_task("erasing again", total=None)
    ours, theirs = open_engine(staged.account_url), open_engine(f"sqlite:///{path}", read_only=True)
    try:
        with reading(theirs) as other, ours.begin() as connection:
            if read_account(connection).hash_key != read_account(other).hash_key:
                raise UnsoundError(f"the ledger at {place} is of another installation")
            fresh = adopt(connection, other)
            rows = [row for row in oldest_first(connection) if row.id in set(fresh)]
    finally:
        ours.dispose()
        theirs.dispose()
    if rows:
        regulate(staged, [(row.regulation, row.created_at) for row in rows], lambda _: None)
        _sweep(staged)
    bar.remove_task(task)
    return f"{len(rows):,} regulations since then were followed again, as the ledger at {place} tells them."


def _sweep(staged: DataDirectory) -> None:
    """Let what was sent go with the messages that it was of."""
    delivery, state = open_engine(staged.delivery_url), open_engine(staged.state_url, read_only=True)
    try:
        with delivery.begin() as connection, reading(state) as messages:
            sweep(connection, messages)
    finally:
        delivery.dispose()
        state.dispose()


def _urls(staged: DataDirectory) -> list[tuple[Branch, str]]:
    return list(zip(_BRANCHES, (staged.account_url, staged.state_url, staged.delivery_url), strict=True))


def _check_log(log: Path, manifest: Manifest, bar: Progress) -> None:
    """Read every record against its CRC, and every archive against its checksum; publish the log's end."""
    log.mkdir(mode=0o750, exist_ok=True)
    mark = DurableMark.create(log)
    mark.set(manifest.log_end)
    mark.close()
    bases = segment_bases(log)
    if bases and bases[0] != manifest.log_first:
        raise UnsoundError(f"its log begins at {bases[0]:,} instead of {manifest.log_first:,}")
    task = bar.add_task("checking the log", total=manifest.log_end - manifest.log_first)
    position = manifest.log_first
    for base in bases:
        if base < position:
            raise LogDamaged(base, f"the segment before it ends at {position:,}")
        walk = RecordWalk(base)  # Where the disk once lost records, there is a gap between two segments.
        for piece in _content(log, base):
            walk.feed(piece)
            bar.update(task, completed=walk.position - manifest.log_first)
        walk.end()
        position = walk.position
    bar.remove_task(task)
    if position != manifest.log_end:
        raise UnsoundError(f"its log ends at {position:,} instead of {manifest.log_end:,}")


def _content(log: Path, base: int) -> Iterator[bytes]:
    """Read a segment, raw or archived."""
    raw = segment_path(log, base)
    if not raw.exists():
        archive = Archive(archive_path(log, base))
        archive.check_file()
        yield from archive.blocks()
        return
    with raw.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def _check_positions(staged: DataDirectory, manifest: Manifest) -> None:
    """Make sure that the state points into the log that came with it."""
    with copying.frozen(staged.state_url) as connection:
        position = processed(connection).position
    if position != manifest.processed or not manifest.log_first <= position <= manifest.log_end:
        held = f"its log goes from {manifest.log_first:,} to {manifest.log_end:,}"
        raise UnsoundError(f"its state is at {position:,}, and {held}")


def _waiting(manifest: Manifest) -> list[str]:
    left = manifest.log_end - manifest.processed
    return [f"{left:,} bytes of the log wait to be processed: the first start does that."] if left else []


def _key(staged: DataDirectory) -> list[str]:
    """Tell where the secrets in the account cannot be opened with what is there."""
    key = read_settings({"data": staged.path}, environ).settings.secret_key
    if key is None and not (staged.path / KEY_FILE).exists():
        return [
            f"The secret key is not in it: before the first start put {KEY_FILE} there, or set RICHPANEL_SECRET_KEY."
        ]
    try:
        box = open_secrets(staged.path, key)
        with copying.frozen(staged.account_url) as connection:
            for connector in list_connectors(connection):
                connector_secret(connection, box, connector.id)
    except SecretKeyError as error:
        return [f"The secret key that is set does not fit: {error}."]
    return []
