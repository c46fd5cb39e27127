"""Imports: how far a file has been loaded, so that the same command goes on where it was stopped."""

import msgspec
from sqlalchemy import Connection, delete, insert, select

from richpanel.store import definitions


class ImportProgress(msgspec.Struct, kw_only=True):
    """How far a file is loaded into a source (by number).

    `offset` is the bytes, `lines` the lines that are in the log; `accepted` and `discarded` what became of them. A file
    is known again by its path and by `head_hash`, the SHA-256 of its first `head_bytes` bytes. `updated_at` is ms UTC.
    """

    source: int
    path: str
    head_bytes: int
    head_hash: bytes
    offset: int = 0
    lines: int = 0
    accepted: int = 0
    discarded: int = 0
    updated_at: int = 0


def find_import(conn: Connection, source: int, path: str) -> ImportProgress | None:
    """Tell how far a file got."""
    table = definitions.imports
    row = conn.execute(select(table).where(table.c.source == source, table.c.path == path)).first()
    return ImportProgress(**row._asdict()) if row else None


def save_import(conn: Connection, progress: ImportProgress) -> None:
    """Note how far a file got."""
    table = definitions.imports
    conn.execute(delete(table).where(table.c.source == progress.source, table.c.path == progress.path))
    conn.execute(insert(table).values(**msgspec.structs.asdict(progress)))
