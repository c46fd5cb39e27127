"""Nodes of a cluster: they make one account, and have one secret key."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from richpanel.store import connectors
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.migrating import migrate
from richpanel.store.preparing import prepare_account
from richpanel.store.secrets import SecretKeyError, open_secrets
from tests.store.places import ENGINES, make, place

KEY = "a key of 32 characters or more, as it must be"
START = """
import sys
from pathlib import Path
from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare
path, url, key = sys.argv[1:]
directory = DataDirectory(Path(path), url)
sys.stdin.readline()
prepare(directory, secret_key=key or None)
"""


@pytest.fixture(params=ENGINES)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> DataDirectory:
    found = place(request.param, request, tmp_path)
    make(found)
    return found


@pytest.fixture
def engine(directory: DataDirectory) -> Iterator[Engine]:
    opened = open_engine(directory.account_url)
    yield opened
    opened.dispose()


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> DataDirectory:
    return place("postgresql", request, tmp_path)


def elsewhere(directory: DataDirectory, name: str) -> DataDirectory:
    """The same databases seen from another node: on SQLite, from the same directory."""
    if directory.is_embedded:
        return directory
    other = directory.path.with_name(name)
    other.mkdir()
    return DataDirectory(other, directory.database_url)


def test_a_node_with_another_key_is_refused(directory: DataDirectory) -> None:
    with pytest.raises(SecretKeyError, match=r"is not the account's: put secret\.key of the first node") as caught:
        prepare_account(directory, KEY)
    assert "RICHPANEL_SECRET_KEY" in str(caught.value)
    assert "migrate --new-secret-key" in str(caught.value)
    same = (directory.path / "secret.key").read_text().strip()
    prepare_account(elsewhere(directory, "second"), same)


def test_a_node_without_a_key_does_not_make_one(directory: DataDirectory) -> None:
    (directory.path / "secret.key").unlink()
    node = elsewhere(directory, "second")
    with pytest.raises(SecretKeyError, match="there is no secret key on this node"):
        prepare_account(node, None)
    assert not (node.path / "secret.key").exists()


def test_an_account_from_before_takes_the_key_that_is_there(directory: DataDirectory, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM secret_key"))
    prepare_account(directory, None)
    with pytest.raises(SecretKeyError, match="is not the account's"):
        prepare_account(directory, KEY)


def test_a_lost_key_is_given_up(directory: DataDirectory, engine: Engine) -> None:
    before = open_secrets(directory.path)
    (directory.path / "secret.key").unlink()
    box = prepare_account(directory, None, new_key=True)
    with engine.begin() as connection:
        (connector,) = connectors.list_connectors(connection)
        with pytest.raises(SecretKeyError, match="another key"):
            connectors.connector_secret(connection, box, connector.id)
        rotated = connectors.rotate_connector(connection, box, connector.id)
        assert rotated is not None
        assert connectors.connector_secret(connection, open_secrets(directory.path), connector.id) == rotated[1]
    with pytest.raises(SecretKeyError):
        before.open(box.seal("x"))


@pytest.mark.parametrize("key", [KEY, ""], ids=["one key", "no key"])
def test_nodes_that_start_at_once_make_one_account(cluster: DataDirectory, tmp_path: Path, key: str) -> None:
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(tmp_path / f"node{number}"), str(cluster.database_url), key],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for node in nodes:
        assert node.stdin is not None
        node.stdin.write("\n")
        node.stdin.flush()
    said = [node.communicate(timeout=60)[1] for node in nodes]
    started = [node.returncode == 0 for node in nodes]
    if key:
        assert all(started), said
    else:  # Who comes first makes a key, and nobody else does.
        assert started.count(True) == 1, said
        assert sum("there is no secret key on this node" in each for each in said) == 3
        assert len(list(tmp_path.glob("node*/secret.key"))) == 1
    engine = open_engine(cluster.account_url)
    with engine.connect() as connection:
        for table, count in (("account", 1), ("sources", 3), ("connectors", 1), ("destinations", 1), ("secret_key", 1)):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == count, table
    engine.dispose()


def test_definitions_have_one_writer_at_a_time(cluster: DataDirectory) -> None:
    """As on SQLite: what a transaction has read is still so when it writes."""
    cluster.path.mkdir()
    migrate(cluster.account_url, "account")
    prepare_account(cluster, KEY)
    first, second = open_engine(cluster.account_url), open_engine(cluster.account_url, busy_seconds=0.2)
    with first.begin(), pytest.raises(Exception, match="lock timeout"), second.begin():
        pass
    with second.begin() as connection:
        assert connection.execute(text("SELECT version FROM account")).scalar()
    first.dispose()
    second.dispose()
