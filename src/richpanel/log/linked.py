"""A thread that keeps a connection to the stream's servers, so that code without an event loop can use one."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from richpanel.log.ending import end_tasks
from richpanel.log.stream import Link, Stream

_REST_SECONDS: Final = 60.0
_Told = TypeVar("_Told")


class LinkedThread:
    """The thread; its coroutines run there, and `wait` waits for one anywhere else.

    Who inherits sets its own attributes first: the thread starts at once.
    """

    def __init__(self, stream: Stream, seconds: float, name: str) -> None:
        """Whatever `wait` is asked for ends in ConnectionError where there is no connection within `seconds`."""
        self.link: Link
        self._stream = stream
        self._seconds = seconds
        self._stopping: asyncio.Event
        self._connected: asyncio.Event
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(started),), name=name, daemon=True)
        self._thread.start()
        self._loop = started.result()

    def wait(self, asked: Coroutine[Any, Any, _Told]) -> _Told:
        """Have it done on the thread once there is a connection; return what came of it, or raise that."""
        return self.have_done(self._when_connected(asked))

    def have_done(self, asked: Coroutine[Any, Any, _Told]) -> _Told:
        """Have it done on the thread, whether there is a connection or not."""
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    def stop(self) -> None:
        """Hang up, and end the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _reconnected(self) -> None:
        """The connection has been made anew."""

    async def _set_up(self) -> None:
        """Do what a new client needs before anything is asked of it."""

    async def _attend(self) -> None:
        """Do what is due for as long as the client lives; it is asked again whenever this returns. Here: nothing is."""
        await asyncio.sleep(_REST_SECONDS)

    async def _when_connected(self, asked: Coroutine[Any, Any, _Told]) -> _Told:
        try:
            async with asyncio.timeout(self._seconds):
                await self._connected.wait()
        except TimeoutError:
            asked.close()
            raise ConnectionError(f"the log's stream cannot be reached: {self.link.problem}") from None
        return await asked

    async def _main(self, started: "Future[asyncio.AbstractEventLoop]") -> None:
        self.link = Link(self._stream, self._seconds, self._reconnected)
        self._stopping, self._connected = asyncio.Event(), asyncio.Event()
        following = asyncio.create_task(self._follow())
        started.set_result(asyncio.get_running_loop())
        await self._stopping.wait()
        await end_tasks(following)
        await self.link.close()

    async def _follow(self) -> None:
        while True:
            await self.link.open()
            await self._set_up()
            self._connected.set()
            while not self.link.client.is_closed:  # A server's word ends it for good; a lost one it makes anew itself.
                await self._attend()
            self._connected.clear()
