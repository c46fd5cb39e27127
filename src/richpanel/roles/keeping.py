"""What the log's owner does to it in the background: archive what is old, and drop what the operator lets go."""

import asyncio
from contextlib import suppress
from time import time
from typing import Final

from richpanel import telemetry
from richpanel.config import Settings
from richpanel.log.contract import LogDamaged, LogWriter
from richpanel.store.glance import Glance, Unreadable

_ROUND_SECONDS: Final = 30.0
_DAY: Final = 86_400
_log = telemetry.get_logger(__name__)


class Keeping:
    """Looks after the log from time to time, one segment after the other; only what is applied is touched."""

    def __init__(self, settings: Settings, writer: LogWriter, glance: Glance) -> None:
        """Begin; on the event loop of the writer."""
        self._archive_after = settings.log_archive_after
        self._keep_days = settings.log_retention
        self._pause = min(_ROUND_SECONDS, max(1.0, self._archive_after))
        self._writer = writer
        self._glance = glance
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End it; a segment that is being archived stays raw."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            try:
                await self._round()
            except LogDamaged as error:
                _log.error("log_not_archived", position=error.position, reason=error.reason)
                continue  # With the next one.
            except (OSError, Unreadable) as error:
                _log.warning("log_keeping_failed", error=str(error), retry_in_seconds=self._pause)
            await asyncio.sleep(self._pause)

    async def _round(self) -> None:
        applied, _ = await asyncio.to_thread(self._glance.progress)
        while (base := await self._writer.archive(applied, time() - self._archive_after)) is not None:
            _log.info("log_archived", position=base)
        if self._keep_days is not None:
            dropped = await self._writer.retain(applied, time() - self._keep_days * _DAY)
            if dropped:
                _log.warning("log_dropped", segments=len(dropped), last=dropped[-1], kept_days=self._keep_days)
