"""A site per test where it is changed, and one shop's story for all that only look."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.running import Site, furnish, running
from tests.web.story import tell


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with an account, to be copied."""
    return furnish(tmp_path_factory.mktemp("furnished") / "data")


@pytest.fixture
def data(furnished: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own."""
    return Path(shutil.copytree(furnished, tmp_path / "data"))


@pytest.fixture
def site(data: Path) -> Iterator[Site]:
    """A site without any messages."""
    with running(data) as each:
        yield each


@pytest.fixture(scope="session")
def shop(furnished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a shop's story in it; tests look and change nothing."""
    with running(Path(shutil.copytree(furnished, tmp_path_factory.mktemp("shop") / "data"))) as each:
        tell(each)
        yield each
