"""`richpanel status`: how far the processing is, and what became of what arrived. Works with and without a server."""

from contextlib import suppress
from time import time

from richpanel.commands.checks import sizes_text
from richpanel.commands.invocation import AsJson, Data, console, definitions, existing, print_json, print_table, state
from richpanel.commands.running import log_owner, running_server
from richpanel.log.age import waiting_since
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.retention import LogSizes, log_sizes
from richpanel.log.segments import SegmentReader
from richpanel.store.database import reading
from richpanel.store.sources import list_sources
from richpanel.store.status import processed, source_counts


def status(*, json: AsJson = False, data: Data = None) -> None:
    """Show how far the processing is, and what became of the messages of each source."""
    directory = existing(data)
    with definitions(directory) as connection:
        sources = {source.number: source for source in list_sources(connection, deleted=True)}
    with state(directory) as engine, reading(engine) as connection:
        progress = processed(connection)
        counts = source_counts(connection)
    sizes = log_sizes(directory.log)
    log = SegmentReader(directory.log)
    last, since = log.durable(), None
    with suppress(LogGone, LogDamaged, OSError):  # `doctor` tells of those.
        since = waiting_since(log, progress.position)
    log.close()
    lag = 0.0 if since is None else max(0.0, time() - since / 1000)
    running = running_server(directory.path)
    if json:
        outcomes = {sources[number].id: counted for number, counted in counts.items() if number in sources}
        shown = {"log": {"last": last}, "processed": progress.position, "oldestUnprocessedSeconds": lag}
        shown |= {"server": running.url if running else None, "lmtp": running.lmtp if running else None}
        shown["files"] = _files(sizes)
        print_json({**shown, "messages": progress.messages, "outcomes": outcomes})
        return
    owner = log_owner(directory.path)
    server = running.url if running else f"process {owner} owns the log" if owner is not None else "not running"
    behind = (
        f"{last - progress.position:,} bytes, the oldest {lag:.1f} s old" if progress.position < last else "nothing"
    )
    rows = [
        ["server", server],
        *([["mail", f"taken by LMTP at {running.lmtp}"]] if running and running.lmtp else []),
        ["log", f"{last:,} bytes: {sizes_text(sizes)}"],
        ["waiting", behind],
        ["messages", f"{progress.messages:,}"],
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
