"""Turns of the event loop: how much work is taken on before everybody else has had theirs.

All that has arrived is worked off in one turn, and only then does the loop look at its sockets again. Under more load
than the server can take, turns would grow until nobody is answered any more. So a turn has an end; what is left waits
for the next one, for so long and up to so many bytes, and what cannot wait is refused.
"""

import asyncio
from time import perf_counter


class Turn:
    """The present turn of the loop, from the first time that somebody asks in it."""

    def __init__(self, seconds: float, patience: float, max_waiting_bytes: int) -> None:
        """Let a turn be over after so many seconds; let nobody wait longer than `patience` seconds for theirs."""
        self.waiting = 0
        self._seconds = seconds
        self._patience = patience
        self._max_waiting = max_waiting_bytes
        self._began: float | None = None

    async def comes(self, size: int) -> bool:
        """Wait until a body of so many bytes may be worked on; False where that would take too long.

        Who asks first is first, in this turn and the next ones.
        """
        if not self._is_over():
            return True
        if self.waiting + size > self._max_waiting:
            return False
        self.waiting += size
        try:
            latest = perf_counter() + self._patience
            while perf_counter() < latest:
                await asyncio.sleep(0)
                if not self._is_over():
                    return True
            return False
        finally:
            self.waiting -= size

    def _is_over(self) -> bool:
        """Tell whether nothing more is to be begun in this turn; the first of a turn always may be."""
        if self._began is None:
            self._began = perf_counter()
            asyncio.get_running_loop().call_soon(self._end)  # Which is behind all that is ready now.
            return False
        return perf_counter() - self._began > self._seconds

    def _end(self) -> None:
        self._began = None
