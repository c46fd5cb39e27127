"""One door for the tests of a module; each test adds sources of its own, so that none sees another's records."""

from collections.abc import AsyncIterator

import pytest

from richpanel.source.asgi import DoorOptions
from tests.source.running import Running, running


@pytest.fixture(scope="module")
def options() -> DoorOptions:
    """What the module's door is told; a module may say otherwise."""
    return DoorOptions(body_seconds=0.5)


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory, options: DoorOptions) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("log"), options) as door:
        yield door
