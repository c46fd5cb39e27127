"""`richpanel backup`: the data directory as it is at one instant, in one file, while the server goes on.

The state is frozen first; then the end of the log is noted, which lies at or behind what that state has applied; then
the definitions are copied, which know every source that a record before that end can name. So whatever the state
points to is in the log that goes along, and whatever was accepted before the backup began is in it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from time import monotonic
from typing import Annotated, BinaryIO, Final, cast

from cyclopts import Parameter
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from richpanel import __version__
from richpanel.commands.backup_cluster import write_cluster
from richpanel.commands.bundle import FORMAT, About, BundleWriter, Manifest
from richpanel.commands.draft import STDOUT, Draft
from richpanel.commands.invocation import AsJson, Data, console, existing, fail, print_json
from richpanel.commands.running import log_owner
from richpanel.config import FILE as SETTINGS_FILE
from richpanel.log.archive import Archive
from richpanel.log.contract import LogDamaged, LogLocked
from richpanel.log.files import archive_path, segment_bases, segment_path, undisturbed
from richpanel.log.frames import RecordWalk
from richpanel.log.ground import GroundError
from richpanel.log.pace import Pace
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.store import copying
from richpanel.store.directory import DataDirectory
from richpanel.store.profiles import count_profiles
from richpanel.store.progress import Progress as Applied
from richpanel.store.secrets import KEY_FILE
from richpanel.store.status import processed

_NICE: Final = 19
_PUT_RIGHT: Final = "start the server once, which puts right what the disk has lost"
SECRET_FILES: Final = (KEY_FILE, SETTINGS_FILE, "demo.json")
"""Files of a data directory that hold, or may hold, what opens something."""


def backup(
    file: Annotated[Path, Parameter(help="The file to write; - for standard output.", allow_leading_hyphen=True)],
    *,
    secrets: Annotated[
        bool, Parameter(help="With the secret key and richpanel.toml (--no-secrets: you keep them elsewhere).")
    ] = True,
    overwrite: Annotated[bool, Parameter(negative=(), help="Replace FILE, once the new backup is complete.")] = False,
    rate: Annotated[int, Parameter(help="MiB a second to read at the most, while a server runs.")] = 64,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Write a backup."""
    directory = existing(data)
    with suppress(OSError):
        os.nice(_NICE)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    running = not directory.is_embedded or log_owner(directory.path) is not None
    pace = Pace(max(rate, 1) * 1024 * 1024 if running else inf)
    began = monotonic()
    try:
        if directory.is_embedded and not running:
            _bring_in_order(directory.log)
        with Draft(file, overwrite=overwrite) as draft, _bar() as bar:
            meter = _Meter(pace, bar)
            if directory.is_embedded:
                manifest = _write(directory, draft, meter, secrets=secrets)
            else:
                manifest = write_cluster(directory, draft, of=meter.of, spend=meter.spend, secrets=secrets)
            draft.complete()
    except LogDamaged as error:
        fail(f"{error}; nothing was written. `richpanel doctor --deep` says what is damaged")
    except DatabaseError as error:
        fail(f"a database cannot be read: {error.orig}; nothing was written")
    except (OSError, GroundError) as error:
        fail(f"{error}; nothing was written")
    _report(file, manifest, draft.size, monotonic() - began, json=json)


def _bring_in_order(log: Path) -> None:
    """Find the log's end as a start of the server does, where nobody has since a power cut: the mark is not the end."""
    bases = segment_bases(log)
    reader = SegmentReader(log)
    mark = reader.durable()
    reader.close()
    last = segment_path(log, bases[-1]) if bases else None
    if last is None or not last.exists() or mark == bases[-1] + last.stat().st_size:
        return

    async def own() -> int:
        writer = SegmentWriter.open(log)
        await writer.close()
        return writer.recovered.missing

    with suppress(LogLocked):  # A server that has just been started: it does that.
        if lost := asyncio.run(own()):
            sys.stderr.write(
                f"richpanel: the disk has lost {lost:,} bytes at the end of the log; what is left is kept\n"
            )


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        yield bar


class _Meter:
    """Keeps the pace of reading, and shows how far it is."""

    def __init__(self, pace: Pace, bar: Progress) -> None:
        self._pace = pace
        self._bar = bar
        self._task = bar.add_task("backup", total=None)

    def of(self, total: int) -> None:
        """Say how many bytes there are in all."""
        self._bar.update(self._task, total=total)

    def spend(self, count: int) -> None:
        """Note so many more bytes, and wait where they came too fast."""
        self._bar.advance(self._task, count)
        self._pace.spend(count)


@dataclass
class _Piece:
    """A file that goes into the backup as far as `size`. Of a raw segment, `walk` checks each record on the way."""

    name: str
    path: Path
    size: int
    walk: RecordWalk | None = None


class _Reading:
    """Reads a piece at the meter's pace."""

    def __init__(self, file: BinaryIO, piece: _Piece, meter: _Meter) -> None:
        self._file = file
        self._walk = piece.walk
        self._meter = meter

    def read(self, size: int) -> bytes:
        chunk = self._file.read(size)
        if self._walk is not None:
            self._walk.feed(chunk)
        self._meter.spend(len(chunk))
        return chunk


