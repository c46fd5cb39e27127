"""The HTTP client of the load generator: sockets and epoll, nothing between, so that it costs little beside the server.

Closed loop: each connection sends its next call when the last is answered. Open loop: each call has its time, whatever
the server does, and its latency counts from that time; a call that finds no free connection waits on its own account.
"""

import re
import select
import socket
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from time import perf_counter, process_time
from typing import Final

import msgspec

from bench.calls import Call

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STUCK_SECONDS: Final = 60.0


class Run(msgspec.Struct):
    """What came of a run: seconds from the first call to the last answer, answers by status, events that were accepted.

    `client_cpu` is what sending took, in seconds. `latencies`, in seconds, are in the order in which the calls were
    due; empty for a closed loop.
    """

    seconds: float
    answers: dict[int, int]
    events: int
    client_cpu: float
    latencies: list[float] = []

    @property
    def calls(self) -> int:
        """How many calls were answered."""
        return sum(self.answers.values())

    @property
    def refused(self) -> dict[int, int]:
        """Answers other than 200."""
        return {status: count for status, count in self.answers.items() if status != 200}


class Stuck(Exception):
    """The server has not answered for a minute."""


class Connection:
    """One keep-alive connection; one call at a time."""

    def __init__(self, port: int, poller: select.epoll) -> None:
        self._port = port
        self._poller = poller
        self._unsent = memoryview(b"")
        self._got = b""
        self.number = 0
        self.events = 0
        self.idle = True
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._socket.setblocking(False)
        self.fd = self._socket.fileno()
        self._waits = False
        self._poller.register(self.fd, select.EPOLLIN)

    def send(self, call: Call) -> None:
        """Begin to send a call."""
        self.idle = False
        self.events = call.events
        self._unsent = memoryview(call.wire)
        self.go_on()

    def go_on(self) -> None:
        """Send what the socket takes."""
        with suppress(BlockingIOError):
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        if self._waits != bool(self._unsent):
            self._waits = not self._waits
            self._poller.modify(self.fd, select.EPOLLIN | (select.EPOLLOUT if self._waits else 0))

    def receive(self) -> int:
        """Read on; give the answer's status once it is whole, else 0. Raises ConnectionError."""
        data = self._socket.recv(1 << 18)
        if not data:
            if not self.idle:
                raise ConnectionError("the server closed a connection that waits for an answer")
            self._socket.close()  # It gives none that nobody uses more than a few seconds: every client meets that.
            self._connect()
            return 0
        if self._got:
            data = self._got + data
        end = data.find(_HEAD_END)
        length = _LENGTH.search(data) if end > 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self._got = data
            return 0
        self._got = b""
        self.idle = True
        return int(data[9:12])

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Client:
    """A number of connections to a port of this machine, or to several in turn."""

    def __init__(self, port: int | Sequence[int], connections: int) -> None:
        ports = [port] if isinstance(port, int) else port
        self._poller = select.epoll()
        self._open = [Connection(ports[number % len(ports)], self._poller) for number in range(connections)]
        self._by_fd = {connection.fd: connection for connection in self._open}

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._open:
            connection.close()
        self._poller.close()

    def closed(self, calls: Iterator[Call], seconds: float) -> Run:
        """Send calls as fast as they are answered, until the time is over or there are no more."""
        answers: Counter[int] = Counter()
        events = 0
        cpu, start = process_time(), perf_counter()
        busy = sum(self._next(connection, calls) for connection in self._open)
        while busy:
            for connection, status in self._answered():
                answers[status] += 1
                events += connection.events if status == 200 else 0
                if perf_counter() - start >= seconds or not self._next(connection, calls):
                    busy -= 1
        return Run(perf_counter() - start, dict(answers), events, process_time() - cpu)

    def open(self, calls: Sequence[Call] | Iterator[Call], due: Sequence[float]) -> Run:
        """Send each call when it is due (seconds from the start, growing)."""
        answers: Counter[int] = Counter()
        latencies = array("d", bytes(8 * len(due)))
        free = list(self._open)
        coming = iter(calls)
        begun = ended = events = 0
        cpu, start = process_time(), perf_counter()
        while ended < len(due):
            now = perf_counter() - start
            while begun < len(due) and due[begun] <= now and free:
                connection, call = free.pop(), next(coming)
                connection.number = begun
                begun += 1
                connection.send(call)
            wait = max(0.0, due[begun] - now) if begun < len(due) and free else _STUCK_SECONDS
            for connection, status in self._answered(wait):
                latencies[connection.number] = perf_counter() - start - due[connection.number]
                answers[status] += 1
                events += connection.events if status == 200 else 0
                free.append(connection)
                ended += 1
        return Run(perf_counter() - start, dict(answers), events, process_time() - cpu, latencies.tolist())

    def _next(self, connection: Connection, calls: Iterator[Call]) -> bool:
        call = next(calls, None)
        if call is not None:
            connection.send(call)
        return call is not None

    def _answered(self, wait: float = _STUCK_SECONDS) -> Iterator[tuple[Connection, int]]:
        """Wait for news; give the connections whose answer is there. epoll counts in ms, which is too coarse."""
        if not select.select([self._poller], [], [], wait)[0]:
            if wait >= _STUCK_SECONDS:
                raise Stuck(f"no answer for {_STUCK_SECONDS:.0f} s")
            return
        for fd, news in self._poller.poll(0):
            connection = self._by_fd[fd]
            if news & select.EPOLLOUT:
                connection.go_on()
            if news & ~select.EPOLLOUT and (status := connection.receive()):
                yield connection, status
            if connection.fd != fd:
                self._by_fd[connection.fd] = connection
