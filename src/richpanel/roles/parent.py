"""A role's parent: the other end of its stdin and stdout.

The first line of stdin says how to start, the next ones are news; when it ends, the parent is gone, and so is the role,
at once. The role's own word goes to stdout, a JSON object a line: `ready`, `login` (made at the first start), `fatal`
(why it cannot run), `figures`.
"""

import ctypes
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


class CannotRunError(Exception):
    """The role cannot run, and starting it again would not help."""


class Parent:
    """Speaks with the parent."""

    def __init__(self) -> None:
        """Take over stdin and stdout; whatever prints from here on prints to stderr."""
        self._out = os.fdopen(os.dup(1), "wb", buffering=0)
        os.dup2(2, 1)
        self._lines = _lines(0)
        self._mutex = threading.Lock()

    def start(self) -> dict[str, Any]:
        """Read the first line: `settings`, the `socket` to listen on, and whether to make a first `login`."""
        given: dict[str, Any] = json.loads(next(self._lines))
        return given

    def say(self, **word: object) -> None:
        """Tell the parent."""
        line = json.dumps(word).encode() + b"\n"
        with self._mutex, suppress(BrokenPipeError):
            self._out.write(line)

    def listen(self, hear: Callable[[dict[str, Any]], None] | None = None) -> None:
        """Hear the parent's news on a thread; end this process, whatever it does, when the parent is gone."""

        def follow() -> None:
            for line in self._lines:
                if hear is not None:
                    hear(json.loads(line))
            os._exit(1)

        threading.Thread(target=follow, name="parent", daemon=True).start()


def _lines(fd: int) -> Iterator[bytes]:
    """Read lines, without the lock of a file object: a thread that holds one at the end makes Python abort."""
    rest = b""
    while piece := os.read(fd, 65_536):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


def die_with_parent() -> None:
    """Have Linux kill this process with its parent, even while something long holds the interpreter."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def on_stop(stop: Callable[[], None]) -> None:
    """Call `stop` when told to stop, once: the signal can come from the parent and from whoever told that one."""

    def told(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        stop()

    signal.signal(signal.SIGTERM, told)
