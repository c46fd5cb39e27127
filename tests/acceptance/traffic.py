"""A shop's traffic whose outcome is known: threads that send it, and the naive computation that the server is held to.

Each call says when it happened and carries no `sentAt`, so nothing depends on when it arrives. What a sender was told
of each message is noted; a call that nobody answered may or may not be there afterwards, one that was refused must not.
"""

import gzip
import http.client
import json
import random
import threading
import time
from base64 import b64encode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from tests.server import Server, segment

PEOPLE = 60
STARTED = 1_767_225_600
"""The shop's first second, 2026-01-01, in epoch seconds."""
SENDER_ERRORS = (OSError, http.client.HTTPException)

Message = dict[str, Any]


@dataclass
class Told:
    """What senders were told of messages, by id."""

    messages: dict[str, Message] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    """Answered 200 at least once."""
    unknown: set[str] = field(default_factory=set)
    """Sent at least once without an answer."""
    sent: int = 0
    """Messages put on the wire, repeats among them."""
    acknowledged: int = 0
    """Messages in calls that were answered 200, repeats among them."""
    statuses: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def note(self, messages: list[Message], status: int | None) -> None:
        """Note the answer to a call; None where there was none."""
        ids = [message["messageId"] for message in messages]
        with self._mutex:
            self.messages.update(zip(ids, messages, strict=True))
            self.sent += len(ids)
            self.statuses[status or 0] += 1
            if status == 200:
                self.acknowledged += len(ids)
                self.kept.update(ids)
            elif status is None:
                self.unknown.update(ids)

    @property
    def refused(self) -> set[str]:
        """Messages that were only ever refused."""
        return self.messages.keys() - self.kept - self.unknown


