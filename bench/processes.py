"""Processes as /proc shows them: their children, CPU time, memory and cores. Linux only."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_TICK: Final = 1.0 / os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
MIB: Final = 1 << 20


def children(parent: int) -> dict[int, list[str]]:
    """Give the command lines of a process's children by their ids."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError, IndexError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    found[int(entry.name)] = (entry / "cmdline").read_text().rstrip("\0").split("\0")
    return found


def cpu_seconds(pid: int) -> float:
    """Give the CPU time that a process has used, its own and the system's for it, to 10 ms."""
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def memory(pid: int) -> tuple[float, float]:
    """Give a process's resident memory in MiB: all of it, and without its share of what others have mapped, too."""
    sizes = dict.fromkeys(("Rss", "Pss"), 0.0)
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in sizes:
            sizes[name] = int(rest.split()[0]) * 1024 / MIB
    return sizes["Rss"], sizes["Pss"]


def pin(pid: int, cores: set[int]) -> None:
    """Keep all threads of a process on these cores; threads that they start will stay there, too."""
    for thread in (_PROC / str(pid) / "task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


def cores() -> list[int]:
    """Give the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))
