"""Migrations: what they make is what the tables in code say, and running them again changes nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, inspect, select

from richpanel import __version__
from richpanel.store import definitions, delivery_schema, schema
from richpanel.store.database import Branch, open_engine, sqlite_url
from richpanel.store.migrating import RevisionError, migrate
from richpanel.store.revisions import newest
from richpanel.store.urls import schema_url
from tests.postgres_server import PostgresServer

BRANCHES: list[tuple[Branch, MetaData]] = [
    ("account", definitions.metadata),
    ("state", schema.metadata),
    ("delivery", delivery_schema.metadata),
]
each_branch = pytest.mark.parametrize(("branch", "metadata"), BRANCHES, ids=["account", "state", "delivery"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def migrated(folder: Path, branch: Branch) -> str:
    url = sqlite_url(folder, branch)
    migrate(url, branch)
    return url


def described(engine: Engine, tables: set[str]) -> dict[str, Any]:
    """Columns, keys and indexes of tables, as the database itself tells them."""
    inspector = inspect(engine)
    found: dict[str, Any] = {}
    for table in sorted(tables):
        columns = [(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)]
        indexes = sorted(
            (str(index["name"]), tuple(index["column_names"]), bool(index["unique"]))
            for index in inspector.get_indexes(table)
        )
        keys = sorted(str(key["constrained_columns"]) for key in inspector.get_foreign_keys(table))
        primary = inspector.get_pk_constraint(table)["constrained_columns"]
        found[table] = {"columns": columns, "primary": primary, "indexes": indexes, "keys": keys}
    return found


def statements(engine: Engine, tables: set[str]) -> dict[str, str]:
    """How the database says it would make tables and indexes again: partial indexes and WITHOUT ROWID show here."""
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, table, sql in rows if table in tables}


@pytest.fixture
def cluster(postgres: PostgresServer, tmp_path: Path) -> str:
    return postgres.create(tmp_path.name)


def test_the_definitions_are_the_same_on_a_cluster(cluster: str) -> None:
    made, told = schema_url(cluster, "account"), schema_url(cluster, "told")
    migrate(made, "account")
    engine, from_code = open_engine(made), open_engine(told)
    with from_code.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA told")
        definitions.metadata.create_all(connection)
    tables = set(definitions.metadata.tables)
    assert set(inspect(engine).get_table_names()) == tables | {"alembic_version"}
    assert described(engine, tables) == described(from_code, tables)
    texts = [kind for table in described(engine, tables).values() for _, kind, _ in table["columns"] if "TEXT" in kind]
    assert set(texts) == {'TEXT COLLATE "C"'}
    migrate(made, "account")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'account_9999', since = 'account_9998'")
    with pytest.raises(RevisionError, match="the schema account is not of this version or an older one"):
        migrate(made, "account")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET since = '{newest('account')}'")
    migrate(made, "account")
    engine.dispose()
    from_code.dispose()


def test_a_schema_says_which_versions_go_on_with_it(cluster: str) -> None:
    """A revision that does not say otherwise is for its own version and newer ones; each is noted as it is done."""
    url = schema_url(cluster, "account")
    engine = open_engine(url)
    for to in ("account_0001", "account_0002", "account_0002", "head"):
        migrate(url, "account", to=to)
        reached = newest("account") if to == "head" else to
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT version_num, since, version FROM alembic_version").all()
        since = "account_0003" if to == "head" else to  # A table more, which nobody of before looks into.
        assert [tuple(row) for row in rows] == [(reached, since, __version__)]
    engine.dispose()


def test_a_schema_that_an_administrator_made_is_taken(cluster: str) -> None:
    """Who may not make schemas in the database can be given one."""
    engine = open_engine(schema_url(cluster, "public"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE ROLE keeper LOGIN")
        connection.exec_driver_sql("CREATE SCHEMA account AUTHORIZATION keeper")
    migrate(schema_url(cluster.replace("//richpanel@", "//keeper@"), "account"), "account")
    engine.dispose()


@pytest.fixture
def from_code() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


@each_branch
def test_the_migrations_make_what_the_code_says(
    folder: Path, from_code: Engine, branch: Branch, metadata: MetaData
) -> None:
    metadata.create_all(from_code)
    engine = open_engine(migrated(folder, branch))
    tables = set(metadata.tables)
    assert described(engine, tables) == described(from_code, tables)
    assert statements(engine, tables) == statements(from_code, tables)
    engine.dispose()


@each_branch
def test_there_is_nothing_besides(folder: Path, branch: Branch, metadata: MetaData) -> None:
    engine = open_engine(migrated(folder, branch))
    left = set(inspect(engine).get_table_names()) - set(metadata.tables) - {"alembic_version"}
    assert {name for name in left if not name.startswith((schema.SEARCH, "sqlite_"))} == set()
    assert bool(left) == (branch == "state")
    engine.dispose()


@each_branch
def test_running_twice_changes_nothing(folder: Path, branch: Branch, metadata: MetaData) -> None:
    url = migrated(folder, branch)
    engine = open_engine(url)

    def dumped() -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            tables = connection.exec_driver_sql("SELECT * FROM sqlite_master ORDER BY name").all()
            version = connection.exec_driver_sql("SELECT * FROM alembic_version").all()
            return [tuple(row) for row in (*tables, *version)]

    before = dumped()
    migrate(url, branch)
    assert dumped() == before
    engine.dispose()


def test_the_two_branches_are_apart(folder: Path) -> None:
    names: dict[str, set[str]] = {}
    for branch, _ in BRANCHES:
        engine = open_engine(migrated(folder, branch))
        names[branch] = set(inspect(engine).get_table_names())
        engine.dispose()
    assert names["account"] & names["state"] == {"alembic_version"}


def test_the_search_forgets_what_it_deletes(folder: Path) -> None:
    """FTS5's `secure-delete`: an erased word is gone from the index too, not only from its rows."""
    engine = open_engine(migrated(folder, "state"))
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO search (rowid, name) VALUES (1, 'Xylophonist')")
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM search WHERE rowid = 1")
        connection.exec_driver_sql("CREATE VIRTUAL TABLE words USING fts5vocab(search, 'row')")
        assert connection.exec_driver_sql("SELECT term FROM words").all() == []
        blocks = connection.exec_driver_sql("SELECT block FROM search_data").scalars().all()
    assert not any(b"ylophon" in block for block in blocks)
    engine.dispose()


