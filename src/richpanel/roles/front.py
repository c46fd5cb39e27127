"""The role at the port: the door and the log that it owns, the questions of health, and the way on to the pages."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, Final, cast

import uvloop

from richpanel import telemetry
from richpanel.config import Settings, browser_package, lmtp_place
from richpanel.core.codes import Code
from richpanel.log.contract import LogLocked
from richpanel.log.remote import Appends
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.roles.clock import now_ms
from richpanel.roles.keeping import Keeping
from richpanel.roles.parent import CannotRunError, Parent, on_stop
from richpanel.roles.port import Dispatch, nothing
from richpanel.roles.relay import Relay
from richpanel.roles.serving import Server, configure
from richpanel.source import asgi as door
from richpanel.source import lmtp
from richpanel.source.address import Proxies
from richpanel.source.keys import KeySnapshot, Source, SourceType
from richpanel.source.mailroom import Mailroom
from richpanel.source.privacy import KeptOut
from richpanel.store.glance import Glance, Unreadable, open_glance
from richpanel.web.health import PATHS, Health

LOCK_SECONDS: Final = 5.0
"""How long a start waits for the log of a server that is just ending."""
_KEYS_SECONDS: Final = 0.5
_log = telemetry.get_logger(__name__)


def run(settings: Settings, parent: Parent, sockets: Mapping[str, Any]) -> None:
    """Serve until told to stop; requests under way are answered first. Raises CannotRunError.

    A server of the role `ingest` has this without pages and API, one of the role `web` without the door and the log.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, parent, sockets))


async def _serve(settings: Settings, parent: Parent, sockets: Mapping[str, Any]) -> None:
    proxies = Proxies(tuple(map(str, settings.trusted_proxies)))
    async with AsyncExitStack() as opened:
        glance = opened.enter_context(closing(open_glance(settings.data, settings.database_url)))
        writer = await opened.enter_async_context(_log_of(settings, glance, sockets["log"]))
        health = _health(glance, writer, opened.enter_context(closing(SegmentReader(_log_in(settings)))), settings)
        relay = None
        if settings.role != "ingest":
            relay = await opened.enter_async_context(Relay(sockets["web_path"], proxies, settings.body_timeout))
        keys = KeySnapshot()
        load = _Sources(glance, keys).load
        keys.replace(load())
        refreshing = asyncio.create_task(keys.refresh(load, _KEYS_SECONDS))
        opened.callback(refreshing.cancel)
        mail = await _open_mail(settings, writer, keys)
        if mail is not None:
            opened.push_async_callback(mail.close)
        ingest = door.build(writer, keys, _door_options(settings), now_ms) if writer else nothing
        dispatch = Dispatch(door.owns, ingest, PATHS, health, relay or nothing)
        config = configure(dispatch, keep_alive=settings.keep_alive, drain=settings.drain_timeout, tls=_tls(settings))
        server = Server(config, lambda: parent.say(ready=True))
        on_stop(partial(setattr, server, "should_exit", True))
        parent.listen(partial(_hear, health, relay))
        await server.serve(sockets=[socket.socket(fileno=sockets["port"])])


def _log_in(settings: Settings) -> Path:
    return settings.data / "log"


@asynccontextmanager
async def _log_of(settings: Settings, glance: Glance, listening: int) -> AsyncIterator[SegmentWriter | None]:
    """Own the log, unless this is a server for the pages alone: take what other roles append, archive what is old."""
    if settings.role == "web":
        yield None
        return
    writer = await _open_log(settings, glance)
    appends = Appends(writer, socket.socket(fileno=listening))
    keeping = Keeping(settings, writer, glance)
    try:
        yield writer
    finally:
        await keeping.stop()
        await appends.close()
        await writer.close()


def _health(glance: Glance, writer: SegmentWriter | None, reader: SegmentReader, settings: Settings) -> Health:
    return Health(
        log=reader,
        log_directory=_log_in(settings),
        glance=glance,
        refusal=lambda: writer.refusal if writer else None,
        waiting=lambda: writer.waiting if writer else 0,
        now=now_ms,
        recovered=writer.recovered.told() if writer else None,
    )


