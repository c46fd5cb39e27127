"""Ending a task for good, though it may lose a cancellation."""

import asyncio
from typing import Any, Final

_AGAIN_SECONDS: Final = 0.1


async def end_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks, and wait until they have ended; raises what one of them has raised.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, by which the stream's client waits for each answer, loses
    a cancellation that comes together with the answer, and whoever waits for the task's end would wait for ever.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=_AGAIN_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.result()
