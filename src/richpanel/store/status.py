"""Status: how far the log is applied, and what became of what arrived."""

from collections.abc import Mapping

from sqlalchemy import Connection

from richpanel.store import progress
from richpanel.store.bulk import fetch
from richpanel.store.progress import Progress

__all__ = ["Progress", "message_count", "processed", "source_counts"]


def processed(connection: Connection) -> Progress:
    """Tell how far the log is applied."""
    return progress.read(connection)


def source_counts(connection: Connection) -> dict[int, dict[str, int]]:
    """Count, by source number, the outcomes of messages, the duplicates, and discards as `discarded:CODE`."""
    counts: dict[int, dict[str, int]] = {}
    for source, what, count in fetch(connection, "SELECT source, what, count FROM counters"):
        counts.setdefault(source, {})[what] = count
    return counts


def message_count(counts: Mapping[int, Mapping[str, int]]) -> int:
    """Count the messages that are there, of all sources, whatever became of them."""
    no_message = ("duplicate", "discard")
    return sum(count for each in counts.values() for what, count in each.items() if not what.startswith(no_message))
