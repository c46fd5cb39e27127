"""Telling of audiences and computed traits: what the state has to tell goes into the log, on one node of a cluster."""

import asyncio
import threading
from contextlib import closing
from time import monotonic
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from richpanel.config import Settings
from richpanel.core import record
from richpanel.core.record import Meta
from richpanel.engage.backfilling import Filler
from richpanel.engage.telling import Said, Teller
from richpanel.log.contract import LogBusy, LogClosed, LogFull, LogReader, LogUnsure, LogWriter
from richpanel.log.opening import open_reader, stream_of
from richpanel.log.remote import RemoteWriter
from richpanel.roles.clock import now_ms
from richpanel.roles.ever import ever_applied
from richpanel.store import members
from richpanel.store.database import Changes, open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.leadership import Leadership
from richpanel.store.memberships import count
from richpanel.telemetry import get_logger

IDLE_SECONDS: Final = 0.5
"""How long nothing is looked for: two looks cost 0.3 % of a core, and a change is to be told within two seconds."""
FULL_SECONDS: Final = 0.05
"""How long, where so much is under way that it is waited for: the processing is to have enough to do."""
RETRY_SECONDS: Final = 2.0
_REST_SECONDS: Final = 5.0
"""Where nothing was committed since a look that found nothing, it is looked again so much later at the latest."""
_SIZES_SECONDS: Final = 60.0
_AWAY: Final = (LogBusy, LogClosed, LogFull, LogUnsure, SQLAlchemyError, OSError)
"""What is tried again, for it passes."""
_DOORS: Final = {False: "engage", True: "import"}
"""First runs go in the lane of imports."""
_log = get_logger(__name__)


def run(settings: Settings, owner: str | None, stop: threading.Event) -> None:
    """Tell until `stop`. `owner` is the socket of the log's owner, None where the log is a stream."""
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    state = open_engine(directory.state_url, read_only=True, cache_mib=8)
    account = open_engine(directory.account_url, cache_mib=1)
    with (
        closing(open_reader(directory.log, settings.log_url)) as log,
        closing(Leadership(settings.database_url, "telling")) as leadership,
    ):
        asyncio.run(Telling(state, account, log, leadership).run(settings, owner, stop))
    for engine in (state, account):
        engine.dispose()


class Telling:
    """Appends what there is to tell, where this process leads."""

    def __init__(self, state: Engine, account: Engine, log: LogReader, leadership: Leadership) -> None:
        """Begin afresh with the first look."""
        self._teller = Teller(state, account)
        self._filler = Filler(state, account, log.end_now, self._teller.is_under_way)
        self._state = state
        self._account = account
        self._log = log
        self._leadership = leadership
        self._leads = False
        self._changes = Changes(state), Changes(account)
        self._rests_until = 0.0
        self._sizes_at = 0.0
        self._sized = Changes(state)
        self._sizes: dict[int, tuple[int, int]] = {}

    async def run(self, settings: Settings, owner: str | None, stop: threading.Event) -> None:
        """Look, and look again, until `stop`."""
        writer = self._open(settings, owner)
        if writer is None:
            _log.warning("audiences_not_told", reason="the log's owner is another server")
        while not stop.is_set():
            pause = IDLE_SECONDS
            try:
                if writer is not None and await asyncio.to_thread(self._is_leader):
                    pause = await self._step(writer)
                    pause = min(pause, FULL_SECONDS) if self._teller.is_full else pause
            except _AWAY as error:
                self._leads = False  # Whether that is in the log is known once all that stands there is folded.
                pause = RETRY_SECONDS
                _log.warning("telling_waits", reason=str(error), retry_in_seconds=pause)
            if pause:
                await asyncio.to_thread(stop.wait, pause)
        if writer is not None:
            await writer.close()

    def _open(self, settings: Settings, owner: str | None) -> LogWriter | None:
        if settings.log_url is not None:
            from richpanel.log.jetstream import JetStreamWriter  # Loaded where it is used.

            applied = ever_applied(settings.data, settings.database_url)
            return JetStreamWriter(stream_of(settings.log_url), self._log, applied=applied)
        return None if owner is None else RemoteWriter(owner, self._log)

    def _is_leader(self) -> bool:
        if not self._leadership.is_leader():
            self._leads = False
        elif not self._leads:
            self._rests_until = 0.0
            self._teller.wait_for(self._log.end_now())
            self._filler.forget()
            self._leads = True
        return self._leads

    async def _step(self, writer: LogWriter) -> float:
        """Put what is next into the log; tell how long to rest."""
        if monotonic() >= self._sizes_at:
            self._sizes_at = monotonic() + _SIZES_SECONDS
            await asyncio.to_thread(self._note_sizes)
        if not await asyncio.to_thread(self._has_changed) and monotonic() < self._rests_until:
            return IDLE_SECONDS
        is_whole = not self._teller.is_in_between
        said = await asyncio.to_thread(self._teller.look)
        noticed = await asyncio.to_thread(self._filler.notice, now_ms())
        if said is not None and noticed != self._teller.version:
            return 0.0  # A destination may have come that this is not for.
        if said is not None:
            self._teller.appended(said, await writer.append(record_of(said, now_ms())))
        filled = await asyncio.to_thread(self._filler.look, now_ms())
        if filled is not None:
            end = await writer.append(record_of(filled.said, now_ms())) if filled.said.messages else None
            await asyncio.to_thread(self._filler.appended, filled, end, now_ms())
        if said is not None or filled is not None:
            self._rests_until = 0.0
            return 0.0
        is_whole = is_whole and not self._teller.is_in_between
        self._rests_until = monotonic() + _REST_SECONDS if is_whole else 0.0
        return IDLE_SECONDS

    def _has_changed(self) -> bool:
        """Tell whether anything was committed since the last look; both are asked each time."""
        return True in [changes.any() for changes in self._changes]

    def _note_sizes(self) -> None:
        before = {} if self._sized.any() else self._sizes
        with reading(self._state) as state:
            self._sizes = {
                number: before[number] if number in before and before[number][0] == plan else (plan, count(state, plan))
                for number, plan in self._teller.live()
            }
        with self._account.begin() as account:
            for number, (_, size) in self._sizes.items():
                members.note_size(account, number, size, now=now_ms())


def record_of(said: Said, now: int) -> list[bytes]:
    """Write what is said as a record; `now` is ms UTC."""
    return record.encode(Meta(at=now, source=said.source, sizes=[], door=_DOORS[said.is_first]), said.messages)
