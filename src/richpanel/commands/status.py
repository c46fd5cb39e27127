"""`richpanel status`: how far the processing is, and what became of what arrived. Works with and without a server."""

from contextlib import closing, suppress
from time import time
from typing import NamedTuple

from sqlalchemy.exc import DatabaseError

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
from richpanel.core.timestamps import iso
from richpanel.log.age import waiting_since
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.opening import open_reader
from richpanel.log.retention import LogSizes, log_sizes
from richpanel.log.stream import sequence_at
from richpanel.store import rebuilds
from richpanel.store.account import folded_with
from richpanel.store.bulk import fetch
from richpanel.store.database import open_engine, reading
from richpanel.store.delivery_waiting import Waiting, waiting
from richpanel.store.destinations import outside as outside_numbers
from richpanel.store.directory import DataDirectory
from richpanel.store.rebuilds import RebuildRow
from richpanel.store.sources import list_sources
from richpanel.store.status import message_count, processed, source_counts


def status(*, json: AsJson = False, data: Data = None) -> None:
    """Show how far the processing is, and what became of the messages of each source."""
    directory = existing(data)
    with definitions(directory) as connection:
        sources = {source.number: source for source in list_sources(connection, deleted=True)}
        rebuilding = Rebuilding(folded_with(connection) is not None, rebuilds.newest(connection))
    with state(directory) as engine, reading(engine) as connection:
        progress = processed(connection)
        counts = source_counts(connection)
    outside = _deliveries(directory)
    last, since = _log(directory, progress.position)
    lag = 0.0 if since is None else max(0.0, time() - since / 1000)
    running = running_server(directory.path)
    if json:
        outcomes = {sources[number].id: counted for number, counted in counts.items() if number in sources}
        shown = {"log": {"last": last}, "processed": progress.position, "oldestUnprocessedSeconds": lag}
        shown |= {"server": running.url if running else None, "lmtp": running.lmtp if running else None}
        shown["files"] = _files(log_sizes(directory.log)) if directory.log_url is None else None
        shown["deliveries"] = {
            "queued": sum(each.queued for each in outside),
            "retrying": sum(each.retrying for each in outside),
            "dead": sum(each.dead for each in outside),
            "oldestWaitingSeconds": _oldest(outside),
        }
        shown["rebuild"] = rebuilding.shown()
        print_json({**shown, "messages": message_count(counts), "outcomes": outcomes})
        return
    rows = [
        *_server(directory, running),
        *([["mail", f"taken by LMTP at {running.lmtp}"]] if running and running.lmtp else []),
        ["log", _kept(directory, last)],
        ["waiting", f"{_behind(directory, progress.position, last)}, the oldest {lag:.1f} s old" if lag else "nothing"],
        ["messages", f"{message_count(counts):,}"],
        *_outside(outside),
        *rebuilding.rows(),
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


class Rebuilding(NamedTuple):
    """Whether the state is due to be made anew, and how far the newest rebuild is."""

    is_due: bool
    newest: RebuildRow | None

    def shown(self) -> dict[str, object]:
        """Give it as JSON has it."""
        row = self.newest
        if row is None:
            return {"due": self.is_due, "running": False}
        times = {"startedAt": iso(row.started_at), "endedAt": None if row.ended_at is None else iso(row.ended_at)}
        running = row.runs(round(time() * 1000))
        far = {"step": row.step, "done": row.done, "total": row.total}
        return {"due": self.is_due, "running": running, **far, **times, "problem": row.problem}

    def rows(self) -> list[list[str]]:
        """Tell people of it, while there is anything to tell."""
        row = self.newest
        if row is not None and row.runs(round(time() * 1000)):
            return [["rebuild", row.step if row.share is None else f"{row.step}, {row.share:.0%} of it done"]]
        if not self.is_due:
            return []
        why = f": {row.problem}" if row is not None and row.problem else ", once a server processes"
        return [["rebuild", f"due, for a setting was changed{why}"]]


def _deliveries(directory: DataDirectory) -> list[Waiting]:
    """Tell what waits to be delivered outside; nothing where a version of before that runs here."""
    if directory.is_embedded and not (directory.path / "delivery.db").exists():
        return []
    with definitions(directory) as connection:
        numbers = outside_numbers(connection).values()
    engine = open_engine(directory.delivery_url, read_only=True, cache_mib=1)
    try:
        with reading(engine) as connection:
            return waiting(lambda query: fetch(connection, query), numbers)
    except DatabaseError:  # `doctor` tells of it.
        return []
    finally:
        engine.dispose()


def _outside(found: list[Waiting]) -> list[list[str]]:
    """Tell people of deliveries, where there are destinations outside."""
    if not found:
        return []
    count, dead = sum(each.queued + each.retrying for each in found), sum(each.dead for each in found)
    waits = f"{count:,} wait, the oldest for {_oldest(found):,.0f} s" if count else "none waits"
    return [["deliveries", f"{waits}, {dead:,} are dead letters" if dead else waits]]


def _oldest(found: list[Waiting]) -> float:
    oldest = min((each.oldest_at for each in found if each.oldest_at is not None), default=None)
    return 0.0 if oldest is None else max(0.0, time() - oldest / 1000)


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
