"""What is done to the segments of a log in the background: they are archived, and dropped where the operator lets them
go."""

import asyncio
from abc import ABC, abstractmethod
from time import time
from typing import Final

from richpanel import telemetry
from richpanel.config import Settings
from richpanel.log.contract import LogDamaged, LogWriter
from richpanel.log.ending import end_tasks
from richpanel.store.glance import Glance, Unreadable

_ROUND_SECONDS: Final = 30.0
_DAY: Final = 86_400
_log = telemetry.get_logger(__name__)


class Rounds(ABC):
    """Something that is done from time to time, on the event loop on which it was begun."""

    def __init__(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it, also in the middle of a round: each can be made again."""
        await end_tasks(self._task)

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


class Keeping(Rounds):
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
