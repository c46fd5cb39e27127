"""Replaying, as the processing role drives it: chunk by chunk, no faster than a job says, on a thread of its own.

A chunk is named in the log where something is to be decided about again; once that is applied, what is for a
destination outside is put among its deliveries. The job's row says beforehand what the chunk is, and afterwards that it
is done (`store.replays`). On a cluster one of the nodes that process leads.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from richpanel.core import record
from richpanel.core.ids import hash64
from richpanel.core.record import Meta
from richpanel.core.replaying import CHUNK, DOOR, again, encode_again
from richpanel.log.contract import LogBusy, LogClosed, LogDamaged, LogFull, LogReader, LogUnsure, LogWriter
from richpanel.roles.clock import now_ms
from richpanel.store import ledger, replay_deliveries, replay_matching, replays
from richpanel.store.account import read_account
from richpanel.store.bodies import bodies_of
from richpanel.store.database import Changes, reading
from richpanel.store.destinations import list_destinations
from richpanel.store.leadership import Leadership
from richpanel.store.message_rows import StoredMessage, known_id
from richpanel.store.replay_matching import START, Target, target_of
from richpanel.store.replays import Chunk, Place, ReplayRow
from richpanel.store.sources import list_sources
from richpanel.store.status import processed
from richpanel.telemetry import get_logger

T = TypeVar("T")
LOOK_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 5.0
_APPLIED_SECONDS: Final = 0.05
_CHUNKS_A_SECOND: Final = 4
_NICE: Final = 19
_AWAY: Final = (LogBusy, LogClosed, LogDamaged, LogFull, LogUnsure, SQLAlchemyError, OSError)
"""What is tried again, for it passes."""
_GONE: Final = "the destination is not there any more, or it is off: nothing can be sent to it"
_ERASING: Final = "somebody is being erased: it goes on once that is done"
_log = get_logger(__name__)


class _StoppingError(Exception):
    """This process is to end."""


class Means(NamedTuple):
    """What a runner works with; it closes all but the account. `writer` opens the log, to append to; `log` reads it."""

    state: Engine
    account: Engine
    delivery: Engine
    log: LogReader
    writer: Callable[[], LogWriter]
    leadership: Leadership


class Walk:
    """What was found of a job and is not done yet, and where to look on; None where nothing follows.

    `reached` is how far the job is once all that was taken from here is done.
    """

    def __init__(self, at: Place) -> None:
        self.reached = at
        self.messages: list[StoredMessage] = []
        self.low = at.low
        self.next: Place | None = at
        self.last: StoredMessage | None = None


class Replaying:
    """Does the jobs that run, where this process leads, until it is closed."""

    def __init__(self, means: Means) -> None:
        """Begin."""
        self._means = means
        self._writer: LogWriter | None = None
        self._walks: dict[str, Walk] = {}
        self._next: dict[str, float] = {}
        self._changes = Changes(means.account)
        self._has_jobs = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replaying", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End; a job goes on at the next start, or on the next node that leads."""
        self._stop.set()
        self._thread.join()
        self._means.log.close()
        self._means.leadership.close()
        self._means.state.dispose()
        self._means.delivery.dispose()

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        while not self._stop.is_set():
            await self._pause(await self._look())
        await self._hang_up()

    async def _pause(self, seconds: float) -> None:
        await asyncio.to_thread(self._stop.wait, seconds)

    async def _look(self) -> float:
        """Do a chunk of each job that may go on; tell in how many seconds to look again."""
        try:
            jobs = self._jobs()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is tried again
            _log.warning("replays_wait", reason=str(error), retry_in_seconds=RETRY_SECONDS)
            return RETRY_SECONDS
        known = {job.id for job in jobs}
        for id_ in self._walks.keys() - known:
            del self._walks[id_]
        for id_ in self._next.keys() - known:
            del self._next[id_]
        if not jobs:
            await self._hang_up()
            return LOOK_SECONDS
        for job in jobs:
            if self._next.get(job.id, 0.0) <= monotonic() and not self._stop.is_set():
                await self._do(job)
        return max(min(min(self._next.get(job.id, 0.0) for job in jobs) - monotonic(), LOOK_SECONDS), 0.0)

    def _jobs(self) -> list[ReplayRow]:
        if not self._changes.any() and not self._has_jobs:
            return []
        with reading(self._means.account) as account:
            jobs = replays.running(account)
        self._has_jobs = bool(jobs)
        return jobs if jobs and self._means.leadership.is_leader() else []

    async def _do(self, job: ReplayRow) -> None:
        started = monotonic()
        try:
            done = await self._step(job)
            self._next[job.id] = started + done / job.rate
        except _StoppingError:
            return
        except Exception as error:  # noqa: BLE001  # a job that cannot go on must not hold up the others
            if not isinstance(error, _AWAY):
                _log.exception("replay_failed", replay=job.id)
            _log.warning("replay_waits", replay=job.id, reason=str(error), retry_in_seconds=RETRY_SECONDS)
            self._walks.pop(job.id, None)  # What was taken of it comes again: how far it is stands in its row.
            self._next[job.id] = monotonic() + RETRY_SECONDS
            reason = str(error)
            with suppress(SQLAlchemyError):
                self._write(lambda account: replays.explain(account, job.id, reason))

    async def _step(self, job: ReplayRow) -> int:
        """Do the next chunk of a job, or end it; tell how many messages that were."""
        target, is_erasing = self._asked(job)
        if target is None:
            self._write(lambda account: replays.give_up(account, job.id, _GONE, now=now_ms()))
            return 0
        if is_erasing:
            self._write(lambda account: replays.explain(account, job.id, _ERASING))
            return job.rate  # A second's worth.
        chunk = job.pending
        if chunk is None:
            chunk = self._chunk(job, target)
            if chunk is None:
                self._write(lambda account: replays.finish(account, job.id, now=now_ms()))
                _log.info("replayed", replay=job.id, messages=job.replayed)
                return 0
            if not self._write(lambda account: replays.intend(account, job.id, chunk)):
                return 0
        if chunk.hashes and not await self._decide(job, target, chunk):
            return 0
        with self._means.delivery.begin() as delivery, reading(self._means.state) as state:
            if target.is_outside:
                replay_deliveries.add(delivery, state, target.number, job.id, chunk.places, now=now_ms())
            else:
                replay_deliveries.count(delivery, target.number, len(chunk.places), now_ms())
        self._write(lambda account: replays.advance(account, job.id, chunk))
        return len(chunk.places)

    def _asked(self, job: ReplayRow) -> tuple[Target | None, bool]:
        """Look where a job's messages go, and whether it has to wait."""
        with reading(self._means.account) as account:
            rows = list_destinations(account)
            is_erasing = ledger.is_erasing(account)
        found = next((row for row in rows if row.number == job.scope.destination and row.enabled), None)
        return None if found is None else target_of(found), is_erasing

    def _chunk(self, job: ReplayRow, target: Target) -> Chunk | None:
        """Give what is next of a job; None where nothing is."""
        if job.scope.delivery is not None:
            with reading(self._means.delivery) as delivery:
                place = replay_deliveries.given_up(delivery, target.number, job.scope.delivery)
            return None if job.chunk or place is None else Chunk([place], [], Place(0, place))
        walk = self._walks.get(job.id)
        if walk is None or walk.reached != job.reached:  # Its last chunk was taken and not done: the job was cancelled.
            walk = self._walks[job.id] = Walk(job.reached)
        with reading(self._means.state) as state:
            while not walk.messages and walk.next is not None:
                if self._stop.is_set():
                    raise _StoppingError
                if walk.last is not None and not replay_matching.has_number(state, walk.last.n, walk.last.place):
                    walk.last, walk.next = None, START  # Made anew meanwhile; what is done is not done twice.
                found = replay_matching.walk(state, self._means.delivery, target, job.scope, walk.next)
                walk.messages, walk.low, walk.next = found.messages, found.low, found.next
            if not walk.messages:
                return None
            size = max(1, min(CHUNK, job.rate // _CHUNKS_A_SECOND))
            part, walk.messages = walk.messages[:size], walk.messages[size:]
            walk.last = part[-1]
            is_decided = target.is_outside and job.scope.outcome == "failed"
            hashes = [] if is_decided else self._hashes(state, part)
        walk.reached = Place(walk.low, part[-1].place, 0 if is_decided else part[-1].n)
        return Chunk([row.place for row in part], hashes, walk.reached)

    def _hashes(self, state: Connection, rows: Sequence[StoredMessage]) -> list[int]:
        """Give the hashes by which the log names messages; those whose bodies are not kept any more have none."""
        with reading(self._means.account) as account:
            secret = read_account(account).hash_key
            sources = {row.number: row.id for row in list_sources(account, deleted=True)}
        bodies = bodies_of(state, self._means.log.slice)
        bodies.ahead(rows)
        known = [(row.source, known_id(bodies, row)) for row in rows]
        return [hash64(secret, sources[source], id_) for source, id_ in known if id_ is not None]

    async def _decide(self, job: ReplayRow, target: Target, chunk: Chunk) -> bool:
        """Have what a chunk names decided about again, and wait until it is; False where this is to end."""
        with reading(self._means.account) as account:
            source = next(row for row in list_sources(account, deleted=True) if row.type == "channel")
        if self._writer is None:
            self._writer = self._means.writer()
        named = again(job.id, target.id, job.chunk, list(chunk.hashes))
        meta = Meta(at=now_ms(), source=source.id, sizes=[], door=DOOR)
        end = await self._writer.append(record.encode(meta, [encode_again(named)]))
        while not self._stop.is_set():
            with reading(self._means.state) as state:
                if processed(state).position >= end:
                    return True
            await self._pause(_APPLIED_SECONDS)
        return False

    def _write(self, change: Callable[[Connection], T]) -> T:
        with self._means.account.begin() as account:
            return change(account)

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
