"""A listener for mail that runs, on a Unix socket or a port, with the segment log behind it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from richpanel.core import record
from richpanel.core.record import Record
from richpanel.log.contract import LogWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.source.keys import KeySnapshot, Source
from richpanel.source.lmtp import Bounds, Listener, bind, listen
from richpanel.source.mailroom import Mailroom
from tests.lmtp import Client
from tests.source.running import NOW

CHANNELS = Source("src_channels", "Channels", "channel", True, ())
FORM = "mailer@forms.example"
T = TypeVar("T")


@dataclass
class Running:
    """A listener, the keys that it knows, and the log behind it."""

    place: Path | int
    listener: Listener
    keys: KeySnapshot
    writer: SegmentWriter
    reader: SegmentReader

    async def with_client(self, use: Callable[[Client], T]) -> T:
        """Use a connection of a mail server, on a thread, and say good-bye."""

        def talk() -> T:
            client = Client(self.place)
            try:
                return use(client)
            finally:
                client.close()

        return await asyncio.to_thread(talk)

    async def deliver(self, raw: bytes, **envelope: Any) -> list[tuple[int, str]]:
        """Hand one mail over on a connection of its own."""
        return await self.with_client(lambda client: client.deliver(raw, **envelope))

    def records(self) -> list[Record]:
        """What the log holds."""
        found: list[Record] = []
        position = 0
        while entries := self.reader.read(position):
            found += (record.decode(entry.payload) for entry in entries)
            position = entries[-1].end
        return found

    def kept(self) -> list[Any]:
        """The messages in the log, decoded."""
        return [json.loads(item.body) for each in self.records() for item in each.items]

    def discards(self) -> list[tuple[str, Any]]:
        """The discards in the log: code and payload."""
        return [(one.code.value, json.loads(item.body)) for each in self.records() for one, item in each.discarded]


@asynccontextmanager
async def running(
    folder: Path,
    *,
    place: Path | tuple[str, int] | None = None,
    bounds: Bounds | None = None,
    wrap: Callable[[SegmentWriter], LogWriter] = lambda writer: writer,
) -> AsyncIterator[Running]:
    """Run a listener over a log in `folder`; `wrap` may stand between the two."""
    writer = SegmentWriter.open(folder / "log", segment_bytes=8 << 20)
    reader = SegmentReader(folder / "log")
    keys = KeySnapshot([CHANNELS])
    listening = bind(place or folder / "lmtp.sock")
    at = Path(listening.getsockname()) if listening.family == socket.AF_UNIX else listening.getsockname()[1]
    listener = await listen(listening, Mailroom(wrap(writer), keys, lambda: NOW, [FORM]), bounds)
    try:
        yield Running(at, listener, keys, writer, reader)
    finally:
        await listener.close()
        await writer.close()
        reader.close()


async def eventually(true: Callable[[], bool] | Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)
