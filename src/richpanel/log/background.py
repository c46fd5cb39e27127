"""Work on the log's files in the background: a child of the log's owner, which runs where nobody else wants to.

Neither the owner's interpreter nor its place on a core is taken from live traffic (docs/decisions/0007).
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Final

_NICE: Final = 19


async def run_child(module: str, *words: str, told: bytes = b"") -> tuple[int, bytes]:
    """Run a module with these words and `told` on its stdin; give its exit code and what it said on stdout.

    Raises OSError where no process can be had. A caller who is cancelled ends the child.
    """
    command = (sys.executable, "-P", "-m", module, *words)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    try:
        said, _ = await child.communicate(told)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return child.returncode or 0, said


def stand_back() -> None:
    """Run only where nobody else wants to, as far as the system knows such a thing."""
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # Not Linux, or a sandbox that knows no such thing.
        os.nice(_NICE)


def owner_lives() -> Callable[[], bool]:
    """Give a question: is the process that started this one still there?"""
    owner = os.getppid()
    return lambda: os.getppid() == owner
