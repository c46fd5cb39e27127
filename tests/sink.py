"""A stranger's server that takes Richpanel's wire and misbehaves: what arrives is noted before anything is answered."""

import base64
import json
import random
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FINE: Mapping[str, float] = {"fine": 1.0}
AWFUL: Mapping[str, float] = {
    "fine": 50,
    "unavailable": 20,
    "too many": 8,
    "reset": 8,
    "cut": 5,
    "slow": 6,
    "silent": 1,
    "endless": 1,
}
"""How often it does what, by weight."""


@dataclass(frozen=True)
class Arrival:
    """An event that arrived, the how-manieth request it was in, and when (a monotonic clock)."""

    request: int
    at: float
    event: Mapping[str, Any]


@dataclass
class Sink:
    """Runs on a thread of its own from `start` to `stop`. `refused` are the ids of events that it answers 400."""

    seed: int
    moods: Mapping[str, float] = field(default_factory=lambda: FINE)
    refused: frozenset[str] = frozenset()
    arrivals: list[Arrival] = field(default_factory=list)
    body: bytes = b"{}"
    """What it says in its answers."""
    answers: dict[int, int] = field(default_factory=dict)
    """The status that each request was answered with, in full; those that were not are left out."""

    def __post_init__(self) -> None:
        self._mutex = threading.Lock()
        self._chance = random.Random(self.seed)
        self._burst = 0
        self.requests = 0
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.take(self, json.loads(body))

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """The other side was killed, most often."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def start(self) -> str:
        """Begin; give the base URL."""
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def stop(self) -> None:
        """End; also where it was never begun."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def take(self, handler: BaseHTTPRequestHandler, body: Mapping[str, Any]) -> None:
        """Note what arrived, and answer as the mood is."""
        text = body.get("h") or body["hs"]
        said = json.loads(base64.b64decode(text))
        events = said.get("events", [said])
        with self._mutex:
            self.requests += 1
            number = self.requests
            self.arrivals += [Arrival(number, time.monotonic(), event) for event in events]
            mood = self._mood()
        if mood in ("fine", "slow") and any(event["eventId"] in self.refused for event in events):
            mood = "refuse"
        getattr(self, "_" + mood.replace(" ", "_"))(handler, number)

    def _mood(self) -> str:
        if self._burst and "unavailable" in self.moods:
            self._burst -= 1
            return "unavailable"
        mood = self._chance.choices(list(self.moods), list(self.moods.values()))[0]
        if mood == "unavailable" and self._chance.random() < 0.2:
            self._burst = self._chance.randrange(15)
        return mood

    def _answer(self, handler: BaseHTTPRequestHandler, number: int, status: int, **headers: str) -> None:
        with self._mutex:
            self.answers[number] = status
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(self.body)))
        handler.end_headers()
        handler.wfile.write(self.body)

    def _fine(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        self._answer(handler, number, 200)

    def _refuse(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        self._answer(handler, number, 400)

    def _unauthorized(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        self._answer(handler, number, 401)

    def _unavailable(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        self._answer(handler, number, 503)

    def _too_many(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        self._answer(handler, number, 429, Retry_After="1")

    def _reset(self, handler: BaseHTTPRequestHandler, _number: int) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.close_connection = True
        handler.connection.close()

    def _cut(self, handler: BaseHTTPRequestHandler, _number: int) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        handler.close_connection = True

    def _slow(self, handler: BaseHTTPRequestHandler, number: int) -> None:
        time.sleep(0.3)
        self._answer(handler, number, 200)

    def _silent(self, handler: BaseHTTPRequestHandler, _number: int) -> None:
        time.sleep(7)
        handler.close_connection = True

    def _endless(self, handler: BaseHTTPRequestHandler, _number: int) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
        for _ in range(14):
            time.sleep(0.5)
            handler.wfile.write(b" ")
        handler.close_connection = True

    # ------------------------------------------------------------------------------------- what there is to say of it

    def answered(self, *statuses: int) -> Counter[str]:
        """How often each event was answered with one of these."""
        with self._mutex:
            return Counter(
                each.event["eventId"] for each in self.arrivals if self.answers.get(each.request) in statuses
            )

    def by_event(self) -> dict[str, list[Arrival]]:
        """The arrivals of each event, by its id."""
        found: defaultdict[str, list[Arrival]] = defaultdict(list)
        with self._mutex:
            for each in self.arrivals:
                found[each.event["eventId"]].append(each)
        return found
