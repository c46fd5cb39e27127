"""`richpanel import`: a file of Segment messages, one JSON object a line, into the log.

With a running server the lines go through its own `/v1/import`; without one they are written to the log here, judged by
the same rules, and processed at the next start. Stopped half-way, the same command goes on where it was.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from time import monotonic, time
from typing import Annotated, BinaryIO, Final

from cyclopts import Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from richpanel.commands.delivery import Sink, SinkError, open_sink
from richpanel.commands.invocation import AsJson, Data, console, definitions, fail, print_json, ready
from richpanel.commands.lines import batches
from richpanel.commands.sources import the_one
from richpanel.store.directory import DataDirectory
from richpanel.store.imports import ImportProgress, find_import, save_import
from richpanel.store.sources import SourceRow, add_source, match_sources

DEFAULT_SOURCE: Final = "Import"
_STDIN: Final = "-"
_HEAD: Final = 65_536
_SAVE_SECONDS: Final = 0.5


def import_file(
    file: Annotated[Path, Parameter(help="A file of JSON lines; - for stdin.", allow_leading_hyphen=True)],
    *,
    source: Annotated[
        str | None,
        Parameter(help="The source's name, id or write key; one called Import, made if needed, where unset."),
    ] = None,
    restart: Annotated[
        bool, Parameter(negative=(), help="Begin at the first line, even if the file was loaded before.")
    ] = False,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Load a file, from where it was stopped if it was."""
    directory = ready(data)
    target = _source(directory, source)
    stop = _Stop()
    try:
        with _opened(file) as lines, open_sink(directory, target) as sink:
            progress = _begin(directory, target, file, lines, restart=restart)
            started_at = progress.offset
            _load(directory, progress, lines, sink, stop)
    except (SinkError, OSError) as error:
        fail(str(error))
    if stop.asked:
        fail(f"stopped after {progress.lines:,} lines: the same command goes on from there", 130)
    _report(progress, target, started_at, json=json)


class _Stop:
    """Ctrl-C or SIGTERM: what is on its way is finished, and the place is noted."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def _source(directory: DataDirectory, wanted: str | None) -> SourceRow:
    """Find the source that was named; where none was, the one called Import, made if there is none."""
    with definitions(directory, write=True) as connection:
        found = match_sources(connection, wanted or DEFAULT_SOURCE)
        if wanted is None and not found:
            return add_source(connection, DEFAULT_SOURCE, "server", now=int(time() * 1000))
    target = the_one(wanted or DEFAULT_SOURCE, found)
    if not target.write_keys:
        fail(f"{target.name} has no write key: messages of a {target.type} source come another way")
    if not target.enabled:
        fail(f"{target.name} is disabled: `richpanel source enable {target.id}` first")
    return target


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    if str(file) == _STDIN:
        yield sys.stdin.buffer
        return
    with file.open("rb") as lines:
        yield lines


def _begin(
    directory: DataDirectory, source: SourceRow, file: Path, lines: BinaryIO, *, restart: bool
) -> ImportProgress:
    """Put the reader where the file is to be read on, and tell how far that is."""
    if str(file) == _STDIN:
        return ImportProgress(source=source.number, path=_STDIN, head_bytes=0, head_hash=b"")
    path = str(file.resolve())
    with definitions(directory) as connection:
        known = None if restart else find_import(connection, source.number, path)
    if known is not None and _is_same(known, lines):
        lines.seek(known.offset)
        return known
    lines.seek(0)
    head = lines.read(_HEAD)
    lines.seek(0)
    return ImportProgress(source=source.number, path=path, head_bytes=len(head), head_hash=sha256(head).digest())


def _is_same(known: ImportProgress, lines: BinaryIO) -> bool:
    """Tell whether this is the file that was loaded before, perhaps with more lines behind it by now."""
    if sha256(lines.read(known.head_bytes)).digest() != known.head_hash:
        return False
    if known.offset in (0, os.fstat(lines.fileno()).st_size):
        return True
    lines.seek(known.offset - 1)
    return lines.read(1) == b"\n"


def _load(directory: DataDirectory, progress: ImportProgress, lines: BinaryIO, sink: Sink, stop: _Stop) -> None:
    """Send the lines, batch by batch, and note from time to time how far that is."""
    origin = f"{sink.source.id}\x1f{Path(progress.path).name}"
    saved = monotonic()
    with _Bar(progress, lines) as bar:
        for batch in batches(lines, progress.offset, progress.lines, origin):
            if batch.items:
                sink.send(batch.body())
            progress.accepted += len(batch.items) - batch.discarded
            progress.discarded += batch.discarded
            progress.offset, progress.lines = batch.offset, batch.lines
            bar.show(progress)
            if monotonic() - saved > _SAVE_SECONDS:
                _save(directory, progress)
                saved = monotonic()
            if stop.asked:
                break
    _save(directory, progress)


def _save(directory: DataDirectory, progress: ImportProgress) -> None:
    if progress.path == _STDIN:
        return
    progress.updated_at = int(time() * 1000)
    with definitions(directory, write=True) as connection:
        save_import(connection, progress)


class _Bar:
    """A progress bar on a terminal; elsewhere nothing."""

    def __init__(self, progress: ImportProgress, lines: BinaryIO) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
        )
        out = console(stderr=True)
        size = None if progress.path == _STDIN else os.fstat(lines.fileno()).st_size
        self._bar = Progress(*columns, console=out, disable=not out.is_terminal, transient=True)
        self._task = self._bar.add_task("import", total=size, completed=progress.offset, counts="")

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: ImportProgress) -> None:
        """Show how far it is."""
        counts = f"{progress.accepted:,} messages, {progress.discarded:,} discards"
        self._bar.update(self._task, completed=progress.offset, counts=counts)


def _report(progress: ImportProgress, source: SourceRow, started_at: int, *, json: bool) -> None:
    if json:
        shown = {"file": progress.path, "source": source.id, "lines": progress.lines, "accepted": progress.accepted}
        print_json({**shown, "discarded": progress.discarded, "resumedAt": started_at})
    elif started_at and started_at == progress.offset:
        console().print(f"Nothing new: all {progress.lines:,} lines of {progress.path} were loaded before (--restart).")
    else:
        bad = f"; {progress.discarded:,} bad lines are discards, see Messages" if progress.discarded else ""
        console().print(f"{progress.accepted:,} messages into {source.name}{bad}.")
