"""A bot with 200,000 events: what comes late of it is folded within a second, and nobody waits longer.

Timed at the real server, so `make soak` alone runs it; `tests/process/test_large.py` counts what is read instead.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.roles import resident_mib, roles
from tests.server import Server, Source, request, segment

EVENTS, SESSION, BATCH = 200_000, 10, 500
PAUSE = timedelta(minutes=31)
BEGINNING = datetime.now(UTC) - PAUSE * (EVENTS // SESSION + 100)
SECONDS = 1.0
WAIT = 60.0

Message = dict[str, Any]
_numbers = count(1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data") as running:
        yield running


def at(number: int, minutes: float = 0) -> str:
    """So many minutes after the bot's event of this number; ten come in a minute, then none for half an hour."""
    session, within = divmod(number, SESSION)
    return (BEGINNING + session * PAUSE + timedelta(seconds=6 * within, minutes=minutes)).isoformat()


def event(number: int) -> Message:
    """One of the bot's: every other session has an id of its own, every hundredth event is an order."""
    properties: Message = {"richpanel_session_id": f"s{number // SESSION}"} if number // SESSION % 2 else {}
    page = {"url": f"https://shop.example/p/{number % 977}"}
    message: Message = {
        "type": "page",
        "messageId": f"bot-{number}",
        "anonymousId": "bot",
        "timestamp": at(number),
        "properties": properties,
        "context": {"page": page, "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/130.0"},
    }
    if number % 100 == 99:
        message.update(type="track", event="Order Completed")
        properties.update(order_id=f"o{number}", total=10)
    return message


def call(kind: str, number: int, minutes: float, **fields: Any) -> Message:
    """A call that comes late, of a time by the bot's events."""
    return {"type": kind, "messageId": f"late-{next(_numbers)}", "timestamp": at(number, minutes), **fields}


class Shop:
    """The server, a source, and what it took until something could be seen."""

    def __init__(self, server: Server, source: Source) -> None:
        self.server = server
        key = b64encode(f"{source.write_key}:".encode()).decode()
        self._headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}

    def send(self, *messages: Message) -> None:
        body = json.dumps({"batch": messages}).encode()
        answer = request("POST", f"{self.server.url}/v1/batch", body, self._headers)
        while answer.status == 429:
            time.sleep(0.2)
            answer = request("POST", f"{self.server.url}/v1/batch", body, self._headers)
        assert answer.status == 200, answer.body

    def waited(self, name: str, late: Callable[[], str]) -> None:
        """Send something late, and another customer's page right behind it; tell when both can be seen."""
        started = time.perf_counter()
        wanted = late()
        behind = {"type": "page", "messageId": f"other-{next(_numbers)}", "userId": "other"}
        self.send(behind)
        self._wait(lambda: self.server.api("GET", f"/messages/{segment(wanted)}").json()["data"][0]["outcome"])
        folded = time.perf_counter() - started
        self._wait(lambda: self.server.timeline("other")[0]["id"] == behind["messageId"])
        seen = time.perf_counter() - started
        memory = resident_mib(roles(self.server.pid)["process"])
        print(f"{name:32} folded {folded * 1000:6.0f} ms   another seen {seen * 1000:6.0f} ms   {memory:4.0f} MiB")
        assert max(folded, seen) < SECONDS

    def _wait(self, there: Callable[[], Any]) -> None:
        deadline = time.monotonic() + WAIT
        while True:
            try:
                if there() not in (False, "pending"):
                    return
            except (KeyError, IndexError):
                pass  # Not known yet.
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def late(self, name: str, message: Message) -> None:
        def send() -> str:
            self.send(message)
            return str(message["messageId"])

        self.waited(name, send)

    def by_hand(self, name: str, path: str, body: Message | None) -> str:
        made = ""

        def post() -> str:
            nonlocal made
            answer = self.server.api("POST", path, body)
            assert answer.status == 202, answer.body
            made = str(answer.json()["messageId"])
            return made

        self.waited(name, post)
        return made


@pytest.mark.soak
def test_what_comes_late_of_a_very_large_history(server: Server) -> None:
    shop = Shop(server, server.add_source("Shop"))
    shop.send({"type": "identify", "userId": "other", "traits": {"email": "other@x.example"}})
    for start in range(0, EVENTS, BATCH):
        shop.send(*(event(number) for number in range(start, start + BATCH)))
    server.wait_processed(120)
    device, middle = {"anonymousId": "bot"}, EVENTS // 2
    print()
    shop.late("an event at the beginning", call("page", 0, -60, **device))
    shop.late("an event in the middle", call("page", middle, 10, **device))
    shop.late("an event that joins two sessions", call("page", middle, 25, **device))
    shop.late("an event of an old session id", call("page", 15, 9, **device, properties={"richpanel_session_id": "s1"}))
    shop.late("a login of all of it", call("identify", 0, -90, userId="u1", **device))
    shop.late("an identify", call("identify", middle, 3, userId="u1", traits={"plan": "gold"}))
    shop.late("another's login in the middle", call("identify", middle, 5, userId="u2", **device))
    cut = shop.by_hand("a cut by hand", "/customers/u2/unlinks", {"anonymousId": "bot"})
    shop.by_hand("the cut taken back", f"/messages/{segment(cut)}/undo", None)
    found = {uid: server.customer(uid)["ordersCount"] for uid in ("u1", "u2")}
    assert found == {"u1": middle // 100, "u2": (EVENTS - middle) // 100}
