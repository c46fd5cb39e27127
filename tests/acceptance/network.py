"""Another machine, as far as the network goes: a namespace of the kernel's behind a cable that can be cut.

What was sent over a cable that is cut is lost without a word, and nobody is told of it.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

HERE: Final = "10.213.7.1"
THERE: Final = "10.213.7.2"

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces are for root, by `ip`"
)


@dataclass
class Elsewhere:
    """The other machine; its address is THERE, this one's HERE."""

    name: str

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
    other = Elsewhere(f"richpanel-{os.getpid()}")
    here = f"rp{os.getpid()}"
    _run("ip", "netns", "add", other.name)
    try:
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", "cable", "netns", other.name)
        _run("ip", "address", "add", f"{HERE}/30", "dev", here)
        _run("ip", "link", "set", here, "up")
        _run(*other.inside, "ip", "address", "add", f"{THERE}/30", "dev", "cable")
        _run(*other.inside, "ip", "link", "set", "lo", "up")
        other.mend()
        yield other
    finally:
        subprocess.run(("ip", "link", "delete", here), check=False, capture_output=True)
        _run("ip", "netns", "delete", other.name)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
