"""The role that speaks HTTP: the door, the pages and the REST API on one port, and the log that it owns."""

import asyncio
import socket
import ssl
from functools import partial
from time import monotonic, time
from typing import Any, Final, cast

import uvloop
from sqlalchemy import Connection, Engine

from richpanel import __version__, telemetry
from richpanel.config import Settings, browser_package, lmtp_place
from richpanel.log.contract import LogLocked
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.roles.parent import CannotRunError, Parent, on_stop
from richpanel.source import asgi as door
from richpanel.source import lmtp
from richpanel.source.address import Proxies
from richpanel.source.answers import Scope
from richpanel.source.keys import KeySnapshot, Source
from richpanel.source.mailroom import Mailroom
from richpanel.store.connectors import list_connectors
from richpanel.store.database import open_engine, reading
from richpanel.store.definitions import definitions_version
from richpanel.store.directory import DataDirectory, prepare, prepare_login
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import list_sources
from richpanel.store.status import processed
from richpanel.web import app as web
from richpanel.web.health import PATHS, Health
from richpanel.web.serving import Dispatch, Server, configure, nothing

LOCK_SECONDS: Final = 5.0
"""How long a start waits for the log of a server that is just ending."""
_KEYS_SECONDS: Final = 0.5
_log = telemetry.get_logger(__name__)


def run(settings: Settings, parent: Parent, listening: socket.socket, *, with_login: bool) -> None:
    """Serve until told to stop; requests under way are answered first. Raises CannotRunError.

    The role `ingest` is this without pages and API, the role `web` without the door and the log.

    `with_login` makes the first login where there is none, and tells the parent.
    """
    directory = DataDirectory(settings.data)
    box = prepare(directory, secret_key=settings.secret_key)
    login = prepare_login(directory, settings.admin_password) if with_login else None
    if login is not None:
        parent.say(login={"login": login.login, "password": None if settings.admin_password else login.password})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, directory, box, parent, listening))


async def _serve(
    settings: Settings, directory: DataDirectory, box: SecretBox, parent: Parent, listening: socket.socket
) -> None:
    state = open_engine(directory.state_url, read_only=True, cache_mib=2)
    account = open_engine(directory.account_url, read_only=True, cache_mib=1)
    writer = await _open_log(settings, directory, state) if settings.role != "web" else None
    reader = SegmentReader(directory.log)
    load = _Sources(account).load
    keys = KeySnapshot(load())
    mail = await _open_mail(settings, writer, keys)
    refreshing = asyncio.create_task(keys.refresh(load, _KEYS_SECONDS))
    health = Health(
        log=SegmentReader(directory.log),  # Its own: a reader reads on one thread at a time.
        log_directory=directory.log,
        state=state,
        refusal=lambda: writer.refusal if writer else None,
        waiting=lambda: writer.waiting if writer else 0,
        now=now_ms,
        source_names=lambda: _source_names(account),
    )
    ingest = door.build(writer, keys, _door_options(settings), now_ms) if writer else nothing
    site = web.build(_web_options(settings, directory, box, writer, reader)) if settings.role != "ingest" else nothing
    dispatch = Dispatch(door.owns, ingest, PATHS, health, site)
    config = configure(dispatch, keep_alive=settings.keep_alive, drain=settings.drain_timeout, tls=_tls(settings))
    server = Server(config, lambda: parent.say(ready=True))
    on_stop(partial(setattr, server, "should_exit", True))
    parent.listen(partial(_hear, health))
    try:
        await server.serve(sockets=[listening])
    finally:
        refreshing.cancel()
        if mail:
            await mail.close()
        if writer:
            await writer.close()
        for engine in (state, account):
            engine.dispose()
        for log in (reader, health.log):
            log.close()


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


def now_ms() -> int:
    """Give the time in ms UTC."""
    return int(time() * 1000)


def _hear(health: Health, word: dict[str, Any]) -> None:
    """Take the parent's news: whether the processing runs, and what it has counted."""
    health.process_up = bool(word["process"])
    if word.get("restarted"):
        telemetry.RESTARTS.add(1, word["restarted"])
    telemetry.take_over(word.get("figures") or {})


async def _open_log(settings: Settings, directory: DataDirectory, state: Engine) -> SegmentWriter:
    """Own the log; wait a little for the process of a server that is just ending."""
    with reading(state) as connection:
        applied = processed(connection).position
    deadline = monotonic() + LOCK_SECONDS
    while True:
        try:
            writer = SegmentWriter.open(
                directory.log,
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
    """The sources as the door knows them, read again only where a definition has changed: it asks twice a second."""

    def __init__(self, account: Engine) -> None:
        self._account = account
        self._version = -1
        self._known: list[Source] = []

    def load(self) -> list[Source]:
        with reading(self._account) as connection:
            version = definitions_version(connection)
            if version != self._version:
                self._known, self._version = _load_sources(connection), version
        return self._known


def _load_sources(connection: Connection) -> list[Source]:
    """Read the sources; a connector's API Key opens the connector's own."""
    api_keys = {row.source_number: (row.api_key,) for row in list_connectors(connection)}
    return [
        Source(
            id=row.id,
            name=row.name,
            type=row.type,
            enabled=row.enabled,
            write_keys=api_keys.get(row.number, ()) if row.type == "segment" else row.write_keys,
            rate_limit=row.rate_limit,
            identity_secret=row.identity_secret,
        )
        for row in list_sources(connection)
    ]


def _source_names(account: Engine) -> dict[int, str]:
    with reading(account) as connection:
        return {source.number: source.id for source in list_sources(connection, deleted=True)}


def _door_options(settings: Settings) -> door.DoorOptions:
    return door.DoorOptions(
        body_seconds=settings.body_timeout,
        browser_package=browser_package(settings),
        public_url=settings.public_url,
        trusted_proxies=tuple(map(str, settings.trusted_proxies)),
    )


def _web_options(
    settings: Settings, directory: DataDirectory, box: SecretBox, writer: SegmentWriter | None, reader: SegmentReader
) -> web.WebOptions:
    proxies = Proxies(tuple(map(str, settings.trusted_proxies)))
    return web.WebOptions(
        state_url=directory.state_url,
        account_url=directory.account_url,
        log_writer=writer,
        log_reader=reader,
        secrets=box,
        now=now_ms,
        version=__version__,
        secure_cookies=settings.tls_cert is not None or (settings.public_url or "").startswith("https:"),
        session_seconds=settings.session_days * 86_400,
        public_url=settings.public_url,
        client=lambda scope: proxies.client(cast("Scope", scope)) or "",
        origin=lambda scope: proxies.origin(cast("Scope", scope)),
    )
