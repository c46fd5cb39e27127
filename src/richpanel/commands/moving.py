"""`richpanel migrate-to`: an account moves from the files of a data directory to a cluster, while its server runs.

The state is copied as it was at one instant, table by table, and what came into the log since follows, record by
record, until little is left. Then the server stops, the rest follows, and the switch is made (`moving_switch`).
Until then nothing that the server uses has changed; whatever fails leaves half a copy, which the next try makes anew.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Any, Final, NoReturn

from cyclopts import Parameter
from rich.filesize import decimal
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from richpanel import telemetry
from richpanel.commands.invocation import AsJson, Data, fail, settings_of
from richpanel.commands.moving_shown import Telling
from richpanel.commands.moving_sides import MoveError, Sides, check, make_ready
from richpanel.commands.moving_switch import VerifyError, begun, carry_deliveries, finish, switch, try_definitions
from richpanel.commands.running import NOTE, log_owner, running_server
from richpanel.log.carrying import Carrier, CarryError
from richpanel.log.contract import LogDamaged, LogFull, LogGone, LogLocked, LogReader, LogUnsure
from richpanel.log.ground import GroundError
from richpanel.log.jetstream import JetStreamWriter
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.log.stream_reader import JetStreamReader
from richpanel.store import copying, moving, state_files
from richpanel.store.bodies import LogBodies
from richpanel.store.database import reading
from richpanel.store.half_copy import HalfCopy
from richpanel.store.migrating import RevisionError
from richpanel.store.moved import Moved
from richpanel.store.moving import MOVES
from richpanel.store.moving_bodies import copy_bodies, count_bodies, digest_of_bodies
from richpanel.store.progress import Progress
from richpanel.store.secrets import SecretKeyError
from richpanel.store.status import processed

_LOCK: Final = "moving.lock"
_DRAFT: Final = ".moving"
"""Holds the state as it was at one instant, until it is copied."""
_NICE: Final = 10
_NEAR_BYTES: Final = 1 << 20
"""How near to the log's end the stream is brought before the server is stopped."""
_ROUNDS: Final = 50
_LOOK_SECONDS: Final = 0.02
_END_SECONDS: Final = 30.0
"""How long the server's other processes may take to end after the one that has the log."""
_APPEND_SECONDS: Final = 60.0
_FAULTS: Final = (
    *(MoveError, CarryError, GroundError, SecretKeyError, RevisionError),
    *(LogDamaged, LogFull, LogGone, LogUnsure, OSError, ValueError, LookupError),
)


