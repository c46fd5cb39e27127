"""One door for the tests of the server underneath it."""

from collections.abc import AsyncIterator

import pytest

from tests.source.running import Running, running


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("log")) as door:
        yield door
