"""References: what the machine gives when nothing of ours is in the way."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, Self

from bench.calls import batches
from bench.processes import cpu_seconds, pin
from bench.workload import Shop

_GROUP: Final = 1_000
"""Events for each sync: the size at which the disk of the ceilings gave the most."""
_ROOT: Final = Path(__file__).parent.parent


class BareLog:
    """Appends bodies to a file and syncs, in a loop, in a process on one core."""

    def __init__(self, core: int) -> None:
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=_prepare, initargs=(core,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def append(self, path: Path, seconds: float) -> tuple[int, float, float]:
        """Append for so long; gives events, seconds and CPU seconds."""
        return self._pool.submit(_append, path, seconds).result()


_groups: list[list[bytes]] = []


def _prepare(core: int) -> None:
    pin(os.getpid(), {core})
    items = Shop(9).messages(20 * _GROUP)
    for start in range(0, len(items), _GROUP):
        calls = batches(items[start : start + _GROUP], "", 0)
        _groups.append([bytes(call.wire) for call in calls])


def _append(path: Path, seconds: float) -> tuple[int, float, float]:
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    cpu, start, count = time.process_time(), time.perf_counter(), 0
    try:
        while (now := time.perf_counter() - start) < seconds:
            group = _groups[count % len(_groups)]
            written = os.writev(file, group)
            assert written == sum(map(len, group)), "the disk is full"
            os.fdatasync(file)
            count += 1
    finally:
        os.close(file)
        path.unlink()
    return count * _GROUP, now, time.process_time() - cpu


class BareServer:
    """uvicorn with `bench.bare_app`, on one core."""

    def __init__(self, core: int) -> None:
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port: int = listening.getsockname()[1]
        command = [sys.executable, "-m", "bench.bare_app", str(listening.fileno())]
        self._process = subprocess.Popen(command, cwd=_ROOT, pass_fds=[listening.fileno()])
        listening.close()
        pin(self._process.pid, {core})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def cpu(self) -> float:
        """Give the CPU seconds that it has used."""
        return cpu_seconds(self._process.pid)
