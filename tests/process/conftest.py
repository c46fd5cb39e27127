"""An account per test, copied from one that is made once; every test runs on each engine that can hold the state."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.account import Account, Template, copy_of, make_template


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A data directory as the first start makes it, with a few more sources, on each engine."""
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    return make_template(tmp_path_factory.mktemp("template") / "data", server)


@pytest.fixture
def account(template: Template, tmp_path: Path) -> Iterator[Account]:
    """An account with nothing in its log."""
    made = copy_of(template, tmp_path / "data")
    yield made
    made.close()