class Shop:
    """Makes messages: customers and their devices, pages, orders of which some are cancelled."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = random.Random(seed)
        self._name = name
        self._number = 0
        self._orders: list[tuple[str, str]] = []

    def message(self) -> Message:
        """One more message."""
        self._number += 1
        number, person = self._number, self.random.randrange(PEOPLE)
        uid = f"{self._name}-{person}"
        message: Message = {
            "messageId": f"{self._name}:{number}",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(STARTED + number)),
            "userId": uid,
        }
        kind = self.random.random()
        if kind < 0.1:
            traits = {"email": f"{uid}@example.com", "firstName": "Ada", "visit": number}
            return {**message, "type": "identify", "traits": traits, "anonymousId": f"device-{uid}"}
        if kind < 0.3:
            order = f"{self._name}-o{number}"
            self._orders.append((uid, order))
            total = f"{self.random.randrange(100, 99_999) / 100:.2f}"
            return {**message, **_order("Order Completed", order, total=total, currency="USD")}
        if kind < 0.33 and self._orders:
            uid, order = self.random.choice(self._orders)
            return {**message, "userId": uid, **_order("Order Cancelled", order)}
        if kind < 0.5:
            del message["userId"]
            message["anonymousId"] = f"device-{uid}"
        return {**message, "type": "page", "name": f"Page {number % 7}", "properties": {"path": f"/{number}"}}

    def messages(self, count: int) -> list[Message]:
        """So many more messages."""
        return [self.message() for _ in range(count)]


def _order(event: str, order: str, **properties: str) -> Message:
    return {"type": "track", "event": event, "properties": {"order_id": order, **properties}}


class Line:
    """A connection that is opened anew after a failure."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        self._headers = headers

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One request; raises what SENDER_ERRORS lists."""
        try:
            self._connection.request(method, path, body, self._headers | headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except SENDER_ERRORS:
            self._connection.close()
            raise

    def close(self) -> None:
        self._connection.close()


class Senders:
    """Threads that send a shop's traffic to a server, wherever that is, until told to stop.

    Each calls with single messages, batches and now and then a large or a repeated one.
    """

    def __init__(self, key: str, told: Told, seed: int, count: int = 3, pause: float = 0.01) -> None:
        self.urls: Sequence[str] = ()
        self.unheard = 0
        """Calls that no server answered with 200."""
        self._key = key
        self._told = told
        self._pause = pause
        self._going, self._stop = threading.Event(), threading.Event()
        self._idle = [threading.Event() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._send, args=(Shop(f"t{n}", seed * 100 + n), idle), daemon=True)
            for n, idle in enumerate(self._idle)
        ]
        for thread in self._threads:
            thread.start()

    def go(self, *urls: str) -> None:
        """Send to these servers from now on: what one does not take is sent to the next one, once to each."""
        self.urls = urls
        for idle in self._idle:
            idle.clear()
        self._going.set()

    def rest(self) -> None:
        """Stop for now; returns when no call is under way."""
        self._going.clear()
        for idle in self._idle:
            assert idle.wait(60), "a call hangs"

    def end(self) -> None:
        """Stop for good."""
        self._stop.set()
        self._going.set()
        for thread in self._threads:
            thread.join(60)

    def _send(self, shop: Shop, idle: threading.Event) -> None:
        earlier: list[list[Message]] = []
        lines: dict[str, Line] = {}
        while not self._stop.is_set():
            if not self._going.is_set():
                idle.set()
                self._going.wait()
                continue
            chance = shop.random.random()
            if chance < 0.1 and earlier:
                messages = shop.random.choice(earlier)
            else:
                messages = shop.messages(1 if chance < 0.6 else 300 if chance > 0.98 else shop.random.randrange(2, 30))
                earlier.append(messages)
            time.sleep(self._pause if self._call(lines, messages, shop) else 0.05)
        for line in lines.values():
            line.close()

    def _call(self, lines: dict[str, Line], messages: list[Message], shop: Shop) -> bool:
        """Send a call to the first server that takes it; tell if one did."""
        urls = self.urls
        for url in shop.random.sample(urls, len(urls)):
            if url not in lines:
                lines[url] = sending_line(url, self._key)
            status = send(lines[url], messages)
            self._told.note(messages, status)
            if status == 200:
                return True
        self.unheard += 1
        return False


def sending_line(url: str, key: str) -> Line:
    """A connection that sends as the source with this write key."""
    return Line(url, {"Authorization": f"Basic {b64encode(f'{key}:'.encode()).decode()}"})


def send(line: Line, messages: list[Message]) -> int | None:
    """Send messages as one call; give the status, None where no answer came, or one that says that nobody knows."""
    single = len(messages) == 1
    body = json.dumps(messages[0] if single else {"batch": messages}).encode()
    headers = {"Content-Type": "application/json"}
    if len(body) > 20_000:
        body, headers = gzip.compress(body, 1), {**headers, "Content-Encoding": "gzip"}
    path = f"/v1/{messages[0]['type']}" if single else "/v1/batch"
    try:
        status, answer = line.ask("POST", path, body, **headers)
        return None if b'"log_unsure"' in answer else status
    except SENDER_ERRORS:
        return None


# --------------------------------------------------------------------------------------------------- what must be there


@dataclass
class Expected:
    """A customer as the naive computation has it: timeline, and the sum and number of orders."""

    timeline: set[str] = field(default_factory=set)
    orders: dict[str, Decimal] = field(default_factory=dict)
    void: set[str] = field(default_factory=set)
    customer: bool = False

    @property
    def ltv(self) -> Decimal:
        """What the orders that stand come to."""
        return sum((total for order, total in self.orders.items() if order not in self.void), Decimal(0))


def expect(messages: Iterable[Message]) -> dict[str, Expected]:
    """Compute every person from the messages that are there: a device is its customer's once an identify says so."""
    messages = list(messages)
    owners: dict[str, str] = {each["anonymousId"]: each["userId"] for each in messages if each["type"] == "identify"}
    people: defaultdict[str, Expected] = defaultdict(Expected)
    for each in messages:
        device: str = each.get("anonymousId", "")
        uid: str = each.get("userId") or owners.get(device, device)
        person = people[uid]
        if each["type"] == "identify":
            person.customer = True
            continue
        person.timeline.add(each["messageId"])
        if each["type"] == "track":
            order = each["properties"]["order_id"]
            person.orders.setdefault(order, Decimal(0))
            if each["event"] == "Order Cancelled":
                person.void.add(order)
            else:
                person.orders[order] = Decimal(each["properties"]["total"])
    return dict(people)


