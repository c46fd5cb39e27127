"""One server for each module of tests, sources of each type, and Debian's Chromium."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Playwright, sync_playwright

from tests.sdk.browser import Shopper, shopper
from tests.sdk.clients import NODE_MODULES, OLDER_PYTHON_SDK
from tests.server import Server, Source


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What uses the browser is marked so, all else here speaks through an SDK."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            uses_browser = "open_shop" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.browser if uses_browser else pytest.mark.sdk)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """`make test` installs all of it; running pytest alone on a fresh clone should say what is missing."""
    assert NODE_MODULES.is_dir(), "no npm packages: run `make test`"
    assert OLDER_PYTHON_SDK.is_dir(), "no older Python SDK: run `make test`"
    absent = [program for program in ("node", "chromium", "openssl") if shutil.which(program) is None]
    assert not absent, f"not installed: {absent}: run `make test`"


@pytest.fixture(scope="module")
def server(installation: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the module's own on an empty data directory."""
    with Server(tmp_path_factory.mktemp("server") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def backend(server: Server) -> Source:
    """A source for calls from a shop's back end."""
    return server.add_source("Back end", "server")


@pytest.fixture(scope="module")
def website(server: Server) -> Source:
    """A source for calls from a shop's pages."""
    return server.add_source("Shop", "web")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Playwright's client. While it runs, its event loop is the thread's, so not for longer than it is needed."""
    with sync_playwright() as client:
        yield client


OpenShop = Callable[..., AbstractContextManager[Shopper]]


@pytest.fixture
def open_shop(playwright: Playwright, tmp_path: Path) -> OpenShop:
    """Opens a browser as somebody who was never here before: an empty profile for each."""

    def opened(*args: str) -> AbstractContextManager[Shopper]:
        return shopper(playwright, tmp_path / "profile", args)

    return opened
