"""Tables of a cluster as files, and back: every row and number, whatever is in them, and what was changed is seen."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from richpanel.store import dumping, schema
from richpanel.store.bulk import fetch, insert
from richpanel.store.database import open_engine, reading
from richpanel.store.dumping import Dumped
from richpanel.store.migrating import migrate
from richpanel.store.postgres import schema_url
from tests.postgres_server import PostgresServer

NAMES = [(1, "plain"), (2, "tab\tand\nline"), (3, "\\N"), (4, "nul \0 and \1"), (7, "ü" * 3_000)]
BODIES = [(place, bytes(range(256)) * (place % 3)) for place in range(1, 2_500)]


def engine_of(postgres: PostgresServer, name: str) -> Engine:
    url = postgres.create(name)
    for branch in dumping.SCHEMAS:
        migrate(schema_url(url, branch), branch)
    return open_engine(schema_url(url, "state"))


@pytest.fixture
def old(postgres: PostgresServer, tmp_path: Path) -> Iterator[Engine]:
    engine = engine_of(postgres, f"{tmp_path.name}_old")
    with engine.begin() as connection:
        insert(connection, schema.names, NAMES)
        insert(connection, schema.bodies, BODIES)
        fetch(connection, "SELECT take_numbers('message_numbers', 41)")
    yield engine
    engine.dispose()


@pytest.fixture
def new(postgres: PostgresServer, tmp_path: Path) -> Iterator[Engine]:
    engine = engine_of(postgres, f"{tmp_path.name}_new")
    yield engine
    engine.dispose()


def dumped(engine: Engine) -> dict[str, tuple[Dumped, bytes]]:
    """Every table's file."""
    files: dict[str, tuple[Dumped, bytes]] = {}
    with reading(engine) as connection:
        for table in dumping.tables(connection):
            pieces: list[bytes] = []
            made = dumping.dump(connection, table, pieces.append, lambda _: None)
            files[made.file] = made, b"".join(pieces)
    return files


def test_what_was_written_is_read_back(old: Engine, new: Engine) -> None:
    files = dumped(old)
    assert (files["state/names.copy"][0].rows, files["state/bodies.copy"][0].rows) == (5, len(BODIES))
    assert {"account/regulations.copy", "account/account.copy", "state/progress.copy"} <= files.keys()
    assert {"delivery/deliveries.copy", "delivery/cursors.copy", "delivery/attempts.copy"} <= files.keys()
    assert not any("alembic" in name or "bodies_0" in name for name in files)
    with reading(old) as connection:
        numbers = dumping.numbers(connection)
    assert numbers["state.message_numbers"] == 41
    with new.begin() as connection:
        for table, content in files.values():
            halves = content[: len(content) // 2], content[len(content) // 2 :]
            dumping.load(connection, table, halves, lambda _: None)
            assert dumping.digest_of(connection, table, lambda _: None) == table.digest
        dumping.number_on(connection, numbers)
        assert [tuple(row) for row in fetch(connection, "SELECT id, value FROM names ORDER BY id")] == NAMES
        assert fetch(connection, "SELECT take_numbers('message_numbers', 1)")[0][0] == 42
    assert {name: table for name, (table, _) in dumped(new).items()} == {n: table for n, (table, _) in files.items()}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE bodies SET data = 'x' WHERE place = 77",
        "DELETE FROM bodies WHERE place = 77",
        "INSERT INTO bodies SELECT 100000, data FROM bodies WHERE place = 77",
    ],
)
def test_whatever_is_changed_has_another_digest(old: Engine, change: str) -> None:
    table, _ = dumped(old)["state/bodies.copy"]
    with old.begin() as connection:
        connection.exec_driver_sql(change)
        assert dumping.digest_of(connection, table, lambda _: None) != table.digest


def test_tables_come_in_an_order_in_which_they_can_be_filled(old: Engine) -> None:
    with reading(old) as connection:
        names = [table.table for table in dumping.tables(connection)]
    assert names.index("regulations") < names.index("tombstones")