@each_branch
def test_a_newer_database_is_refused(folder: Path, branch: Branch, metadata: MetaData) -> None:
    url = migrated(folder, branch)
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{branch}_9999'")
    engine.dispose()
    with pytest.raises(RevisionError, match=f"{branch}.db is not of this version or an older one: .*{branch}_9999"):
        migrate(url, branch)


def test_the_search_made_anew_finds_what_the_old_one_did(folder: Path) -> None:
    url = sqlite_url(folder, "state")
    migrate(url, "state", to="state_0001")
    engine = open_engine(url)
    people = [(7, "Ada Lovelace", "ada@example.com", "+14155550107 4155550107", "u-1"), (9, "Zoë", "", "", "gid://42")]
    with engine.begin() as connection:
        for person in people:
            connection.exec_driver_sql(
                "INSERT INTO search (rowid, name, email, phone, uid) VALUES (?, ?, ?, ?, ?)", person
            )
    migrate(url, "state")
    with engine.begin() as connection:
        kept = connection.exec_driver_sql("SELECT rowid, name, email, phone, uid FROM search ORDER BY rowid").all()
        assert [tuple(row) for row in kept] == people
        for word, number in (("a", 7), ("lov", 7), ("lovel", 7), ("4", 7), ("zoe", 9), ("gid 4", 9)):
            found = connection.exec_driver_sql("SELECT rowid FROM search WHERE search MATCH ?", (f'"{word}"*',)).all()
            assert number in [row[0] for row in found], word
        assert connection.exec_driver_sql("SELECT v FROM search_config WHERE k = 'secure-delete'").scalar() == 1
    engine.dispose()


ADDED = {
    "account": ["folded_with"],
    "users": ["role", "disabled_at", "one_time", "factor", "factor_since", "factor_step"],
    "web_sessions": ["seen_at", "address", "agent"],
    "tokens": ["role"],
    "views": ["mended_at"],
    "write_keys": ["ends_at"],
}


@pytest.fixture(params=["sqlite", "postgresql"])
def account_url(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(folder, "account")
    cluster: str = request.getfixturevalue("cluster")
    return schema_url(cluster, "account")


def test_people_of_before_roles_are_owners(account_url: str) -> None:
    migrate(account_url, "account")
    engine = open_engine(account_url)
    with engine.begin() as connection:
        for table, columns in ADDED.items():
            for column in columns:
                connection.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'account_0008'")
        connection.exec_driver_sql("INSERT INTO users (login, password, created_at) VALUES ('ada', 'x', 1)")
    migrate(account_url, "account")
    with engine.connect() as connection:
        row = connection.execute(select(definitions.users)).one()
        assert (row.role, row.one_time, row.disabled_at, row.factor_since) == ("owner", False, None, None)
    assert described(engine, set(ADDED))["users"]["columns"][4][0] == "role"
    engine.dispose()
