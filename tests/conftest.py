"""What every test shares. Fixtures live beside the tests that use them."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import expect

from tests.contract.nats_server import NatsServer
from tests.installation import mean, on_cluster
from tests.postgres_server import PostgresServer

MEMORY, MEMINFO = Path("/dev/shm"), Path("/proc/meminfo")
ROOM = 12 << 30
"""Bytes of memory that must be free; the suite's files take half of it."""


def in_memory() -> None:
    """Keep the suite's files in memory where there is plenty: half of its time it would wait for a disk's fsync.

    Who kills a process finds the same there as on a disk; tests of what a disk does mount one of their own.
    """
    if "TMPDIR" in os.environ or not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
        return
    (available,) = [int(line.split()[1]) << 10 for line in MEMINFO.read_text().splitlines() if "MemAvailable" in line]
    if available >= ROOM:
        os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)


def pytest_configure() -> None:
    """Hear Ctrl-C: a suite that a shell has put into the background ignores it, and so would all that it starts."""
    in_memory()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes on a busy machine says nothing about the rule that it is of.
    settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("suite")
    expect.set_options(timeout=30_000)  # A page of a busy machine is late, not wrong.


BOTH_IN_SOAK = {
    *("test_serve", "test_cli", "test_mail", "test_delivery_settings", "test_demo", "test_plugins", "test_roles"),
}
"""Modules of tests/acceptance that `make soak` alone runs on a cluster, too; others have that for their subject."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is about the files of the embedded set-up does not run on the other one."""
    for item in items:
        if item.path.parent.name == "acceptance" and item.path.stem in BOTH_IN_SOAK and "[cluster" in item.name:
            item.add_marker(pytest.mark.soak)
    needless = [item for item in items if item.get_closest_marker("files") and "cluster" in item.name]
    if needless:
        config.hook.pytest_deselected(items=needless)
        items[:] = [item for item in items if item not in needless]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that does not ask for a set-up is on the embedded one, also while its module's cluster is there."""
    mean("installation" in getattr(item, "fixturenames", ()))


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


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server of streams for all tests; each makes streams of its own there."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["embedded", "cluster"])
def installation(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of the two set-ups in turn, for every server and command that the test starts."""
    if request.param == "embedded":
        yield "embedded"
        return
    with on_cluster(request.getfixturevalue("postgres"), request.getfixturevalue("nats")):
        yield "cluster"
