"""What may stand between the log and its stream: it loses answers, breaks, or says what no server has said."""

import asyncio
from contextlib import suppress

from tests.sdk.network import LOOPBACK


class Deaf:
    """Stands between clients and their server; when it is deaf, the server's answers get lost."""

    def __init__(self, port: int) -> None:
        self.deaf = False
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []
        self._clients: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Deaf":
        self._server = await asyncio.start_server(self._greet, LOOPBACK, 0)
        self.url = f"nats://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        """Hang up on both."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    def say(self, words: bytes) -> int:
        """Say something to all clients in the server's name; return how many there are."""
        self._clients = [client for client in self._clients if not client.is_closing()]
        for client in self._clients:
            client.write(words)
        return len(self._clients)

    async def _greet(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(LOOPBACK, self._port)
        self._writers += [to_client, to_server]
        self._clients.append(to_client)
        self._tasks.append(asyncio.create_task(self._pass_on(client, to_server, from_server=False)))
        self._tasks.append(asyncio.create_task(self._pass_on(server, to_client, from_server=True)))

    async def _pass_on(self, one: asyncio.StreamReader, other: asyncio.StreamWriter, *, from_server: bool) -> None:
        with suppress(OSError):
            while piece := await one.read(65_536):
                if not (self.deaf and from_server):
                    other.write(piece)
        other.close()