class Readers:
    """Reads the REST API over a few connections that stay open: there is much to look up."""

    def __init__(self, server: Server, count: int = 4) -> None:
        self._lines = [Line(server.url, {"Authorization": f"Bearer {server.token}"}) for _ in range(count)]

    def __enter__(self) -> "Readers":
        return self

    def __exit__(self, *_: object) -> None:
        for line in self._lines:
            line.close()

    def get(self, path: str, line: Line | None = None) -> tuple[int, Any]:
        """GET below /api/v1."""
        status, body = (line or self._lines[0]).ask("GET", f"/api/v1{path}")
        return status, json.loads(body)

    def all(self, path: str) -> Iterator[Any]:
        """Every entry of a list."""
        cursor = ""
        while True:
            status, page = self.get(f"{path}{'&' if '?' in path else '?'}limit=500{cursor}")
            assert status == 200, (path, page)
            yield from page["data"]
            if page["next"] is None:
                return
            cursor = f"&cursor={page['next']}"

    def each(self, paths: list[str], look: Callable[[str, int, Any], None]) -> None:
        """GET many paths, and show each answer."""
        lots = [(line, paths[n :: len(self._lines)]) for n, line in enumerate(self._lines)]

        def read(line: Line, mine: list[str]) -> None:
            for path in mine:
                look(path, *self.get(path, line))

        with ThreadPoolExecutor(len(lots)) as pool:
            for done in [pool.submit(read, *lot) for lot in lots]:
                done.result()


def check(server: Server, source: str, told: Told, looks: int | None = None) -> None:
    """Assert that all that was acknowledged is there once, nothing that was refused is, and all figures agree.

    So many messages are looked up by their id, or all of them; the list of messages has them all as well.
    """
    server.wait_processed(120)
    there: dict[str, int] = defaultdict(int)
    with Readers(server) as readers:
        for listed in readers.all(f"/messages?source={source}"):
            there[listed["messageId"]] += 1
            assert listed["outcome"] == "kept", listed
        present = set(there)
        assert not told.kept - present, f"lost: {sorted(told.kept - present)[:10]}"
        assert not told.refused & present, f"refused and yet there: {sorted(told.refused & present)[:10]}"
        assert present <= told.messages.keys(), "nobody sent it"
        assert set(there.values()) <= {1}, "a message is there twice"
        wanted = list(told.messages)
        if looks is not None:
            wanted = random.Random(0).sample(wanted, min(looks, len(wanted)))
        by_path = {f"/messages/{segment(message_id)}": message_id for message_id in wanted}

        def look(path: str, status: int, answer: Any) -> None:
            assert status in (200, 404), (path, status, answer)
            traces = answer["data"] if status == 200 else []
            assert len(traces) == there[by_path[path]], traces
            assert all(trace["outcome"] == "kept" and not trace["conflict"] for trace in traces), traces

        readers.each(list(by_path), look)
        _check_people(readers, expect(told.messages[message_id] for message_id in present))
    status = server.get("/status")
    outcomes = status["outcomes"][source]
    counted = (status["messages"], outcomes["kept"])
    assert counted == (len(present), len(present)), f"counted {counted} of {len(present)}"
    assert told.acknowledged <= outcomes["kept"] + outcomes.get("duplicate", 0) <= told.sent
    assert set(outcomes) <= {"kept", "duplicate"}, outcomes


def _check_people(readers: Readers, people: dict[str, Expected]) -> None:
    customers = {customer["uid"]: customer for customer in readers.all("/customers")}
    assert set(customers) == {uid for uid, person in people.items() if person.customer}
    for uid, person in people.items():
        kind = "customers" if person.customer else "visitors"
        entries = list(readers.all(f"/{kind}/{segment(uid)}/timeline"))
        ids = [entry["id"] for entry in entries if entry["type"] in ("page", "track")]
        assert len(ids) == len(set(ids)), f"{uid}: doubles on the timeline"
        assert set(ids) == person.timeline, uid
        assert [entry["timestamp"] for entry in entries] == sorted((e["timestamp"] for e in entries), reverse=True)
        if person.customer:
            found = (customers[uid]["ordersCount"], Decimal(customers[uid]["ltv"]))
            assert found == (len(person.orders), person.ltv), uid
            orders = [order["orderId"] for order in readers.all(f"/customers/{segment(uid)}/orders")]
            assert (len(orders), set(orders)) == (len(person.orders), set(person.orders)), uid
