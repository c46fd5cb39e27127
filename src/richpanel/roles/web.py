"""The role that shows: the pages and the REST API, on a Unix socket to which the front hands requests on."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, Final

import uvloop

from richpanel import __version__
from richpanel.config import Settings
from richpanel.log.contract import LogReader, LogWriter
from richpanel.roles import forwarded
from richpanel.roles.clock import now_ms
from richpanel.roles.lines import Lines
from richpanel.roles.pages_log import open_pages_reader, open_pages_writer
from richpanel.roles.parent import CannotRunError, Parent, on_stop
from richpanel.roles.sampling import sampling
from richpanel.roles.serving import Server, configure
from richpanel.store.directory import DataDirectory
from richpanel.store.secrets import SecretKeyError, open_secrets
from richpanel.web import app as web

_KEEP_SECONDS: Final = 75.0
"""The front gives its idle connections up long before (`roles/relay.py`)."""


def run(settings: Settings, parent: Parent, sockets: Mapping[str, Any]) -> None:
    """Serve until told to stop; requests under way are answered first. Raises CannotRunError."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, parent, sockets))


async def _serve(settings: Settings, parent: Parent, sockets: Mapping[str, Any]) -> None:
    directory = DataDirectory(settings.data, settings.database_url, settings.log_url)
    reader = open_pages_reader(settings)
    writer = open_pages_writer(settings, sockets, reader)
    try:
        site = web.build(_options(settings, directory, writer, reader))
    except SecretKeyError as error:
        raise CannotRunError(str(error)) from error
    config = configure(site, keep_alive=_KEEP_SECONDS, drain=settings.drain_timeout, lifespan=True)
    server = Server(config, lambda: parent.say(ready=True))
    on_stop(server.stop)
    parent.listen()
    try:
        with sampling(settings, directory):
            await server.serve(sockets=[socket.socket(fileno=sockets["web"])])
    finally:
        if writer:
            await writer.close()
        reader.close()


def _options(
    settings: Settings, directory: DataDirectory, writer: LogWriter | None, reader: LogReader
) -> web.WebOptions:
    return web.WebOptions(
        state_url=directory.state_url,
        account_url=directory.account_url,
        delivery_url=directory.delivery_url,
        log_writer=writer,
        log_reader=reader,
        secrets=open_secrets(directory.path, settings.secret_key),
        now=now_ms,
        version=__version__,
        secure_cookies=settings.tls_cert is not None or (settings.public_url or "").startswith("https:"),
        allow_private_endpoints=settings.allow_private_endpoints,
        session_seconds=settings.session_days * 86_400,
        audit_days=settings.audit_days,
        public_url=settings.public_url,
        lines=Lines(settings, writer),
        client=forwarded.client,
        origin=forwarded.origin,
    )
