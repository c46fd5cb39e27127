"""Looks for words in every file of a data directory, as the bytes stand, in archives, and in what the state packs.

And in every table of a cluster's database.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import lz4.block
import psycopg
import zstandard
from psycopg import sql


def found(data: Path, words: Iterable[str]) -> dict[str, set[str]]:
    """The words that are somewhere, each with the files."""
    wanted = {word: word.encode().lower() for word in words}
    hits: dict[str, set[str]] = {}
    for path in sorted(data.rglob("*")):
        if not path.is_file():
            continue
        for where, content in contents(path):
            lower = content.lower()
            for word, coded in wanted.items():
                if coded in lower:
                    hits.setdefault(word, set()).add(f"{path.relative_to(data)}{where}")
    return hits


def contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """A file's bytes, and what is packed in it."""
    with suppress(FileNotFoundError):  # A file of the state may just have been replaced.
        yield "", path.read_bytes()
        if path.suffix == ".zst":
            with path.open("rb") as file:
                yield " unpacked", zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True).read()
        if path.suffix == ".db":
            yield from unpacked(path)


def unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every value of every table, those that LZ4 packs unpacked."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        # Of the full-text index its own tables are read: it is of another SQLite's format.
        statement = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        tables = [row[0] for row in connection.execute(statement)]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
            yield from values(f" {table}", rows)


def values(where: str, rows: Iterable[Iterable[object]]) -> Iterator[tuple[str, bytes]]:
    """Every text and every run of bytes in rows, those that LZ4 packs unpacked."""
    for value in (value for row in rows for value in row if isinstance(value, bytes | str)):
        yield where, value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        if isinstance(value, bytes):
            with suppress(lz4.block.LZ4BlockError, ValueError, MemoryError):  # Most are not packed.
                yield f"{where} unpacked", lz4.block.decompress(value)


def found_in_tables(url: str, words: Iterable[str]) -> dict[str, set[str]]:
    """The words that are in a database of PostgreSQL's, each with the tables; its statistics are among them."""
    wanted = {word: word.encode().lower() for word in words}
    hits: dict[str, set[str]] = {}
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT relnamespace::regnamespace::text, relname FROM pg_class "
            "WHERE relkind = 'r' AND relnamespace::regnamespace::text IN ('account', 'state', 'delivery')"
        ).fetchall()
        assert {schema for schema, _ in tables} == {"account", "state", "delivery"}
        for names in [*tables, ("pg_catalog", "pg_stats")]:
            # Every column as text, whatever its type, and bytes as they are.
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(*names))).fetchall()
            rows += connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*names))).fetchall()
            for where, content in values(".".join(names), rows):
                lower = content.lower()
                for word, coded in wanted.items():
                    if coded in lower:
                        hits.setdefault(word, set()).add(where)
    return hits
