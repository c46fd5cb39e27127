"""A task is ended for good (log/ending.py)."""

import asyncio
from contextlib import suppress

import pytest

from richpanel.log.ending import end_tasks


async def test_one_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As before Python 3.12 `wait_for` does where the answer comes with it; here it happens for certain."""

    async def ask() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await end_tasks(task)
    assert task.cancelled()


async def test_what_one_of_them_raised_is_raised_once_all_have_ended() -> None:
    async def fail() -> None:
        raise ValueError("no")

    async def wait() -> None:
        await asyncio.sleep(60)

    tasks = [asyncio.create_task(each) for each in (wait(), fail(), wait())]
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="no"):
        await end_tasks(*tasks)
    assert all(task.done() for task in tasks)


async def test_without_a_task_nothing_is_waited_for() -> None:
    await end_tasks()
