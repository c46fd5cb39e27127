"""What is done to a stream in the background: it only holds what is on its way, so what is applied is dropped."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Final

from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.stream import Stream
from richpanel.roles.keeping import Rounds
from richpanel.store.glance import Glance

_ROUND_SECONDS: Final = 5.0
_FULL_ROUND_SECONDS: Final = 0.5
TAIL_SECONDS: Final = 60.0
"""So long what is applied stays in a stream that has room: whoever is just reading it there finds it."""
_FULL: Final = 0.5
"""From this share of its bound on a stream keeps nothing that is applied."""


class KeepingStream(Rounds):
    """Drops what is applied from a stream, where this process leads."""

    def __init__(
        self,
        stream: Stream,
        writer: JetStreamWriter,
        glance: Glance,
        is_leader: Callable[[], bool],
        *,
        pause: float = _ROUND_SECONDS,
        tail: float = TAIL_SECONDS,
    ) -> None:
        """Begin. `is_leader` is asked on a thread; `pause` (s) is between rounds, `tail` (s) as TAIL_SECONDS has it."""
        self._pause = pause
        self._tail = tail
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
        await self._writer.retain(applied, None if is_full else time() - self._tail)
        return _FULL_ROUND_SECONDS if is_full else self._pause
