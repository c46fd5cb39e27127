"""The log that a test of the contract runs on: each engine in turn."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from richpanel.log.contract import LogReader
from tests.contract.engines import ENGINES, Engine


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    make: Callable[[Path], Engine] = request.param
    made = make(tmp_path)
    yield made
    await made.close()


@pytest.fixture
def reader(engine: Engine) -> Iterator[LogReader]:
    reader = engine.reader()
    yield reader
    reader.close()
