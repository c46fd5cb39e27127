"""Where a test's databases are: in its own directory, or in a new database of the suite's PostgreSQL server."""

from pathlib import Path

import pytest

from richpanel.store.directory import DataDirectory
from richpanel.store.preparing import prepare
from richpanel.store.secrets import SecretBox
from tests.postgres_server import PostgresServer

ENGINES = ("sqlite", "postgresql")


def place(engine: str, request: pytest.FixtureRequest, path: Path) -> DataDirectory:
    """A place for databases of an engine, with nothing in it."""
    if engine == "sqlite":
        return DataDirectory(path / "data")
    server: PostgresServer = request.getfixturevalue("postgres")
    return DataDirectory(path / "data", server.create(path.name))


def make(directory: DataDirectory) -> SecretBox:
    """Make it ready."""
    return prepare(directory)
