"""The segment engine: append-only files, one sync for all that waits (docs/decisions/0002-log-segments.md).

Life of an append: the event loop frames it and puts it with the others of this turn of the loop; the committer's thread
takes all that waits, writes it with one writev, syncs once, publishes the new end, and wakes every caller with one call
into the loop. Readers, in any process, follow the published end.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Final, Self

from richpanel.log.active import ActiveSegment
from richpanel.log.archiving import archive_in_child, next_to_archive
from richpanel.log.commit import Append, Committed, Committer
from richpanel.log.contract import HEADER_SIZE, Entry, LogClosed, LogDamaged, LogFull, LogGone
from richpanel.log.erasing import erase_in_child
from richpanel.log.files import DurableMark, OwnerLock, clear_drafts, rearranging, segment_bases
from richpanel.log.frames import entries, header, record_size
from richpanel.log.opened import OpenSegments
from richpanel.log.recovery import Recovery, recover
from richpanel.log.retention import drop_segments

ARCHIVE_BYTES_PER_SECOND: Final = 64 << 20
"""So fast a segment is archived or rewritten at the most: 2 s for 128 MB, a quarter of what the disk gives
(docs/decisions/0007)."""
_WAITING_OVERHEAD: Final = 1024
"""What a waiting append counts for beside its payload: its future, its task and the request behind it."""
_PAUSE_AFTER_FAILURE: Final = 0.25
"""Seconds in which appends are refused at once after a write has failed, so that a full disk costs no CPU."""
_PROBE_SECONDS: Final = 1.0


class SegmentWriter:
    """The owner of a segment log (log/contract.py, `LogEraser`)."""

    def __init__(self, directory: Path, lock: OwnerLock, max_waiting_bytes: int) -> None:
        """Use `open`."""
        self.recovered: Recovery
        """What opening found; worth a line in the program's log where `cut` or `missing` is not 0."""
        self._committer: Committer
        self._directory = directory
        self._lock = lock
        self._max_waiting = max_waiting_bytes
        self._loop = asyncio.get_running_loop()
        self._turn: list[Append] = []
        self._waiting = 0
        self._ended: asyncio.Future[None] | None = None
        self._refusal: str | None = None
        self._refuse_until = 0.0
        self._probing: asyncio.TimerHandle | None = None
        self._damaged: set[int] = set()
        self._rearranging = asyncio.Lock()

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        segment_bytes: int = 128 << 20,
        max_waiting_bytes: int = 64 << 20,
        floor: int = 0,
    ) -> Self:
        """Own the log in `directory` (made if missing), bring its end in order, and be ready to append.

        Call it on the event loop that will append. It reads the last segment (0.3 s at the most for 128 MB of records
        of 1 KB). No record is put before `floor`, the position up to which a consumer says it has applied. Raises
        LogLocked, OSError.
        """
        directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as undo:
            lock = OwnerLock(directory)
            undo.callback(lock.release)
            with rearranging(directory) as allowed, suppress(OSError):  # In the way of none but the next of that name.
                if allowed:
                    clear_drafts(directory)
            writer = cls(directory, lock, max_waiting_bytes)
            mark = DurableMark.create(directory)
            undo.callback(mark.close)
            writer.recovered = recover(directory, mark.get(), floor)
            active = ActiveSegment(directory, writer.recovered.base)
            mark.set(active.end)
            writer._committer = Committer(active, mark, segment_bytes, writer._report)
            undo.pop_all()
        return writer

    @property
    def durable(self) -> int:
        """End of the last record that is safe on disk."""
        return self._committer.end

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk, each append counted with 1 KB more than its payload."""
        return self._waiting

    @property
    def refusal(self) -> str | None:
        """Why the last write failed; None when it did not. Appends go on trying by themselves."""
        return self._refusal

    async def append(self, payload: bytes | Sequence[bytes]) -> int:
        """Keep one record; return its end position once it is on disk (`LogWriter.append`)."""
        parts = (payload,) if isinstance(payload, bytes) else payload
        size = sum(map(len, parts))
        cost = size + _WAITING_OVERHEAD
        if self._ended is not None:
            raise LogClosed("the log is closed")
        if self._waiting + cost > self._max_waiting:
            if cost > self._max_waiting:
                raise ValueError(f"a record of {cost} bytes is larger than all that may wait")
            raise LogFull(f"{self._waiting} bytes wait for the disk")
        if self._refusal is not None and monotonic() < self._refuse_until:
            raise LogFull(self._refusal)
        future: asyncio.Future[int] = self._loop.create_future()
        if not self._turn:
            # The thread is woken once for a turn of the loop: it shares the interpreter with it.
            self._loop.call_soon(self._hand_over)
        self._turn.append(Append(future, cost, HEADER_SIZE + size, (header(parts, size), *parts)))
        self._waiting += cost
        return await future

    async def archive(self, position: int, before: float) -> int | None:
        """Compress the oldest sealed segment that may be; return where it began (`LogWriter.archive`)."""
        async with self._rearranging:
            base = await asyncio.to_thread(next_to_archive, self._directory, position, before, self._damaged)
            if base is None:
                return None
            try:
                return base if await archive_in_child(self._directory, base, ARCHIVE_BYTES_PER_SECOND) else None
            except LogDamaged:
                self._damaged.add(base)
                raise

    async def retain(self, position: int, before: float | None = None) -> list[int]:
        """Delete the sealed segments that end at or below `position`; return where they began (`LogWriter.retain`)."""
        async with self._rearranging:
            return await asyncio.to_thread(drop_segments, self._directory, position, before)

    async def erase(self, spans: Sequence[tuple[int, int]]) -> int:
        """Overwrite bodies with spaces, in new files for their segments (`LogEraser.erase`)."""
        if not spans:
            return 0
        if outside := next((span for span in spans if min(span) < 0 or sum(span) > self.durable), None):
            raise ValueError(f"the log has no body of {outside[1]} bytes at {outside[0]}")
        async with self._rearranging:
            if self._ended is not None:
                raise LogClosed("the log is closed")
            if max(spans)[0] >= segment_bases(self._directory)[-1]:
                sealed: asyncio.Future[int] = self._loop.create_future()
                self._committer.submit([Append(sealed, 0, 0, (), seal=True)])
                await sealed
            return await erase_in_child(self._directory, spans, ARCHIVE_BYTES_PER_SECOND)

    async def close(self) -> None:
        """Write all that waits, and give the log free."""
        if self._ended is None:
            self._ended = self._loop.create_future()
            self._hand_over()
            self._committer.stop()
        await asyncio.shield(self._ended)

    def _hand_over(self) -> None:
        if self._turn:
            self._committer.submit(self._turn)
            self._turn = []

    def _report(self, committed: Committed | None) -> None:
        """On the committer's thread: take a group's fate to the loop."""
        if committed is None:
            self._lock.release()
        with suppress(RuntimeError):  # The loop is closed: nobody waits any more.
            if committed is None:
                self._loop.call_soon_threadsafe(self._end)
            else:
                self._loop.call_soon_threadsafe(self._answer, committed)

    def _answer(self, committed: Committed) -> None:
        self._refusal = committed.error
        if committed.error is not None:
            self._refuse_until = monotonic() + _PAUSE_AFTER_FAILURE
            if self._probing is None:
                self._probing = self._loop.call_later(_PROBE_SECONDS, self._probe)
        position = committed.start
        for append in committed.appends:
            position += append.size
            self._waiting -= append.cost
            if append.future.done():  # The caller was cancelled.
                continue
            if committed.error is None:
                append.future.set_result(position)
            else:
                append.future.set_exception(LogFull(committed.error))

    def _probe(self) -> None:
        """Ask whether the disk takes something again: where nobody sends while we are not ready, nobody else would."""
        self._probing = None
        if self._refusal is not None and self._ended is None:
            future: asyncio.Future[int] = self._loop.create_future()
            future.add_done_callback(lambda done: done.exception())
            self._committer.submit([Append(future, 0, 0, ())])

    def _end(self) -> None:
        left = self._committer.join() + self._turn
        if self._ended is None:  # The thread died of a fault of ours, which it has printed.
            self._ended = self._loop.create_future()
        self._ended.set_result(None)
        if left:
            self._turn = []
            self._answer(Committed(left, self.durable, "the log's writer has ended"))


class SegmentReader:
    """Reads a segment log that this or another process writes (log/contract.py, `LogReader`)."""

    def __init__(self, directory: Path) -> None:
        """Read the log in `directory`, which need not be there yet. Opens nothing until it is asked for something."""
        self._directory = directory
        self._mark: DurableMark | None = None
        self._bases: list[int] = []
        self._segments = OpenSegments(directory)

    def durable(self) -> int:
        """Published end of the log.

        The owner puts it right when it opens the log; until then, after a power cut, it may be older than the log.
        """
        if self._mark is None:
            self._mark = DurableMark.watch(self._directory)
        return self._mark.get() if self._mark is not None else 0

    def end_now(self) -> int:
        """End of the log (`LogReader.end_now`): it is published before anything is promised."""
        return self.durable()

    def first(self) -> int:
        """Position at which the oldest segment begins; 0 where there is none."""
        bases = segment_bases(self._directory)
        return bases[0] if bases else 0

    def read(self, position: int, max_bytes: int = 8 << 20) -> list[Entry]:
        """Return the records from `position`, of one segment at a time (`LogReader.read`)."""
        durable = self.durable()
        while position < durable:
            base, chunk = self._pread(position, max(min(max_bytes, durable - position), HEADER_SIZE))
            wanted = record_size(chunk)
            if position + wanted > durable:
                raise LogDamaged(position, "the record reaches behind the end of the log")
            if wanted > len(chunk):
                base, chunk = self._pread(position, wanted)
            if found := entries(chunk, position):
                return found
            self._bases = segment_bases(self._directory)
            following = next((later for later in self._bases if later > base), None)
            if following is None:
                break  # Published, but the disk has less: the owner has not come back yet to put that right.
            if chunk:
                raise LogDamaged(position, "the segment ends within the record")
            position = following
        return []

    def slice(self, place: int, size: int) -> bytes:
        """Return the bytes at `place`; any thread may ask (`LogReader.slice`)."""
        if size == 0:
            return b""
        found = self._pread(place, size)[1] if place + size <= self.durable() else b""
        if len(found) < size:
            raise LogDamaged(place, f"the log has no {size} bytes here")
        return found

    def close(self) -> None:
        """Give back files and memory."""
        self._segments.close()
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    def _pread(self, position: int, size: int) -> tuple[int, bytes]:
        """Read at a position, up to the end of its segment; return where that begins, and the bytes."""
        base = self._base_of(position)
        chunk, gone = b"", None
        try:
            chunk = self._segments.read(base, position - base, size)
        except LogGone as error:  # Retention has dropped it; if it ended here, what follows may be there.
            gone = error
        if not chunk:  # At the end of the segment that is the last one, as far as we know.
            self._bases = segment_bases(self._directory)
            if (newer := self._base_of(position)) != base:
                return newer, self._segments.read(newer, position - newer, size)
            if gone is not None:
                raise gone
        return base, chunk

    def _base_of(self, position: int) -> int:
        """Return where the segment begins that holds this position, going by the segments that we know of."""
        if not self._bases:
            self._bases = segment_bases(self._directory)
        index = bisect_right(self._bases, position) - 1
        if index < 0:
            raise LogGone(f"the log no longer has position {position}")
        return self._bases[index]
