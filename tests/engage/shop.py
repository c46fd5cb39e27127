"""A shop whose processing, expiry and telling a test drives by its own clock."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from richpanel.core.timestamps import iso
from richpanel.engage.backfilling import Filler
from richpanel.engage.telling import AT_ONCE, FIRSTS_UNDER_WAY, Teller
from richpanel.process.definitions import Watch
from richpanel.process.worker import Worker
from richpanel.roles.telling import record_of
from richpanel.store.database import open_engine
from tests.web.running import Site

DAY = 86_400_000


class Shop:
    """A site, with what processes its log and what tells of its audiences."""

    def __init__(self, site: Site) -> None:
        """Start both."""
        self.site = site
        self.sent = 0
        self.connected: list[str] = []
        """The ids of destinations that were connected, in turn."""
        self.engines = [
            open_engine(site.directory.state_url),
            open_engine(site.directory.account_url),
            open_engine(site.directory.state_url, read_only=True),
        ]
        self.start()

    def start(self, at_once: int = AT_ONCE, firsts_under_way: int = FIRSTS_UNDER_WAY) -> None:
        """Start processing and telling, which know nothing of those before; the numbers are the teller's."""
        state, account, reading = self.engines
        self.worker = Worker(self.site.reader, state, Watch(account))
        self.teller = Teller(reading, account, at_once, firsts_under_way)
        self.teller.wait_for(self.site.reader.end_now())
        self.filler = Filler(reading, account, self.site.reader.end_now, self.teller.is_under_way, at_once)

    def process(self) -> None:
        """Apply what is in the log, and let time do what it does until now."""
        while self.worker.step() is not None:
            pass
        while self.worker.tend(self.site.clock()):
            pass

    def tell(self) -> list[dict[str, Any]]:
        """Put into the log what there is to tell; give it."""
        told = []
        while (said := self.teller.look()) is not None:
            if self.filler.notice(self.site.clock()) != self.teller.version:
                continue
            append = self.site.writer.append(record_of(said, self.site.clock()))
            end = asyncio.run_coroutine_threadsafe(append, self.site.loop).result(10)
            self.teller.appended(said, end)
            told += [json.loads(message) for message in said.messages]
        return told

    def fill(self, *, note: bool = True) -> list[dict[str, Any]]:
        """Put into the log what backfills are to tell next; give it. Without `note` it is killed right after that."""
        now = self.site.clock()
        filled = self.filler.look(now)
        if filled is None:
            return []
        end = None
        if filled.said.messages:
            append = self.site.writer.append(record_of(filled.said, now))
            end = asyncio.run_coroutine_threadsafe(append, self.site.loop).result(10)
        if note:
            self.filler.appended(filled, end, now)
        return [json.loads(message) for message in filled.said.messages]

    @property
    def engage(self) -> str:
        """The id of the source that tells of audiences."""
        return next(str(each["id"]) for each in self.site.get("/sources")["data"] if each["type"] == "engage")

    def given(self, destination: str) -> dict[str, list[Any]]:
        """Give the values that a destination keeps, by uid, in the order of the log."""
        rows = self.site.get("/messages", source=self.engage, limit=500)["data"]
        values: dict[str, list[Any]] = {}
        for row in reversed(rows):
            (trace,) = self.site.get(f"/messages/{row['messageId']}")["data"]
            if any(each["destination"] == destination and each["outcome"] == "kept" for each in trace["decisions"]):
                values.setdefault(row["uid"], []).extend(trace["body"]["traits"].values())
        return values

    def connect(self, endpoint: str = "https://example.com", **more: Any) -> str:
        """Connect another destination outside to the Engage source; give its id."""
        stranger = {"name": "Stranger", "endpoint": endpoint, "sources": [self.engage], "settings": {"apiKey": "k"}}
        answer = self.site.api("POST", "/destinations", {**stranger, **more})
        assert answer.status == 201, answer.body
        self.connected.append(str(answer.json()["id"]))
        return self.connected[-1]

    def settle(self) -> list[dict[str, Any]]:
        """Process and tell until nothing is left; give what was told."""
        told = []
        self.process()
        while found := self.tell():
            told += found
            self.process()
        return told

    def audience(self, name: str, condition: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Add an audience."""
        answer = self.site.api("POST", "/audiences", {"name": name, "condition": condition, **more})
        assert answer.status == 201, answer.body
        return dict(answer.json())

    def known(self, uid: str, **traits: Any) -> None:
        """Have somebody identified."""
        self._send({"type": "identify", "userId": uid, "traits": traits})

    def filled(self) -> list[tuple[str, Any]]:
        """Let all backfills go to their end; give whom they told what."""
        told = []
        for _ in range(10):
            told += [(each["userId"], *each["traits"].values()) for each in self.fill()]
            self.process()
        return told

    def ordered(self, uid: str, total: float = 20.5) -> None:
        """Have somebody order something, now."""
        self._send({"type": "track", "event": "Order Completed", "userId": uid, "properties": {"total": total}})

    def _send(self, message: dict[str, Any]) -> None:
        self.sent += 1
        self.site.send([{**message, "messageId": f"m{self.sent}", "timestamp": iso(self.site.clock())}])


@contextmanager
def shop_of(site: Site) -> Iterator[Shop]:
    """Open a shop on a site."""
    opened = Shop(site)
    yield opened
    for engine in opened.engines:
        engine.dispose()
