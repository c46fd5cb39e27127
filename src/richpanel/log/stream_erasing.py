"""Erasing in the log's stream: what is applied has its bodies elsewhere, so the records that held them may go, whole.

A server overwrites a message that is erased with other bytes. What had been dropped before may stand in its file until
that is written anew: which a server does where more than half of it is dropped, so what is applied is dropped as well.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from richpanel.log.linked import LinkedThread
from richpanel.log.stream import Stream, StreamRefused, sequence_at

ERASE_SECONDS: Final = 10.0
_NOT_FOUND: Final = 10043
_NOT_ERASED: Final = 10057
_GONE: Final = ("no message found", "stream store EOF", "message not found")
"""How servers say of a message that it was dropped, or erased by somebody who was killed then: the second number is for
whatever goes wrong."""
_AT_ONCE: Final = 64


class StreamEraser(LinkedThread):
    """Erases records of a stream, from any thread."""

    def __init__(self, stream: Stream, *, seconds: float = ERASE_SECONDS) -> None:
        """A question that nobody answers within `seconds` ends in ConnectionError."""
        super().__init__(stream, seconds, "log-eraser")

    def erase(self, places: Iterable[int], applied: int) -> int:
        """Erase the records that hold these places, all of which are applied; drop what is, up to `applied`.

        Gives how many records were still there. The newest stays where nothing of it is to go, so that readers know how
        far the log goes. A second call does no harm. Raises ConnectionError, and OSError where the stream refuses.
        """
        return self.wait(self._erase({sequence_at(place + 1) - 1 for place in places}, applied))

    async def _erase(self, sequences: set[int], applied: int) -> int:
        try:
            count, left = 0, sorted(sequences)
            for start in range(0, len(left), _AT_ONCE):
                count += sum(await asyncio.gather(*(self._erase_one(each) for each in left[start : start + _AT_ONCE])))
            first, last = await self.link.state()
            limit = min(sequence_at(applied), last)
            if limit > first:
                await self.link.call("STREAM.PURGE", seq=limit)
        except StreamRefused as refused:
            raise OSError(f"the stream erases nothing: {refused}") from None
        return count

    async def _erase_one(self, sequence: int) -> bool:
        try:
            await self.link.call("STREAM.MSG.DELETE", seq=sequence, no_erase=False)
        except StreamRefused as refused:
            if refused.code == _NOT_FOUND or (refused.code == _NOT_ERASED and str(refused) in _GONE):
                return False
            raise
        return True
