"""The appends that wait for a stream's word: how many bytes they are, what to send, and who waited too long."""

import asyncio
from collections import deque
from dataclasses import dataclass
from time import monotonic
from typing import Final

from richpanel.log.contract import LogFull, LogUnsure

WAITING_OVERHEAD: Final = 1024
"""What a waiting append counts for beside its payload: its future, its task and the request behind it."""
RESEND_SECONDS: Final = 3.0
"""After so long without an answer it is sent again, though the connection is there: its leader may have gone."""


@dataclass(slots=True)
class Append:
    """One that waits."""

    payload: bytes
    future: "asyncio.Future[int]"
    until: float
    sent_at: float = 0.0
    """When it was sent last; 0 where it never was."""
    taken: int = 0
    """How many times it was sent and may have been taken."""


class Unanswered:
    """Appends by number, in the order of the calls. Nothing here waits but `settled`."""

    def __init__(self, max_bytes: int, seconds: float) -> None:
        """So many bytes may wait, each append counted with 1 KB more than its payload, and each for so long."""
        self.settled: Final = asyncio.Event()
        """Set where nothing waits."""
        self.settled.set()
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._bytes = 0
        self._number = 0
        self._waiting: dict[int, Append] = {}
        self._unsent: deque[int] = deque()

    @property
    def waiting(self) -> int:
        """Bytes that wait, each append counted with what it costs beside its payload."""
        return self._bytes

    @property
    def silence(self) -> float:
        """Seconds for which the oldest has waited; 0 where none waits."""
        oldest = next(iter(self._waiting.values()), None)
        return 0.0 if oldest is None else monotonic() - oldest.until + self._seconds

    def add(self, payload: bytes) -> "asyncio.Future[int]":
        """Take one up; return the future of its end position. Raises LogFull, ValueError."""
        cost = len(payload) + WAITING_OVERHEAD
        if self._bytes + cost > self._max_bytes:
            if cost > self._max_bytes:
                raise ValueError(f"a record of {cost} bytes is larger than all that may wait")
            raise LogFull(f"{self._bytes} bytes wait for the stream")
        self._number += 1
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = Append(payload, future, monotonic() + self._seconds)
        self._unsent.append(self._number)
        self._bytes += cost
        self.settled.clear()
        return future

    def get(self, number: int) -> Append | None:
        """Return the one of this number; None where it waits no more."""
        return self._waiting.get(number)

    def unsent(self) -> tuple[int, Append] | None:
        """Return the next one that is to be sent, with its number, and take it for sent; None where there is none."""
        while self._unsent:
            number = self._unsent.popleft()
            if (waiting := self._waiting.get(number)) is not None:
                waiting.sent_at = monotonic()
                waiting.taken += 1
                return number, waiting
        return None

    def nobody_there(self, number: int) -> None:
        """What was sent reached no stream: it was not taken, and is sent again at the next look."""
        if (waiting := self._waiting.get(number)) is not None:
            waiting.taken -= 1
            waiting.sent_at = monotonic() - RESEND_SECONDS

    def settle(self, number: int, outcome: int | Exception) -> None:
        """Tell the caller what has become of it."""
        waiting = self._waiting.pop(number)
        self._bytes -= len(waiting.payload) + WAITING_OVERHEAD
        if not self._waiting:
            self.settled.set()
        if waiting.future.done():  # The caller was cancelled.
            return
        if isinstance(outcome, int):
            waiting.future.set_result(outcome)
        else:
            waiting.future.set_exception(outcome)

    def send_all_again(self) -> None:
        """Have all sent that wait, in their order: the connection is another one."""
        self._unsent = deque(self._waiting)

    def look(self, problem: str) -> bool:
        """Let go of those who have waited too long, and have sent again what is not answered; tell if any is to be."""
        now, silent = monotonic(), []
        for number, waiting in list(self._waiting.items()):
            if now < waiting.until:
                if waiting.sent_at and now - waiting.sent_at >= RESEND_SECONDS:
                    silent.append(number)
            elif waiting.taken:
                self.settle(number, LogUnsure(f"the stream has not answered for {self._seconds:.0f} s"))
            else:
                self.settle(number, LogFull(f"the log's stream cannot be reached: {problem}"))
        if silent:
            known = set(self._unsent)
            self._unsent.extendleft(number for number in reversed(silent) if number not in known)
        return bool(self._unsent)
