"""The state's tables on PostgreSQL: the columns that the code says, whatever the layout."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, LargeBinary, Table, Text, inspect

from richpanel.store import schema
from richpanel.store.bulk import Words, fetch, run
from richpanel.store.database import open_engine
from richpanel.store.migrating import migrate
from richpanel.store.postgres import schema_url
from richpanel.store.postgres_schema import PARTITIONS
from tests.postgres_server import PostgresServer

TABLES = {**schema.metadata.tables, **schema.postgres_metadata.tables}
PARTITIONED = {
    *("identities", "addresses", "messages", "message_ids", "history", "profiles", "sessions", "changes", "bodies"),
    *("search", "memberships", "told"),
}


@pytest.fixture(scope="module")
def engine(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    url = schema_url(postgres.create(tmp_path_factory.mktemp("state_tables").name), "state")
    migrate(url, "state")
    migrate(url, "state")  # Running again changes nothing.
    made = open_engine(url)
    yield made
    made.dispose()


OTHER_KEYS: dict[str, list[str]] = {"identities": [], "message_ids": ["hash", "part"]}
"""The key of a partitioned table has what it is partitioned by; identities have numbers that nobody else gets."""


def kind(table: Table, name: str) -> tuple[str, ...]:
    """The types that a column may have: numbers of things have 64 bits."""
    column = table.columns[name].type
    if isinstance(column, Words):
        return ("TSVECTOR",)
    if isinstance(column, Text):
        return ('TEXT COLLATE "C"',)
    if isinstance(column, LargeBinary):
        return ("BYTEA",)
    return ("BIGINT",) if name in NUMBERS else ("BIGINT", "INTEGER", "SMALLINT")


NUMBERS = {
    *("n", "id", "identity", "alias", "uid", "profile", "order", "owner", "address", "event", "decisions", "place"),
    *("t", "received", "first", "last", "low", "high", "email", "phone", "anonymous", "position", "messages", "hash"),
}


def test_there_is_every_table_and_nothing_besides(engine: Engine) -> None:
    found = set(inspect(engine).get_table_names())
    partitions = {f"{name}_{number}" for name in PARTITIONED for number in range(PARTITIONS)}
    assert found - partitions - {"alembic_version"} == set(TABLES)
    assert partitions <= found


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_those_of_the_code(engine: Engine, name: str) -> None:
    table = TABLES[name]
    columns: dict[str, Any] = {column["name"]: column for column in inspect(engine).get_columns(name)}
    assert set(columns) == {column.name for column in table.columns}
    for column in table.columns:
        found = columns[column.name]
        assert str(found["type"]) in kind(table, column.name), column.name
        assert found["nullable"] == bool(column.nullable), column.name


@pytest.mark.parametrize("name", TABLES)
def test_a_row_is_known_by_the_same_columns(engine: Engine, name: str) -> None:
    found = inspect(engine).get_pk_constraint(name)["constrained_columns"]
    expected = OTHER_KEYS.get(name, [column.name for column in TABLES[name].primary_key.columns])
    assert sorted(found) == sorted(expected)


def test_partitioned_tables_are_partitioned_by_hash(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = fetch(connection, "SELECT partrelid::regclass::text, partstrat::text FROM pg_partitioned_table")
    assert dict(map(tuple, rows)) == dict.fromkeys(PARTITIONED, "h")


def test_an_identity_is_there_once(engine: Engine) -> None:
    """Two that share a hash are told apart by what they are."""
    added = "INSERT INTO identities (id, hash, kind, value) VALUES (?, 7, 0, ?) ON CONFLICT DO NOTHING"
    with engine.begin() as connection:
        assert [run(connection, added, *each) for each in ((1, "a"), (2, "b"), (3, "a"))] == [1, 1, 0]
        connection.rollback()
