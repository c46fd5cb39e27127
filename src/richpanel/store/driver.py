"""SQLite's driver: the wheel's SQLite where there is one; and which file a database's path means just now."""

import os
from pathlib import Path

try:  # Debian's own SQLite leaves erased words in full-text indexes; the wheel's does not.
    import pysqlite3.dbapi2 as sqlite3
except ImportError:  # pragma: no cover - platforms without the wheel
    import sqlite3

__all__ = ["Unreadable", "file_at", "sqlite3"]


class Unreadable(Exception):
    """A database cannot be read; the text says why."""


def file_at(path: str | Path) -> tuple[int, int] | None:
    """Give device and inode of the file that a path means, through a link; None where there is none yet."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)
