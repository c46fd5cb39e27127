"""Another machine, as far as the network goes: a namespace of the kernel's behind a cable that can be cut.

What was sent over a cable that is cut is lost without a word, and nobody is told of it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final

import pytest

_NAME: Final = "richpanel-test-"
_PAIRS: Final = ip_network("10.213.0.0/16")
"""Where the two machines' addresses are of: the number of the process says which."""

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces are for root, by `ip`"
)


@dataclass
class Elsewhere:
    """The other machine."""

    name: str
    here: str
    """This machine's address, as the other one knows it."""
    there: str

    @property
    def inside(self) -> Sequence[str]:
        """What goes before a command that is to run there."""
        return ("ip", "netns", "exec", self.name)

    def cut(self) -> None:
        """Cut the cable."""
        _run(*self.inside, "ip", "link", "set", "cable", "down")

    def mend(self) -> None:
        """Mend it."""
        _run(*self.inside, "ip", "link", "set", "cable", "up")


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Make another machine."""
    _sweep()
    pairs = _PAIRS.num_addresses // 4
    here, there = ip_network((int(_PAIRS[4 * (os.getpid() % pairs)]), 30)).hosts()
    other = Elsewhere(f"{_NAME}{os.getpid()}", str(here), str(there))
    end = f"rp{os.getpid()}"
    _run("ip", "netns", "add", other.name)
    try:
        _run("ip", "link", "add", end, "type", "veth", "peer", "name", "cable", "netns", other.name)
        _run("ip", "address", "add", f"{here}/30", "dev", end)
        _run("ip", "link", "set", end, "up")
        _run(*other.inside, "ip", "address", "add", f"{there}/30", "dev", "cable")
        _run(*other.inside, "ip", "link", "set", "lo", "up")
        other.mend()
        yield other
    finally:
        _remove(os.getpid())


def _sweep() -> None:
    """Remove what runs that were killed left: two cables with one address and nothing arrives."""
    listed = subprocess.run(("ip", "netns", "list"), check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        name = line.split()[0]
        if name.startswith(_NAME) and not Path(f"/proc/{name.removeprefix(_NAME)}").exists():
            _remove(int(name.removeprefix(_NAME)))


def _remove(process: int) -> None:
    """Remove a process's other machine, as far as it is there."""
    for command in (("ip", "link", "delete", f"rp{process}"), ("ip", "netns", "delete", f"{_NAME}{process}")):
        subprocess.run(command, check=False, capture_output=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
