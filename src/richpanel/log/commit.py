"""Group commit: one thread, one write and one sync for all that waits."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Final, NamedTuple

from richpanel.log.active import ActiveSegment
from richpanel.log.contract import LogDamaged
from richpanel.log.files import DurableMark

_COMMIT_BYTES: Final = 4 << 20
"""A commit takes no further record past this: some 16 ms of a disk that does 250 MB/s."""


class Append(NamedTuple):
    """A record on its way to the disk, and who waits for it."""

    future: asyncio.Future[int]
    cost: int
    """What it counts towards the bytes that may wait."""
    size: int
    """Header and payload, in bytes; 0 asks only whether the disk takes something."""
    buffers: Sequence[bytes]
    """Header, then the payload in its parts."""
    seal: bool = False
    """Ask that all that was written before it lies in sealed segments."""


class Committed(NamedTuple):
    """What became of a group: kept from position `start` on, or not at all for the reason in `error`."""

    appends: list[Append]
    start: int
    error: str | None = None


class Committer:
    """The thread that writes. It owns the active segment and the mark; `submit` and `stop` are for the event loop."""

    def __init__(
        self,
        active: ActiveSegment,
        mark: DurableMark,
        segment_bytes: int,
        report: Callable[[Committed | None], None],
    ) -> None:
        """Start the thread. `report` is called on it with each group's fate, and with None when it has ended."""
        self.end = active.end
        self._active = active
        self._mark = mark
        self._segment_bytes = segment_bytes
        self._report = report
        self._queue: SimpleQueue[list[Append] | None] = SimpleQueue()
        self._backlog: deque[Append] = deque()
        self._group: list[Append] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(self, appends: list[Append]) -> None:
        """Have these written, after all that was submitted before. The list is the committer's from now on."""
        self._queue.put(appends)

    def stop(self) -> None:
        """End the thread once everything submitted before is written; it reports None when it has."""
        self._queue.put(None)

    def join(self) -> list[Append]:
        """Wait for the thread's last few instructions, once it has reported None; return what it did not get to.

        That is nothing, unless a fault of ours ended it: nobody is to wait for a thread that is gone.
        """
        self._thread.join()
        left = [*self._group, *self._backlog]
        while not self._queue.empty():
            left += self._queue.get() or ()
        return left

    def _run(self) -> None:
        try:
            while self._take():
                self._report(self._commit(self._group))
        finally:
            self._active.close()
            self._mark.close()
            self._report(None)

    def _take(self) -> bool:
        """Make a group of all that waits, up to a commit's size; wait for something. False: the thread is to end."""
        self._group = []
        while not self._queue.empty() or not (self._backlog or self._stopping):
            appends = self._queue.get()
            if appends is None:
                self._stopping = True
            else:
                self._backlog.extend(appends)
        size = 0
        while self._backlog and size < _COMMIT_BYTES:
            append = self._backlog.popleft()
            self._group.append(append)
            size += append.size
        return bool(self._group)

    def _commit(self, group: list[Append]) -> Committed:
        start = self.end
        try:
            sealing = self._active.size and any(append.seal for append in group)
            if sealing or self._active.size >= self._segment_bytes:
                self._active = self._active.next()
            if size := sum(append.size for append in group):
                self._active.write([buffer for append in group for buffer in append.buffers], size)
            else:
                self._active.probe()
        except (OSError, LogDamaged, MemoryError) as error:
            return Committed(group, start, f"the log takes nothing: {error}")
        self.end = self._active.end
        self._mark.set(self.end)
        return Committed(group, start)
