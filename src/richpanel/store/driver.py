"""SQLite's driver: the wheel's SQLite where there is one."""

try:  # Debian's own SQLite leaves erased words in full-text indexes; the wheel's does not.
    import pysqlite3.dbapi2 as sqlite3
except ImportError:  # pragma: no cover - platforms without the wheel
    import sqlite3

__all__ = ["sqlite3"]