def _write(directory: DataDirectory, draft: Draft, meter: _Meter, *, secrets: bool) -> Manifest:
    """Write everything, and give the manifest that was written last."""
    now = datetime.now(UTC)
    about = About(FORMAT, __version__, now.isoformat(timespec="seconds").replace("+00:00", "Z"))
    still = undisturbed(directory.log) if directory.log.exists() else nullcontext()
    with still, draft.aside() as copies:
        # The deliveries are frozen first: what they have taken over is in a state that is younger.
        with _sent(directory) as delivery, copying.frozen(directory.state_url) as state:
            applied = processed(state)
            end = _end_of_log(directory, applied)
            log = list(_log(directory.log, end))
            with copying.frozen(directory.account_url) as account:
                sizes = [copying.size(each) for each in (account, state, delivery) if each is not None]
                meter.of(2 * sum(sizes) + sum(piece.size for piece in log))
                copying.copy(account, copies / "account.db", meter.spend)
                held_by = {"account": account, "state": state, "delivery": delivery}
                revisions = {name: copying.revision(each) for name, each in held_by.items() if each is not None}
            copying.copy(state, copies / "state.db", meter.spend)
            if delivery is not None:
                copying.copy(delivery, copies / "delivery.db", meter.spend)
            people = [count_profiles(state, customers) for customers in (True, False)]
        writer = BundleWriter(cast("BinaryIO", draft), about, modified=now.timestamp())
        held = list(_pieces(directory, copies, secrets=secrets))
        for piece in (*held, *log):
            _add(writer, piece, meter)
    manifest = Manifest(
        about=about,
        log_first=int(Path(log[0].name).stem) if log else 0,
        log_end=end,
        processed=applied.position,
        messages=applied.messages,
        customers=people[0],
        visitors=people[1],
        revisions=revisions,
        secret_key=any(piece.name == KEY_FILE for piece in held),
        members=list(writer.members),
    )
    writer.finish(manifest)
    return manifest


def _sent(directory: DataDirectory) -> AbstractContextManager[Connection | None]:
    """Freeze the deliveries; None where a version of before them runs here."""
    if (directory.path / "delivery.db").exists():
        return copying.frozen(directory.delivery_url)
    return nullcontext()


def _end_of_log(directory: DataDirectory, applied: Applied) -> int:
    """Give the position up to which the log is safe now. Raises OSError where the state is ahead of it."""
    reader = SegmentReader(directory.log)
    end = reader.durable()
    reader.close()
    if end < applied.position:
        lost = f"the log ends at {end:,}, before {applied.position:,}, which is applied"
        raise OSError(f"{lost}: {_PUT_RIGHT}")
    return end


def _log(log: Path, end: int) -> Iterator[_Piece]:
    """Name the log's files up to a position, oldest first. Raises OSError where they do not reach it."""
    reached = 0
    for base in segment_bases(log):
        raw, archived = segment_path(log, base), archive_path(log, base)
        if base > end:
            break
        if raw.exists():
            size = min(raw.stat().st_size, end - base)
            reached = base + size
            yield _Piece(f"log/{raw.name}", raw, size, RecordWalk(base))
        else:
            reached = base + Archive(archived).about.size
            yield _Piece(f"log/{archived.name}", archived, archived.stat().st_size)
    if reached != end:
        raise OSError(f"the log ends at {reached:,}, and {end:,} was promised: {_PUT_RIGHT}")


def _pieces(directory: DataDirectory, copies: Path, *, secrets: bool) -> Iterator[_Piece]:
    """Name the databases, and the files that hold secrets, where there are any."""
    paths = [copies / name for name in ("account.db", "state.db", "delivery.db")]
    paths += [directory.path / name for name in SECRET_FILES if secrets]
    for path in paths:
        if path.exists():
            yield _Piece(path.name, path, path.stat().st_size)


def _add(writer: BundleWriter, piece: _Piece, meter: _Meter) -> None:
    """Add a file. What is damaged already must not look like a backup. Raises LogDamaged, OSError."""
    if piece.path.suffix == ".zst":
        Archive(piece.path).check_file()
    with piece.path.open("rb", buffering=0) as file:
        writer.add(piece.name, piece.size, _Reading(cast("BinaryIO", file), piece, meter))
    if piece.walk is not None:
        piece.walk.end()


def _report(file: Path, manifest: Manifest, size: int, seconds: float, *, json: bool) -> None:
    """Say what was written; on stderr where the backup itself went to standard output."""
    if json and str(file) != STDOUT:
        print_json({"file": str(file), "bytes": size, "seconds": round(seconds, 3), **summary(manifest)})
        return
    held = f"{manifest.customers:,} customers, {manifest.messages:,} messages"
    if manifest.cluster is None:
        held += f", log positions {manifest.log_first:,} to {manifest.log_end:,}"
    text = f"{file}: {decimal(size)}, {held}, {seconds:.1f} s."
    if not manifest.secret_key:
        text += " The secret key is not in it: keep secret.key, or RICHPANEL_SECRET_KEY, elsewhere."
    console(stderr=str(file) == STDOUT).print(text)


def summary(manifest: Manifest) -> dict[str, object]:
    """Give what a backup holds, for programs."""
    about = manifest.about
    return {
        "format": about.format,
        "product": about.product,
        "createdAt": about.created_at,
        "log": {"first": manifest.log_first, "end": manifest.log_end},
        "processed": manifest.processed,
        "messages": manifest.messages,
        "customers": manifest.customers,
        "visitors": manifest.visitors,
        "secretKey": manifest.secret_key,
    }
