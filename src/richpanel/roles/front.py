"""The role at the port: the door and the log that it owns, the questions of health, and the way on to the pages."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from functools import partial
from typing import Any, Final

import uvloop

from richpanel import telemetry
from richpanel.config import Settings, browser_package
from richpanel.config_values import lmtp_place
from richpanel.log.contract import LogWriter
from richpanel.roles.clock import now_ms
from richpanel.roles.door_log import DoorLog
from richpanel.roles.keys import Sources
from richpanel.roles.logs import log_of
from richpanel.roles.parent import CannotRunError, Parent, on_stop
from richpanel.roles.port import Dispatch, nothing
from richpanel.roles.relay import Relay
from richpanel.roles.serving import Server, configure
from richpanel.source import asgi as door
from richpanel.source import lmtp
from richpanel.source.address import Proxies
from richpanel.source.keys import KeySnapshot
from richpanel.source.mailroom import Mailroom
from richpanel.store.glance import Glance, open_glance, secret_opener
from richpanel.web.health import PATHS, Health

_KEYS_SECONDS: Final = 0.5


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
        log = await opened.enter_async_context(log_of(settings, glance, sockets))
        health = _health(glance, log, settings)
        relay = None
        if settings.role != "ingest":
            relay = await opened.enter_async_context(Relay(sockets["web_path"], proxies, settings.body_timeout))
        keys = KeySnapshot()
        keys.open_secret = secret_opener(settings.data, settings.secret_key)
        load = Sources(glance, keys).load
        keys.replace(load())
        refreshing = asyncio.create_task(keys.refresh(load, _KEYS_SECONDS))
        opened.callback(refreshing.cancel)
        mail = await _open_mail(settings, log.writer, keys)
        if mail is not None:
            opened.push_async_callback(mail.close)
        ingest = door.build(log.writer, keys, _door_options(settings), now_ms) if log.writer else nothing
        dispatch = Dispatch(door.owns, ingest, PATHS, health, relay or nothing)
        config = configure(dispatch, keep_alive=settings.keep_alive, drain=settings.drain_timeout, tls=_tls(settings))
        server = Server(config, lambda: parent.say(ready=True))
        on_stop(partial(_stop, server, relay))
        parent.listen(partial(_hear, health, relay))
        await server.serve(sockets=[socket.socket(fileno=sockets["port"])])


def _health(glance: Glance, log: DoorLog, settings: Settings) -> Health:
    return Health(
        log=log.reader,
        log_state=log.state,
        glance=glance,
        refusal=lambda: log.refusal,
        waiting=lambda: log.waiting,
        now=now_ms,
        recovered=log.recovered,
        is_one_of_many=settings.log_url is not None,
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


def _stop(server: Server, relay: Relay | None) -> None:
    """Begin to stop."""
    server.stop()
    if relay is not None:
        relay.ending = True


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


async def _open_mail(settings: Settings, writer: LogWriter | None, keys: KeySnapshot) -> lmtp.Listener | None:
    """Listen for mail where that is set. Raises CannotRunError."""
    if writer is None or settings.lmtp is None:
        return None
    try:
        listening = lmtp.bind(lmtp_place(settings.lmtp))
    except OSError as error:
        raise CannotRunError(f"cannot listen for mail at {settings.lmtp}: {error.strerror or error}") from None
    return await lmtp.listen(listening, Mailroom(writer, keys, now_ms, settings.contact_forms))


def _door_options(settings: Settings) -> door.DoorOptions:
    return door.DoorOptions(
        body_seconds=settings.body_timeout,
        browser_package=browser_package(settings),
        public_url=settings.public_url,
        trusted_proxies=tuple(map(str, settings.trusted_proxies)),
    )
