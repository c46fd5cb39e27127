"""A command that is told to stop: at its next step, where everything it opened can be given back; told again, at once.

Python raises what a signal's handler raises wherever it happens to be. In the callback of a weak reference nobody sees
it, and the command went on to its end; between a connection and its `with` the connection stayed open.
"""

import os
import signal
from typing import Final

_AGAIN: Final = b"stopping at the next step; once more stops at once\n"


class Stopping:
    """Hears Ctrl-C and SIGTERM once it listens."""

    def __init__(self) -> None:
        self._told = False

    def listen(self) -> None:
        """Hear the signals from now on. For the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # As a shell has it ignored for what it put aside.
                signal.signal(number, self._hear)

    def obey(self) -> None:
        """Between two steps: raise KeyboardInterrupt where the command was told to stop."""
        if self._told:
            raise KeyboardInterrupt

    def _hear(self, *_: object) -> None:
        if self._told:
            raise KeyboardInterrupt
        self._told = True
        if os.isatty(2):
            os.write(2, _AGAIN)


stopping: Final = Stopping()
"""The command's own: a process has its signals once."""