def _tls(settings: Settings) -> tuple[str, str] | None:
    """Give the files of certificate and key, once they are seen to work. Raises CannotRunError."""
    if settings.tls_cert is None:
        return None
    files = (str(settings.tls_cert), str(settings.tls_key))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*files)
    except OSError as error:
        raise CannotRunError(f"the certificate {files[0]} with the key {files[1]} cannot be used: {error}") from None
    return files


def _hear(health: Health, relay: Relay | None, word: dict[str, Any]) -> None:
    """Take the parent's news: which roles are ready, whether the processing gets on, and what it has counted."""
    if "ready" in word:
        health.missing = [role for role, ready in word["ready"].items() if not ready]
        if relay is not None:
            relay.up = "web" not in health.missing
    if "stalled" in word:
        health.stalled = word["stalled"]
    if "restarted" in word:
        telemetry.RESTARTS.add(1, word["restarted"])
    telemetry.take_over(word.get("figures") or {})


async def _open_log(settings: Settings, glance: Glance) -> SegmentWriter:
    """Own the log; wait a little for the process of a server that is just ending."""
    try:
        applied, _ = glance.progress()
    except Unreadable as error:
        raise CannotRunError(str(error)) from error
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            writer = SegmentWriter.open(
                _log_in(settings),
                segment_bytes=settings.log_segment_bytes,
                max_waiting_bytes=settings.log_waiting_bytes,
                floor=applied,
            )
        except LogLocked as error:
            if monotonic() > deadline:
                raise CannotRunError(f"{error}: a server or an import runs there; stop that one first") from None
            await asyncio.sleep(0.05)
            continue
        found = writer.recovered
        if found.cut or found.missing:
            _log.warning("log_recovered", end=found.end, cut=found.cut, saved=str(found.saved), missing=found.missing)
        return writer


async def _open_mail(settings: Settings, writer: SegmentWriter | None, keys: KeySnapshot) -> lmtp.Listener | None:
    """Listen for mail where that is set. Raises CannotRunError."""
    if writer is None or settings.lmtp is None:
        return None
    try:
        listening = lmtp.bind(lmtp_place(settings.lmtp))
    except OSError as error:
        raise CannotRunError(f"cannot listen for mail at {settings.lmtp}: {error.strerror or error}") from None
    return await lmtp.listen(listening, Mailroom(writer, keys, now_ms, settings.contact_forms))


class _Sources:
    """The sources as the door knows them, read again only where a definition has changed: it asks twice a second.

    With them it looks after who is kept out, and after the counts of what was refused for that.
    """

    def __init__(self, glance: Glance, keys: KeySnapshot) -> None:
        self._glance = glance
        self._keys = keys
        self._kept_out: object = None
        self._version = -1
        self._known: list[Source] = []

    def load(self) -> list[Source]:
        version = self._glance.definitions_version()
        if version != self._version:
            self._known = [
                Source(
                    id=row.id,
                    name=row.name,
                    type=cast("SourceType", row.type),
                    enabled=row.enabled,
                    write_keys=row.keys,
                    rate_limit=row.rate_limit,
                    identity_secret=row.identity_secret,
                )
                for row in self._glance.sources()
            ]
            self._version = version
        self._look_after_privacy()
        return self._known

    def _look_after_privacy(self) -> None:
        """Where a database cannot be read or written just now, new keys work all the same."""
        counts = self._keys.refusals.take()
        try:
            version = self._glance.suppressed_version()
            if version != self._kept_out:
                self._keys.kept_out = KeptOut(self._glance.account_key(), self._glance.suppressed())
                self._kept_out = version
            if counts:
                self._glance.count_refusals(counts, Code.SUPPRESSED.value)
        except Unreadable as error:
            self._keys.refusals.put_back(counts)
            _log.warning("suppressions_not_refreshed", reason=str(error))


def _door_options(settings: Settings) -> door.DoorOptions:
    return door.DoorOptions(
        body_seconds=settings.body_timeout,
        browser_package=browser_package(settings),
        public_url=settings.public_url,
        trusted_proxies=tuple(map(str, settings.trusted_proxies)),
    )
