"""`richpanel status`: how far the processing is, and what became of what arrived. Works with and without a server."""

from contextlib import closing, suppress
from time import time

from richpanel.commands.checks import sizes_text
from richpanel.commands.invocation import (
    AsJson,
    Data,
    console,
    definitions,
    existing,
    fail,
    print_json,
    print_table,
    state,
)
from richpanel.commands.running import Running, log_owner, running_server
from richpanel.log.age import waiting_since
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.opening import open_reader
from richpanel.log.retention import LogSizes, log_sizes
from richpanel.log.stream import sequence_at
from richpanel.store.database import reading
from richpanel.store.directory import DataDirectory
from richpanel.store.sources import list_sources
from richpanel.store.status import message_count, processed, source_counts


def status(*, json: AsJson = False, data: Data = None) -> None:
    """Show how far the processing is, and what became of the messages of each source."""
    directory = existing(data)
    with definitions(directory) as connection:
        sources = {source.number: source for source in list_sources(connection, deleted=True)}
    with state(directory) as engine, reading(engine) as connection:
        progress = processed(connection)
        counts = source_counts(connection)
    last, since = _log(directory, progress.position)
    lag = 0.0 if since is None else max(0.0, time() - since / 1000)
    running = running_server(directory.path)
    if json:
        outcomes = {sources[number].id: counted for number, counted in counts.items() if number in sources}
        shown = {"log": {"last": last}, "processed": progress.position, "oldestUnprocessedSeconds": lag}
        shown |= {"server": running.url if running else None, "lmtp": running.lmtp if running else None}
        shown["files"] = _files(log_sizes(directory.log)) if directory.log_url is None else None
        print_json({**shown, "messages": message_count(counts), "outcomes": outcomes})
        return
    rows = [
        *_server(directory, running),
        *([["mail", f"taken by LMTP at {running.lmtp}"]] if running and running.lmtp else []),
        ["log", _kept(directory, last)],
        ["waiting", f"{_behind(directory, progress.position, last)}, the oldest {lag:.1f} s old" if lag else "nothing"],
        ["messages", f"{message_count(counts):,}"],
    ]
    print_table(["", ""], rows, empty="")
    lines = [
        [sources[number].name if number in sources else number, what, f"{count:,}"]
        for number, counted in sorted(counts.items())
        for what, count in sorted(counted.items())
    ]
    if lines:
        print_table(["source", "outcome", "messages"], lines, empty="")
    else:
        console().print("Nothing has arrived yet.")


def _log(directory: DataDirectory, position: int) -> tuple[int, int | None]:
    """Tell how far the log goes, and since when (ms UTC) something waits from `position` on. Ends the command."""
    since = None
    with closing(open_reader(directory.log, directory.log_url)) as log:
        try:
            last = log.durable()
        except ConnectionError as error:
            fail(str(error))
        with suppress(LogGone, LogDamaged, OSError):  # `doctor` tells of those.
            since = waiting_since(log, position)
    return last, since


def _server(directory: DataDirectory, running: Running | None) -> list[list[str]]:
    """Tell of the server here. Whether there are others of a cluster is not known."""
    if running is not None:
        return [["server", running.url]]
    if directory.log_url is not None:
        return []
    owner = log_owner(directory.path)
    return [["server", "not running" if owner is None else f"process {owner} owns the log"]]


def _kept(directory: DataDirectory, last: int) -> str:
    if directory.log_url is not None:
        return f"{sequence_at(last) - 1:,} records so far"
    return f"{last:,} bytes: {sizes_text(log_sizes(directory.log))}"


def _behind(directory: DataDirectory, position: int, last: int) -> str:
    if directory.log_url is not None:
        return f"{sequence_at(last) - sequence_at(position):,} records"
    return f"{last - position:,} bytes"


def _files(sizes: LogSizes) -> dict[str, object]:
    """Give what the log takes on disk, raw and archived."""
    return {
        "raw": {"files": sizes.raw_files, "bytes": sizes.raw_bytes},
        "archived": {
            "files": sizes.archived_files,
            "bytes": sizes.archived_bytes,
            "rawBytes": sizes.archived_raw_bytes,
            "ratio": sizes.ratio,
        },
    }
