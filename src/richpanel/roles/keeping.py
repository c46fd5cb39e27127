"""What is done to the log in the background: segments are archived, and dropped where the operator lets them go; of a
stream, which only holds what is on its way, what is applied is dropped."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import Final

from richpanel import telemetry
from richpanel.config import Settings
from richpanel.log.contract import LogDamaged, LogWriter
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.stream import Stream
from richpanel.store.glance import Glance, Unreadable

_ROUND_SECONDS: Final = 30.0
_DAY: Final = 86_400
_STREAM_ROUND_SECONDS: Final = 5.0
_FULL_ROUND_SECONDS: Final = 0.5
TAIL_SECONDS: Final = 60.0
"""So long what is applied stays in a stream that has room: whoever is just reading it there finds it."""
_FULL: Final = 0.5
"""From this share of its bound on a stream keeps nothing that is applied."""
_log = telemetry.get_logger(__name__)


class _Rounds(ABC):
    """Something that is done from time to time, on the event loop on which it was begun."""

    def __init__(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it, also in the middle of a round: each can be made again."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            pause = self._pause
            try:
                pause = await self._round()
            except LogDamaged as error:
                _log.error("log_not_archived", position=error.position, reason=error.reason)
                continue  # With the next one.
            except (OSError, Unreadable) as error:
                _log.warning("log_keeping_failed", error=str(error), retry_in_seconds=pause)
            await asyncio.sleep(pause)

    _pause: float
    """Seconds to rest after a round that failed."""

    @abstractmethod
    async def _round(self) -> float:
        """Do it; return how long to rest. Raises OSError, Unreadable, LogDamaged."""


class Keeping(_Rounds):
    """Looks after the log from time to time, one segment after the other; only what is applied is touched."""

    def __init__(self, settings: Settings, writer: LogWriter, glance: Glance) -> None:
        """Begin. Told to stop, it leaves a segment that is being archived raw."""
        self._archive_after = settings.log_archive_after
        self._keep_days = settings.log_retention
        self._pause = min(_ROUND_SECONDS, max(1.0, self._archive_after))
        self._writer = writer
        self._glance = glance
        super().__init__()

    async def _round(self) -> float:
        applied, _ = await asyncio.to_thread(self._glance.progress)
        while (base := await self._writer.archive(applied, time() - self._archive_after)) is not None:
            _log.info("log_archived", position=base)
        if self._keep_days is not None:
            dropped = await self._writer.retain(applied, time() - self._keep_days * _DAY)
            if dropped:
                _log.warning("log_dropped", segments=len(dropped), last=dropped[-1], kept_days=self._keep_days)
        return self._pause


class KeepingStream(_Rounds):
    """Drops what is applied from a stream, where this process leads."""

    def __init__(self, stream: Stream, writer: JetStreamWriter, glance: Glance, is_leader: Callable[[], bool]) -> None:
        """Begin. `is_leader` is asked on a thread."""
        self._pause = _STREAM_ROUND_SECONDS
        self._stream = stream
        self._writer = writer
        self._glance = glance
        self._is_leader = is_leader
        super().__init__()

    async def _round(self) -> float:
        """Drop what may go; a full stream is looked at often, for calls are refused."""
        if not await asyncio.to_thread(self._is_leader):
            return self._pause
        applied, _ = await asyncio.to_thread(self._glance.progress)
        is_full = await self._writer.size() > _FULL * self._stream.max_bytes
        await self._writer.retain(applied, None if is_full else time() - TAIL_SECONDS)
        return _FULL_ROUND_SECONDS if is_full else self._pause
