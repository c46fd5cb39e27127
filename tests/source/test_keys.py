"""The snapshot of keys: what it opens, and how it is kept fresh."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress

from richpanel.source.keys import KeySnapshot, Source

WEB = Source("src_1", "Website", "web", True, ("k1", "k2"))
SEGMENT = Source("src_2", "Segment", "segment", True, ("api",))


class Store:
    """Where keys come from: its sources, or the error that it answers with."""

    def __init__(self) -> None:
        self.found: list[Source] | Exception = [WEB]
        self.asked = 0

    def load(self) -> Iterable[Source]:
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@asynccontextmanager
async def refreshing(keys: KeySnapshot, store: Store, **every: float) -> AsyncIterator[None]:
    task = asyncio.create_task(keys.refresh(store.load, **every))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110  # what is waited for happens in a thread of its own
            await asyncio.sleep(0.005)


def test_a_connectors_key_opens_the_partner_endpoint_alone() -> None:
    keys = KeySnapshot([WEB, SEGMENT])
    assert keys.write_keys == {"k1": WEB, "k2": WEB}
    assert keys.api_keys == {"api": SEGMENT}
    keys.replace([SEGMENT])
    assert keys.write_keys == {}


async def test_new_keys_work_within_a_second() -> None:
    keys, store = KeySnapshot(), Store()
    async with refreshing(keys, store):
        await until(lambda: set(keys.write_keys) == {"k1", "k2"})
        store.found = [Source("src_1", "Website", "web", True, ("k3",))]
        began = time.monotonic()
        await until(lambda: set(keys.write_keys) == {"k3"})
        assert time.monotonic() - began < 1


async def test_while_the_store_fails_the_old_keys_stay() -> None:
    keys, store = KeySnapshot(), Store()
    async with refreshing(keys, store, every=0.01):
        await until(lambda: set(keys.write_keys) == {"k1", "k2"})
        for error in (OSError("the disk is gone"), ValueError("and more")):
            store.found = error
            seen = store.asked + 2
            await until(lambda seen=seen: store.asked > seen)  # type: ignore[misc]
            assert set(keys.write_keys) == {"k1", "k2"}
        store.found = [SEGMENT]
        await until(lambda: (set(keys.write_keys), set(keys.api_keys)) == (set(), {"api"}))
