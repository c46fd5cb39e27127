"""What every test shares. Fixtures live beside the tests that use them."""

import signal
from collections.abc import Iterator

import pytest

from tests.postgres_server import PostgresServer


def pytest_configure() -> None:
    """Hear Ctrl-C: a suite that a shell has put into the background ignores it, and so would all that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """Async tests run on the loop the server runs on."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server for all tests; each makes databases of its own there. It need not survive a power cut."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), fsync="off", full_page_writes="off")
    yield server
    server.stop()
