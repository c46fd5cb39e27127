"""`richpanel restore`: a data directory out of a backup, put in place once all of it has been seen to be sound.

It is unpacked into a folder of its own inside the directory, checked and brought up to date there, and then moved into
place, the account last: what has no account is no data directory. Whatever fails leaves nothing behind.
"""

import io
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, BinaryIO, Final, cast

from cyclopts import Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.exc import DatabaseError

from richpanel import __version__
from richpanel.commands.backup import SECRET_FILES, summary
from richpanel.commands.bundle import BundleError, Manifest, Member, read_bundle
from richpanel.commands.draft import STDOUT
from richpanel.commands.examining import UnsoundError, examine
from richpanel.commands.invocation import (
    AsJson,
    Data,
    console,
    directory_of,
    fail,
    print_json,
    print_table,
    settings_of,
)
from richpanel.commands.restore_cluster import check_member_list, put_into_cluster, put_member
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.files import SEALED_MODE, rearranging, sync_directory
from richpanel.log.ground import GroundError
from richpanel.store.directory import DataDirectory
from richpanel.store.migrating import RevisionError

_ACCOUNT: Final = "account.db"
_STAGING: Final = ".restoring"
_NOT_OURS: Final = frozenset(("lost+found", _STAGING))
"""What an empty directory may hold: a file system's own, and what a restore left that was killed."""
_SEGMENT: Final = re.compile(r"log/\d{20}\.(?:log|zst)")
_FILES: Final = frozenset((_ACCOUNT, "state.db", "delivery.db", *SECRET_FILES))


