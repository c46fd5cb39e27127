"""Retention: what the log drops, and what it takes on disk."""

from contextlib import suppress
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

from richpanel.log.archive import Archive
from richpanel.log.contract import LogDamaged
from richpanel.log.files import archive_path, rearranging, segment_bases, segment_path


def drop_segments(directory: Path, position: int, before: float | None = None) -> list[int]:
    """Delete the sealed segments that end at or below `position`, archived or not; return where they began.

    With `before` (s UTC) only archived ones go, and only those that took their last record before that. Oldest first,
    so that a crash between two leaves no hole; the last segment is the active one and stays. Nothing goes while
    somebody reads them all. Raises OSError.
    """
    dropped: list[int] = []
    with rearranging(directory) as allowed:
        for base, following in pairwise(segment_bases(directory)):
            if not allowed or following > position or not (before is None or _archived_before(directory, base, before)):
                break
            for path in (archive_path(directory, base), segment_path(directory, base)):
                path.unlink(missing_ok=True)
            dropped.append(base)
    return dropped


def _archived_before(directory: Path, base: int, before: float) -> bool:
    """Tell whether a segment is archived, whole, and took its last record before this time."""
    if segment_path(directory, base).exists():
        return False
    with suppress(LogDamaged):
        return Archive(archive_path(directory, base)).about.sealed_ns < before * 1e9
    return False


class LogSizes(NamedTuple):
    """The log on disk: files and bytes of raw segments, of archived ones, and what those would take raw."""

    raw_files: int = 0
    raw_bytes: int = 0
    archived_files: int = 0
    archived_bytes: int = 0
    archived_raw_bytes: int = 0

    @property
    def total(self) -> int:
        """Bytes on disk."""
        return self.raw_bytes + self.archived_bytes

    @property
    def ratio(self) -> float | None:
        """How many times smaller archiving made what is archived; None where nothing is."""
        return self.archived_raw_bytes / self.archived_bytes if self.archived_bytes else None


def log_sizes(directory: Path) -> LogSizes:
    """Measure the log on disk by its names and sizes alone; a file that goes meanwhile is not counted."""
    sizes = LogSizes()
    bases = segment_bases(directory)
    for base, following in zip_longest(bases, bases[1:]):
        with suppress(FileNotFoundError):
            size = segment_path(directory, base).stat().st_size
            sizes = sizes._replace(raw_files=sizes.raw_files + 1, raw_bytes=sizes.raw_bytes + size)
            continue
        with suppress(FileNotFoundError, LogDamaged):
            path = archive_path(directory, base)
            inside = (Archive(path).about.size + base if following is None else following) - base
            sizes = sizes._replace(
                archived_files=sizes.archived_files + 1,
                archived_bytes=sizes.archived_bytes + path.stat().st_size,
                archived_raw_bytes=sizes.archived_raw_bytes + inside,
            )
    return sizes
