"""What the Engage source puts into the log, seen from another process by anybody who reads it: how much, and when."""

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self

from bench.serving import Installation
from richpanel.core.announcing import Announced, announced
from richpanel.core.message import decode_message
from richpanel.core.record import decode, decode_meta
from richpanel.core.timestamps import parse
from richpanel.log.contract import LogReader

_DOORS: Final = ("engage", "import")
"""The ways by which what is told comes; a benchmark imports nothing itself."""
_READ_BYTES: Final = 8 << 20
_LOOK_SECONDS: Final = 0.005


class Told:
    """Follows the log from its end on, as a context manager.

    `count` is of all messages. Of `audience`, by its id, each is noted: `seen` has when it stood in the log, seconds
    of the epoch, and its own time, by uid and value.
    """

    def __init__(self, server: Installation, audience: str | None = None) -> None:
        self.count = 0
        self.seen: dict[tuple[str, bool], tuple[float, float]] = {}
        self._audience = audience
        self._log: LogReader = server.log()
        self._position = self._log.durable()
        self._ended = threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self._following: Future[None]

    def __enter__(self) -> Self:
        self._following = self._threads.submit(self._follow)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._threads.shutdown()
        self._log.close()
        self._following.result()

    @property
    def is_over(self) -> bool:
        """Whether nothing follows any more; where something failed, leaving raises it."""
        return self._following.done()

    def _follow(self) -> None:
        while not self._ended.is_set():
            entries = self._log.read(self._position, _READ_BYTES)
            at = time.time()
            for entry in entries:
                self._position = entry.end
                self._look(entry.payload, at)
            if not entries:
                time.sleep(_LOOK_SECONDS)

    def _look(self, payload: bytes, at: float) -> None:
        meta, _ = decode_meta(payload)
        if meta.door not in _DOORS:
            return
        self.count += len(meta.sizes)
        for item in decode(payload).items if self._audience is not None else ():
            said: Announced = announced(item.body)
            if said.id == self._audience:
                own = parse(decode_message(item.body).timestamp) or 0
                self.seen.setdefault((said.uid, said.value), (at, own / 1000))
