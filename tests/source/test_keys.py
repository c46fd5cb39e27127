"""The snapshot of keys: what it opens, and how it is kept fresh."""

import asyncio
from collections.abc import Iterable

from richpanel.source.keys import KeySnapshot, Source

WEB = Source("src_1", "Website", "web", True, ("k1", "k2"))
SEGMENT = Source("src_2", "Segment", "segment", True, ("api",))


def test_a_connectors_key_opens_the_partner_endpoint_alone() -> None:
    keys = KeySnapshot([WEB, SEGMENT])
    assert keys.write_keys == {"k1": WEB, "k2": WEB}
    assert keys.api_keys == {"api": SEGMENT}
    keys.replace([SEGMENT])
    assert keys.write_keys == {}


async def test_new_keys_work_within_a_second() -> None:
    found = [WEB]
    keys = KeySnapshot()
    refreshing = asyncio.create_task(keys.refresh(lambda: found))
    await asyncio.sleep(0.1)
    assert set(keys.write_keys) == {"k1", "k2"}
    found = [Source("src_1", "Website", "web", True, ("k3",))]
    await asyncio.sleep(0.9)
    assert set(keys.write_keys) == {"k3"}
    refreshing.cancel()


async def test_while_the_store_fails_the_old_keys_stay() -> None:
    found: list[Source] | Exception = [WEB]
    asked = 0

    def load() -> Iterable[Source]:
        nonlocal asked
        asked += 1
        if isinstance(found, Exception):
            raise found
        return found

    keys = KeySnapshot()
    refreshing = asyncio.create_task(keys.refresh(load, every=0.01))
    await asyncio.sleep(0.1)
    for found in (OSError("the disk is gone"), ValueError("and more")):  # noqa: B007  # `load` reads it
        before = asked
        await asyncio.sleep(0.1)
        assert asked > before
        assert set(keys.write_keys) == {"k1", "k2"}
    found = [SEGMENT]
    await asyncio.sleep(0.1)
    assert (set(keys.write_keys), set(keys.api_keys)) == (set(), {"api"})
    refreshing.cancel()
