"""A site per test where it is changed, and one shop's story for all that only look."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.running import Site, running
from tests.web.story import tell


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """An empty site."""
    with running(tmp_path / "data") as each:
        yield each


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with a shop's story in it; tests look and change nothing."""
    with running(tmp_path_factory.mktemp("shop") / "data") as each:
        tell(each)
        yield each
