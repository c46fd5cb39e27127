"""Status: how far the log is applied, and what became of what arrived."""

from sqlalchemy import Connection

from richpanel.store import progress
from richpanel.store.bulk import fetch
from richpanel.store.progress import Progress

__all__ = ["Progress", "processed", "source_counts"]


def processed(connection: Connection) -> Progress:
    """Tell how far the log is applied."""
    return progress.read(connection)


def source_counts(connection: Connection) -> dict[int, dict[str, int]]:
    """Count, by source number, the outcomes of messages, the duplicates, and discards as `discarded:CODE`."""
    counts: dict[int, dict[str, int]] = {}
    for source, what, count in fetch(connection, "SELECT source, what, count FROM counters"):
        counts.setdefault(source, {})[what] = count
    return counts