def restore(
    file: Annotated[Path, Parameter(help="The backup; - for standard input.", allow_leading_hyphen=True)],
    *,
    verify: Annotated[
        bool, Parameter(negative=(), help="Check the backup as restoring would, and put nothing.")
    ] = False,
    ledger: Annotated[
        str | None,
        Parameter(
            help="What this one follows, a data directory, its account.db or a database of PostgreSQL's: what was "
            "erased there since is erased again."
        ),
    ] = None,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Put a backup into an empty data directory."""
    settings = settings_of(data)
    target = settings.data
    is_cluster = settings.database_url is not None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    place = _aside(file) if verify or is_cluster else _inside(target)
    putting = put_member if is_cluster else _put
    try:
        with _opened(file) as source, place as staging, _bar() as bar:
            manifest = read_bundle(_Shown(source, bar), __version__, lambda member: putting(staging, member))
            if not is_cluster:
                notes = examine(DataDirectory(staging), manifest, bar, None if ledger is None else Path(ledger))
                if not verify:
                    _put_in_place(staging, target)
            elif verify:
                check_member_list(staging, manifest)
                notes = ["Its files are whole; what PostgreSQL makes of them is seen when it is restored."]
            else:
                notes = put_into_cluster(staging, manifest, settings, ledger, bar)
    except BundleError as error:
        fail(f"{file} {error}; nothing was restored")
    except UnsoundError as error:
        fail(f"{file} cannot be used: {error}; nothing was restored")
    except (LogDamaged, LogGone) as error:
        fail(f"{file} is damaged: {error}; nothing was restored")
    except DatabaseError as error:
        if is_cluster:
            fail(f"the database cannot be used: {error.orig}; nothing was restored")
        fail(f"{file} is damaged: a database in it cannot be read: {error.orig}; nothing was restored")
    except (OSError, GroundError, RevisionError) as error:
        fail(f"{error}; nothing was restored")
    where = directory_of(settings).databases if is_cluster else str(target.absolute())
    _report(file, None if verify else where, manifest, notes, json=json)


# ---------------------------------------------------------------------------------------------------- what is read


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == STDOUT:
        yield sys.stdin.buffer
        return
    with file.open("rb") as source:
        yield source


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        yield bar


class _Shown:
    """Reads the backup, and shows how far it is."""

    def __init__(self, source: BinaryIO, bar: Progress) -> None:
        self._source = source
        self._bar = bar
        size = os.fstat(source.fileno()).st_size or None
        self._task = bar.add_task("unpacking", total=size)

    def read(self, size: int = -1, /) -> bytes:
        chunk = self._source.read(size)
        self._bar.advance(self._task, len(chunk))
        return chunk


# --------------------------------------------------------------------------------------------------- where it goes


@contextmanager
def _aside(file: Path) -> Iterator[Path]:
    """Give a place to check a backup in: beside it, where there is room for it if there is any."""
    beside = str(file) != STDOUT and os.access(file.absolute().parent, os.W_OK)
    with TemporaryDirectory(prefix=".verify-", dir=file.absolute().parent if beside else None) as folder:
        yield Path(folder)


@contextmanager
def _inside(target: Path) -> Iterator[Path]:
    """Give a place inside the data directory, which must be empty; made if it is not there yet. Raises OSError."""
    made = not target.exists()
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = target / _STAGING
    with rearranging(target) as alone:
        if not alone:
            raise OSError(f"somebody else is restoring into {target}")
        if set(os.listdir(target)) - _NOT_OURS:
            todo = "restore into one that is empty or not there yet (--data), or move its content away first"
            raise OSError(f"{target} is not empty: {todo}")
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(mode=0o700)
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            if made and not os.listdir(target):
                target.rmdir()


class _Synced(io.FileIO):
    """A file that is safe on disk once it is closed."""

    def close(self) -> None:
        if not self.closed:
            os.fsync(self.fileno())
        super().close()


def _put(staging: Path, member: Member) -> BinaryIO:
    """Open the place of a member, for this user alone. Raises BundleError where no data directory has such a file."""
    if member.name.startswith("account/"):
        raise BundleError("is of a cluster: name database_url and log_url to restore it")
    if member.name not in _FILES and not _SEGMENT.fullmatch(member.name):
        raise BundleError(f"is no backup: a data directory has no {member.name!r}")
    path = staging / member.name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    mode = SEALED_MODE if path.suffix == ".zst" else 0o600
    return cast("BinaryIO", _Synced(path, "x", opener=lambda name, flags: os.open(name, flags, mode)))


def _put_in_place(staging: Path, target: Path) -> None:
    """Move everything to where it belongs, the account last; if that fails half-way, move it back."""
    if os.geteuid() == 0:
        _give_to_owner(staging, target)
    names = sorted(os.listdir(staging), key=lambda name: name == _ACCOUNT)
    moved = []
    try:
        for name in names:
            (staging / name).rename(target / name)
            moved.append(name)
        sync_directory(target)
    except BaseException:
        for name in moved:
            (target / name).rename(staging / name)
        raise


def _give_to_owner(staging: Path, target: Path) -> None:
    """Give what root has unpacked to whom the directory belongs: the server runs as that user."""
    owner = target.stat()
    for folder, _, files in os.walk(staging):
        for path in (Path(folder), *(Path(folder, name) for name in files)):
            os.chown(path, owner.st_uid, owner.st_gid)


# -------------------------------------------------------------------------------------------------- what is said


def _report(file: Path, target: str | None, manifest: Manifest, notes: Sequence[str], *, json: bool) -> None:
    made = datetime.fromisoformat(manifest.about.created_at)
    age = max(0.0, (datetime.now(UTC) - made).total_seconds())
    if json:
        where = {"file": str(file), "restored": target, "verified": True}
        print_json({**where, **summary(manifest), "ageSeconds": round(age), "notes": notes})
        return
    rows = [
        ["made", f"{manifest.about.created_at}, {_age(age)} ago, by version {manifest.about.product}"],
        ["customers", f"{manifest.customers:,}, and {manifest.visitors:,} visitors"],
        ["messages", f"{manifest.messages:,}"],
        ["log", f"positions {manifest.log_first:,} to {manifest.log_end:,}, processed to {manifest.processed:,}"],
    ]
    if manifest.cluster is not None:
        rows[-1] = ["stream", f"{manifest.cluster.stream}, processed to position {manifest.processed:,}"]
    print_table(["", ""], rows, empty="")
    for note in notes:
        console().print(note)
    if target is None:
        done = f"{file} is sound."
    elif manifest.cluster is not None:
        done = f"Restored into {target}: start the servers."
    else:
        done = f"Restored into {target}: `richpanel serve --data {target}`."
    console().print(done)


def _age(seconds: float) -> str:
    """Write an age in the largest unit that it has two of."""
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
