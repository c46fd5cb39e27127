"""Whether a data directory is ready: what the parent finds without Alembic is what Alembic says."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.migrating import migrate
from richpanel.store.preparing import prepare, prepare_account, prepare_login
from richpanel.store.revisions import is_ready, newest
from tests.postgres_server import PostgresServer

MIGRATIONS = str(Path(newest.__code__.co_filename).with_name("migrations"))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepared") / "data"
    prepare(DataDirectory(path))
    prepare_login(DataDirectory(path), "password")
    return path


@pytest.fixture
def data(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def ready(path: Path, *, key: str | None = None, needs_login: bool = True) -> bool:
    return is_ready(path, None, secret_key=key, needs_login=needs_login)


def test_the_newest_revision_is_alembics_head() -> None:
    scripts = ScriptDirectory(MIGRATIONS, version_locations=[MIGRATIONS])
    assert sorted(scripts.get_heads()) == sorted(map(newest, ("account", "delivery", "state")))


def test_a_prepared_directory_is_ready(data: Path) -> None:
    assert ready(data)
    engine = open_engine(DataDirectory(data).account_url)  # While somebody writes, too.
    with engine.begin():
        assert ready(data)
    engine.dispose()


def execute(branch: str, statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        engine = open_engine(f"sqlite:///{path / branch}.db")
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)
        engine.dispose()

    return change


@pytest.mark.parametrize(
    "harm",
    [
        shutil.rmtree,
        lambda path: (path / "secret.key").unlink(),
        lambda path: (path / "secret.key").write_text("another key, which is as long as any"),
        lambda path: (path / "account.db").unlink(),
        lambda path: (path / "state.db").unlink(),
        lambda path: (path / "state.db").write_bytes(b""),
        lambda path: (path / "delivery.db").unlink(),
        execute("state", "UPDATE alembic_version SET version_num = 'state_0000'"),
        execute("account", "UPDATE alembic_version SET version_num = 'account_9999'"),
        execute("account", "DELETE FROM account"),
        execute("account", "DELETE FROM secret_key"),
        execute("account", "DELETE FROM users"),
    ],
)
def test_what_is_missing_is_to_be_made(data: Path, harm: Callable[[Path], object]) -> None:
    harm(data)
    assert not ready(data)


def test_what_is_not_needed_may_be_missing(data: Path) -> None:
    key = (data / "secret.key").read_text().strip()
    (data / "secret.key").unlink()
    assert ready(data, key=key)
    execute("account", "DELETE FROM users")(data)
    assert ready(data, key=key, needs_login=False)


def test_a_cluster_is_ready_once_all_schemas_are(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.create(tmp_path.name)
    directory = DataDirectory(tmp_path, url)
    key = "a key of 32 characters or more, as it must be"

    def ready(key: str = key, *, needs_login: bool = False) -> bool:
        return is_ready(tmp_path, url, secret_key=key, needs_login=needs_login)

    def exists() -> bool:
        return directory.exists

    assert not ready()
    assert not exists()
    migrate(directory.account_url, "account")
    assert not exists()
    prepare_account(directory, key)
    assert exists()
    engine = open_engine(directory.account_url)
    with engine.begin() as connection:
        for branch in ("state", "delivery"):
            assert not ready(), f"the schema of the {branch} is not there yet"
            connection.exec_driver_sql(f"CREATE SCHEMA {branch}")
            made = f"SELECT '{newest(branch)}' AS version_num"
            connection.exec_driver_sql(f"CREATE TABLE {branch}.alembic_version AS {made}")
    engine.dispose()
    assert ready()
    assert not ready(key + "x")
    assert not ready(needs_login=True)
    prepare_login(directory, "password")
    assert ready(needs_login=True)


def test_a_server_that_does_not_answer_is_no_account_that_is_missing(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path, "postgresql://richpanel:hunter2@127.0.0.1:1/none")
    with pytest.raises(ConnectionError, match="the database does not answer") as caught:
        _ = directory.exists
    assert "hunter2" not in str(caught.value) + directory.databases


def test_looking_changes_nothing(data: Path) -> None:
    before = {path: path.read_bytes() for path in data.iterdir()}
    assert ready(data)
    assert not ready(data.parent / "nowhere")
    assert {path: path.read_bytes() for path in before} == before
    assert not (data.parent / "nowhere").exists()