def migrate_to(
    *,
    database_url: Annotated[str, Parameter(help="postgresql://..., where nothing is yet: PostgreSQL 15 or later.")],
    log_url: Annotated[str, Parameter(help="nats://HOST:PORT of JetStream, as in the setting log_url.")],
    stop: Annotated[
        bool, Parameter(help="Stop the server for the switch (--no-stop: wait until somebody has stopped it).")
    ] = True,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Move the account to a cluster."""
    settings = settings_of(data)
    sides = Sides.of(settings, database_url, log_url)
    telemetry.configure_logging("migrate-to", style="auto", level="error")
    with suppress(OSError):
        os.nice(_NICE)
    signal.signal(signal.SIGTERM, _interrupt)
    if not sides.path.is_dir():
        fail(f"there is no data directory at {sides.path}: name it with --data")
    move = Move(sides, stop=stop)
    with Telling(json=json) as telling, state_files.try_lock(sides.path / _LOCK) as alone:
        if not alone:
            fail(f"another move of {sides.path} is on its way: wait for it, or stop it")
        try:
            mark = begun(sides)
            if mark is not None:
                _finish(sides, mark, telling)
                return
            if settings.database_url is not None:
                raise MoveError(f"the account is on a cluster already: {sides.new.databases}")
            move.run(telling)
        except KeyboardInterrupt:
            fail(f"stopped; {move.left}", 130)
        except DatabaseError as error:
            fail(f"the database: {error.orig}; {move.left}")
        except _FAULTS as error:
            fail(f"{error}; {move.left}")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _finish(sides: Sides, mark: Moved, telling: Telling) -> None:
    done = finish(sides, mark)
    text = "the switch that was interrupted is made" if done else f"the account moved at {mark.at}"
    telling.say("finished", f"{text}: {_next(sides)}", at=mark.at, now=done)


def _next(sides: Sides) -> str:
    return f"start `richpanel serve --data {sides.path}`, which finds the cluster in richpanel.toml"


@dataclass
class Move:
    """One try."""

    sides: Sides
    stop: bool
    stopped: float | None = None
    """When the server was told to stop."""
    decided: bool = False
    digests: dict[str, str] = field(default_factory=dict)
    rows: int = 0

    @property
    def left(self) -> str:
        """Say what is left behind where it ends now."""
        if self.decided:
            return "the switch is decided, and not made: run the same command again before anything else"
        again = "; it was stopped for the switch: start it again" if self.stopped is not None else ""
        return f"nothing was switched, the server goes on with its files{again}. The same command begins anew"

    def run(self, telling: Telling) -> None:
        """Copy, follow, and switch. Raises what `_FAULTS` has, DatabaseError."""
        began = monotonic()
        sides = self.sides
        account = check(sides, telling)
        with closing(SegmentReader(sides.old.log)) as log, _frozen(sides, telling) as state:
            applied = processed(state)
            if log.durable() < applied.position:
                raise MoveError("the log ends before what is applied: start the server once, which puts that right")
            copy, start = make_ready(sides, account, log.durable())
            try_definitions(sides)
            self._copy(state, log, telling)
            self._verify(telling)
            with sides.opened("state") as engine, engine.begin() as connection:
                moving.settle(state, connection, start)
        carried = asyncio.run(self._follow(copy, applied, start, telling))
        self._report(carried, applied, monotonic() - began, telling)

    def _copy(self, state: Connection, log: LogReader, telling: Telling) -> None:
        """Copy every table, and the bodies."""
        with self.sides.opened("state") as new:
            for name in MOVES:
                with telling.task(f"copy {name}", moving.count(state, name)) as show:
                    self._note(name, moving.copy_table(state, new, name, show))
            with telling.task("copy bodies", count_bodies(state)) as show:
                self._note("bodies", copy_bodies(state, new, LogBodies(log.slice), show))
            with new.begin() as connection, telling.task("analyze", None):
                moving.analyze(connection)
        telling.say("copied", f"copied {self.rows:,} rows", rows=self.rows)

    def _note(self, name: str, digest: Any) -> None:
        self.digests[name] = str(digest)
        self.rows += digest.rows

    def _verify(self, telling: Telling) -> None:
        """Read all of it back."""
        with self.sides.opened("state") as new, reading(new) as connection, telling.task("verify", self.rows) as show:
            found = {name: str(moving.digest_of(connection, name, show)) for name in MOVES}
            found["bodies"] = str(digest_of_bodies(connection, show))
        if wrong := [name for name, digest in self.digests.items() if found[name] != digest]:
            raise VerifyError(f"what PostgreSQL holds of {', '.join(wrong)} is not what was copied")
        telling.say("verified", f"verified {self.rows:,} rows by digest", digests=self.digests)

    async def _follow(self, copy: HalfCopy, applied: Progress, start: int, telling: Telling) -> Carrier:
        """Bring what came since into the stream, stop the server, bring the rest, and switch."""
        sides = self.sides
        with closing(SegmentReader(sides.old.log)) as old, closing(JetStreamReader(sides.stream)) as new:
            writer = JetStreamWriter(sides.stream, new, seconds=_APPEND_SECONDS, applied=lambda: start)
            carrier = Carrier(old, applied.position, writer, new, start)
            try:
                with telling.task("follow", None, "bytes") as show:

                    async def catch_up() -> None:
                        await carrier.carry(old.durable(), lambda _records, size: show(size))

                    for _ in range(_ROUNDS):
                        await catch_up()
                        if old.durable() - carrier.position < _NEAR_BYTES:
                            break
                    async with self._files_alone(telling, catch_up) as end:
                        if end >= start:
                            raise MoveError(f"the log has grown beyond {start:,} meanwhile")
                        await carrier.carry(end, lambda _records, size: show(size))
                        telling.say("carried", _carried(carrier), records=carrier.sent.records, bytes=carrier.bytes)
                        self.digests["log"] = str(carrier.sent)
                        for name, digest in carry_deliveries(sides, carrier.place, telling).items():
                            self._note(name, digest)
                        self.digests["account"] = str(switch(sides, copy, self._decide))
            finally:
                await writer.close()
        return carrier

    def _decide(self) -> None:
        self.decided = True

    @asynccontextmanager
    async def _files_alone(self, telling: Telling, catch_up: Any) -> AsyncIterator[int]:
        """Have the files alone, once the server has stopped; give where the log ends."""
        asked: set[int] = set()
        said = None
        while (owner := log_owner(self.sides.path)) is not None:
            running = running_server(self.sides.path)
            if self.stop and running is not None and running.pid not in asked:
                asked.add(running.pid)
                self._stop(running.pid, telling)
            elif not asked and said != owner:
                said = owner
                what = "stop the server for the switch" if running is not None else f"process {owner} writes the log"
                telling.say("waiting", f"waiting: {what}", process=owner)
            if not asked:
                await catch_up()
            await asyncio.sleep(_LOOK_SECONDS)
        self.stopped = self.stopped or monotonic()
        try:
            writer = SegmentWriter.open(self.sides.old.log)
        except LogLocked:
            raise MoveError("something has the log again: a server was started") from None
        try:
            deadline = monotonic() + _END_SECONDS
            while True:
                with self._lock(state_files.PROCESSING) as processing, self._lock(state_files.DELIVERING) as delivering:
                    if processing and delivering and (not (self.sides.path / NOTE).exists() or monotonic() > deadline):
                        yield writer.durable
                        return
                if monotonic() > deadline:
                    raise MoveError("another process still writes the state, or still delivers")
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            await writer.close()

    def _lock(self, name: str) -> AbstractContextManager[bool]:
        return state_files.try_lock(self.sides.path / name)

    def _stop(self, pid: int, telling: Telling) -> None:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return
        except PermissionError:
            self.stop = False
            telling.say("waiting", f"waiting: stop the server, which is not yours (process {pid})", process=pid)
            return
        self.stopped = monotonic()
        telling.say("stopping", f"stopping the server (process {pid}) for the switch", process=pid)

    def _report(self, carried: Carrier, applied: Progress, seconds: float, telling: Telling) -> None:
        away = monotonic() - (self.stopped or monotonic())
        sides = self.sides
        text = (
            f"moved to {sides.new.databases} and {sides.log_name} in {seconds:.1f} s, {away:.1f} s of them without a "
            f"server: {self.rows:,} rows, and {carried.sent.records:,} records that wait to be processed.\n"
            f"Now {_next(sides)}. Other nodes need secret.key (or RICHPANEL_SECRET_KEY) and both settings.\n"
            f"The old files in {sides.path} are as they were: log/, account.db, state*.db, delivery.db. "
            "They hold people, and what is erased from now on is not erased there: delete them once you need them no "
            "more."
        )
        facts: dict[str, object] = {"rows": self.rows, "records": carried.sent.records, "messages": applied.messages}
        facts |= {"database": sides.new.databases, "log": sides.log_name, "digests": self.digests}
        telling.say("moved", text, **facts, seconds=round(seconds, 3), secondsWithoutServer=round(away, 3))


def _carried(carrier: Carrier) -> str:
    return f"{carrier.sent.records:,} records since ({decimal(carrier.bytes)}) are in the stream, verified by digest"


@contextmanager
def _frozen(sides: Sides, telling: Telling) -> Iterator[Connection]:
    """Give the state as it is now, in a file of its own: the server's write-ahead log does not grow meanwhile."""
    draft = sides.path / _DRAFT
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    try:
        with copying.frozen(sides.old.state_url) as live:
            needed, free = copying.size(live), shutil.disk_usage(draft).free
            if needed > free:
                raise MoveError(
                    f"{decimal(needed)} are needed in {sides.path} for a while, and {decimal(free)} are free"
                )
            with telling.task("freeze the state", needed, "bytes") as show:
                copying.copy(live, draft / "state.db", show)
        with copying.frozen(f"sqlite:///{draft / 'state.db'}") as state:
            yield state
    finally:
        shutil.rmtree(draft, ignore_errors=True)
