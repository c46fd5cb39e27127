"""An account per test, copied from one that is made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.account import Account, copy_of, make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as the first start makes it, with a few more sources."""
    return make_template(tmp_path_factory.mktemp("template") / "data")


@pytest.fixture
def account(template: Path, tmp_path: Path) -> Iterator[Account]:
    """An account with nothing in its log."""
    made = copy_of(template, tmp_path / "data")
    yield made
    made.close()
