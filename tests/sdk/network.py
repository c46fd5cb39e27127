"""What stands between a client and the server in real life: another origin, a lost answer, another address."""

import http.client
import http.server
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"


class Threaded(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each connection; none of them outlives the test."""

    allow_reuse_address = True
    daemon_threads = True
    # Chromium keeps connections open that it may need again: their threads are not waited for.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is not this server's trouble."""


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Runs a server in a thread for the length of the block; gives its port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


# --------------------------------------------------------------------------------------------------- another origin


class Files(http.server.SimpleHTTPRequestHandler):
    """The files of a folder."""

    def log_message(self, *_: Any) -> None:
        """Nothing: the browser says what it asked for."""


@contextmanager
def shop_origin(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A web server of somebody else's, serving `folder`; gives its origin."""
    server = Threaded((LOOPBACK, 0), partial(Files, directory=str(folder)))
    if tls is not None:
        # The handshake is done by the connection's own thread, at its first read.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server) as port:
        yield f"{'http' if tls is None else 'https'}://localhost:{port}"


# ----------------------------------------------------------------------------------------------------- a lost answer


@dataclass
class LossyLine:
    """A line that carries each request to the server, but loses the answers to the first `lose` posts.

    The client sees a 503 although its calls were kept, which is what a proxy's timeout looks like.
    """

    server: str
    lose: int = 1
    url: str = ""
    # Of each post in turn: the message ids in it, the header X-Retry-Count, and the status that the client saw.
    posts: list[tuple[list[str], str | None, int]] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator["LossyLine"]:
        """Listens for the length of the block."""
        with serving(Threaded((LOOPBACK, 0), partial(LossyHandler, self))) as port:
            self.url = f"http://{LOOPBACK}:{port}"
            yield self


class LossyHandler(http.server.BaseHTTPRequestHandler):
    """Hands each request on and each answer back, unless it is to be lost."""

    protocol_version = "HTTP/1.1"

    def __init__(self, line: LossyLine, *args: Any) -> None:
        self.line = line
        super().__init__(*args)

    def log_message(self, *_: Any) -> None:
        """Nothing: the line keeps what matters."""

    def do_POST(self) -> None:
        """A post: its answer may be lost."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers, answer = self.carry(body)
        assert status == 200, answer
        call = json.loads(body)
        ids = [item["messageId"] for item in call.get("batch", [call])]
        if len(self.line.posts) < self.line.lose:
            status, answer = 503, b'{"success": false, "code": "timeout", "message": "the answer was lost"}'
        self.line.posts.append((ids, self.headers["X-Retry-Count"], status))
        self.reply(status, headers, answer)

    def do_GET(self) -> None:
        """The settings: handed on."""
        self.reply(*self.carry(None))

    def do_OPTIONS(self) -> None:
        """A preflight: handed on."""
        self.reply(*self.carry(None))

    def carry(self, body: bytes | None) -> tuple[int, list[tuple[str, str]], bytes]:
        """To the server and back."""
        connection = http.client.HTTPConnection(urlsplit(self.line.server).netloc, timeout=30)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """The answer to the client, with the server's headers."""
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# -------------------------------------------------------------------------------------------------- another address


class Relay(socketserver.BaseRequestHandler):
    """Carries bytes both ways between a client and `port`, which sees `address` as the client's."""

    def __init__(self, address: str, port: int, *args: Any) -> None:
        self.address, self.port = address, port
        super().__init__(*args)

    def handle(self) -> None:
        """Until either side closes."""
        with socket.create_connection((LOOPBACK, self.port), source_address=(self.address, 0)) as upstream:
            back = threading.Thread(target=pump, args=(upstream, self.request), daemon=True)
            back.start()
            pump(self.request, upstream)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Copies until the source ends, then says so to the target."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # either side went away


@contextmanager
def relay(address: str, port: int) -> Iterator[int]:
    """A port whose connections arrive at `port` of the loopback as coming from `address`."""
    with serving(Threaded((LOOPBACK, 0), partial(Relay, address, port))) as own:
        yield own
