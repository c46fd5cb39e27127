"""`/health`, `/ready` and `/metrics`, as bare ASGI: they answer even where the pages would not (contract.md)."""

import asyncio
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from richpanel import telemetry
from richpanel.log.age import waiting_since
from richpanel.log.contract import LogDamaged, LogGone, LogReader
from richpanel.store.glance import Glance, Unreadable
from richpanel.web.delivery_metrics import read_deliveries

PATHS: Final = ("/health", "/ready", "/metrics")
LATE_SECONDS: Final = 300.0
"""A processing that is further behind than this is not doing its work; a bulk load may put it minutes behind."""
_ROLES: Final = {"process": "processing", "web": "pages'", "deliver": "delivering", "engage": "engaging"}
CLOCK_SECONDS: Final = 5.0
"""So far may the clock go back without a word: it is being set right by a little now and then."""
Scope = dict[str, Any]
Receive = Callable[[], Any]
Send = Callable[[dict[str, Any]], Any]


class LogState(NamedTuple):
    """How the log stands: bytes on disk (those of them that are archived), and what an answered call survives.

    Of a stream also how much it holds at the most, how many records no worker has acknowledged, how many servers keep
    each.
    """

    bytes: int
    archived_bytes: int = 0
    durability: str = ""
    max_bytes: int | None = None
    pending: int | None = None
    replicas: int | None = None


@dataclass
class Health:
    """Answers the three paths. The attributes that wiring sets are what it watches.

    `refusal` tells why the log takes nothing, None where it does; `waiting` is the bytes that wait for the disk;
    `missing` names the roles that do not run. `log_state` tells how the log stands; it raises OSError.
    """

    log: LogReader
    log_state: Callable[[], LogState]
    glance: Glance
    refusal: Callable[[], str | None]
    waiting: Callable[[], int]
    now: Callable[[], int]
    missing: Collection[str] = ()
    stalled: str | None = None
    """Why the processing cannot go on for the moment; it goes on trying."""
    recovered: str | None = None
    """What opening the log found that a person should know."""
    is_one_of_many: bool = False
    """Whether other servers may do the processing: that it is late is then no fault of this one."""
    _reading: threading.Lock = field(default_factory=threading.Lock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        del receive
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b'{"status":"method_not_allowed"}', allow=b"GET, HEAD")
        elif scope["path"] == "/health":
            await _answer(send, 200, b'{"status":"live"}')
        elif scope["path"] == "/ready":
            reasons, figures = await asyncio.to_thread(self._look)
            body = {"status": "not ready" if reasons else "ready", "reasons": reasons, **figures}
            await _answer(send, 503 if reasons else 200, msgspec.json.encode(body))
        else:
            text = await asyncio.to_thread(self._figures)
            await _answer(send, 200, text, kind=b"text/plain; version=0.0.4; charset=utf-8")

    def _look(self) -> tuple[list[str], dict[str, object]]:
        """Tell what keeps this server from doing its work, and how far it is."""
        reasons = []
        if (refusal := self.refusal()) is not None:
            reasons.append(f"the log takes nothing: {refusal}")
        reasons += [f"the {_ROLES.get(role, role)} role does not run" for role in self.missing]
        if self.stalled is not None and "process" not in self.missing:
            reasons.append(f"the processing stands still: {self.stalled}")
        try:
            durable, stands = self.log.durable(), self.log_state()
        except OSError as error:
            return [*reasons, str(error)], {}
        log = {"last": durable, "bytes": stands.bytes, "maxBytes": stands.max_bytes, "pending": stands.pending}
        figures: dict[str, object] = {
            "log": {name: value for name, value in log.items() if value is not None},
            "durability": stands.durability,
        }
        try:
            position, _ = self.glance.progress()
            received_at = self.glance.received_at()
        except Unreadable as error:
            return [*reasons, str(error)], figures
        notes = [note for note in (self.recovered, clock_note(received_at, self.now())) if note is not None]
        figures |= {"processed": position, "notes": notes}
        try:
            lag = self._lag(position)
        except (LogGone, LogDamaged, OSError) as error:
            return [*reasons, f"the log cannot be read: {error}"], figures
        if lag > LATE_SECONDS:
            (notes if self.is_one_of_many else reasons).append(f"the processing is {lag:.0f} s behind")
        return reasons, {**figures, "oldestUnprocessedSeconds": lag}

    def _figures(self) -> bytes:
        """Bring the figures that are read, not counted, up to date, and give all."""
        from richpanel.web.metrics import exposition  # Loaded where it is used: 5 MB, for who is asked for figures.

        with suppress(OSError):
            telemetry.LOG_DURABLE.set(self.log.durable())
            stands = self.log_state()
            telemetry.LOG_BYTES.set(stands.bytes)
            telemetry.LOG_ARCHIVED_BYTES.set(stands.archived_bytes)
            telemetry.LOG_PENDING.set(stands.pending or 0)
        telemetry.LOG_WAITING_BYTES.set(self.waiting())
        telemetry.PROCESS_UP.set(float("process" not in self.missing))
        telemetry.WEB_UP.set(float("web" not in self.missing))
        try:
            position, messages = self.glance.progress()
            counts, names = self.glance.counts(), self.glance.source_ids()
            refusals = self.glance.refusals()
        except Unreadable:
            return exposition()
        telemetry.PROCESSED.set(position)
        telemetry.PROCESSED_MESSAGES.set(messages)
        with suppress(LogGone, LogDamaged, OSError):
            telemetry.LAG_SECONDS.set(self._lag(position))
        for source, outcome, count in counts:
            telemetry.OUTCOMES.set(count, names.get(source, str(source)), outcome)
        telemetry.REFUSED_PRIVACY.values.update(((source,), number) for source, number in refusals)
        with suppress(Unreadable):
            read_deliveries(self.glance, self.now())
        return exposition()

    def _lag(self, position: int) -> float:
        """Give the age in seconds of the oldest record from `position` on; 0 where there is none."""
        with self._reading:
            since = waiting_since(self.log, position)
        return 0.0 if since is None else max(self.now() - since, 0) / 1000


def clock_note(received_at: int, now: int) -> str | None:
    """Tell where the clock stands before the newest message's arrival; both in ms UTC."""
    behind = (received_at - now) / 1000
    if behind < CLOCK_SECONDS:
        return None
    return f"the clock stands {behind:,.0f} s before the newest message's arrival: it went wrong then, or is wrong now"


async def _answer(
    send: Send, status: int, body: bytes, *, kind: bytes = b"application/json", allow: bytes | None = None
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if allow is not None:
        headers.append((b"allow", allow))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
