"""`richpanel serve`: bind the port, start the roles, say when they are ready, and stop them in order."""

import errno
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, field, make_dataclass
from os import environ, getpid
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from richpanel.commands.running import Running, forget, note
from richpanel.commands.supervisor import ServerFailedError, Supervisor
from richpanel.config import Settings, as_options, read_settings, shown, table, variable

_ROLES: Final = {"all": ("front", "process"), "ingest": ("front",), "web": ("front",), "process": ("process",)}
_BIND_SECONDS: Final = 2.0
"""How long a port is waited for that the processes of a killed server may still hold."""
_BACKLOG: Final = 2048


def _options() -> type:
    """Make the options of `serve` from the table of settings: what is not given is None."""
    rows = []
    for name, rule in table().items():
        if rule.secret:  # Not on a command line, where everybody on the machine can read it.
            continue
        default = shown(getattr(Settings, name))
        text = f"{rule.help} [{variable(name)}; default: {default}]"
        rows.append((name, Annotated[str | None, Parameter(help=text, show_default=False)], field(default=None)))
    # With its module, or cyclopts takes it for one of Python's own types.
    return make_dataclass("Options", rows, frozen=True, kw_only=True, namespace={"__module__": __name__})


def _with_options(verb: Callable[..., None]) -> Callable[..., None]:
    verb.__annotations__["options"] = Annotated[_options() | None, Parameter(name="*")]
    return verb


@_with_options
def serve(
    *,
    options: Any = None,
    demo: Annotated[
        bool, Parameter(negative=(), help="Add a sample shop: sent once, through Segment's Python SDK.")
    ] = False,
) -> None:
    """Run the server until it is told to stop."""
    settings = read_settings(asdict(options) if options is not None else {}, environ).settings
    try:
        _serve(settings, demo=demo)
    except ServerFailedError as error:
        sys.stderr.write(f"richpanel: {error}\n")
        sys.exit(1)


def _serve(settings: Settings, *, demo: bool) -> None:
    roles = _ROLES.get(settings.role)
    if roles is None:
        raise ServerFailedError(f"this version has no server for --role {settings.role} alone: leave --role out")
    data = _make_directory(settings.data)
    listening = _listen(settings.host, settings.port) if "front" in roles else None
    url = _url(settings, listening) if listening else ""
    start = {
        "settings": as_options(settings),
        "socket": listening.fileno() if listening else None,
        "login": not demo and settings.role != "ingest",
    }
    inherited = (listening.fileno(),) if listening else ()
    supervisor = Supervisor(roles, start, inherited, settings.drain_timeout)
    shop, noted = None, False
    try:
        supervisor.start()
        if not supervisor.stopping:
            noted = settings.role in ("all", "ingest")
            if noted:
                certificate = str(settings.tls_cert) if settings.tls_cert else None
                note(data, Running(getpid(), _local(url), certificate, settings.lmtp))
            _say(f"listening on {url}" if listening else "processing")
            if demo and listening:
                shop = _start_shop(settings, _local(url))
            elif supervisor.login is not None:
                _say(*(f"{name}: {value}" for name, value in supervisor.login.items() if value))
        supervisor.run(listening.close if listening else None)
    finally:
        if noted:
            forget(data)
        if shop is not None:
            shop.terminate()
            shop.wait()


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _make_directory(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / f".writable-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ServerFailedError(f"cannot write to the data directory {path}: {error.strerror}") from None
    return path


def _listen(host: str, port: int) -> socket.socket:
    """Bind the port; what a killed server's processes still hold is waited for."""
    deadline = time.monotonic() + _BIND_SECONDS
    while True:
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
            return socket.create_server((host, port), family=family, backlog=_BACKLOG)
        except socket.gaierror as error:
            raise ServerFailedError(f"there is no address {host!r} to listen on: {error.strerror}") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            reason = "it is taken; --port 0 picks a free one" if error.errno == errno.EADDRINUSE else error.strerror
            raise ServerFailedError(f"cannot listen on {host} port {port}: {reason}") from None


def _url(settings: Settings, listening: socket.socket) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_cert else 'http'}://{host}:{listening.getsockname()[1]}"


def _local(url: str) -> str:
    """Give the URL by which this machine reaches a server that listens on every interface."""
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _start_shop(settings: Settings, url: str) -> "subprocess.Popen[bytes]":
    """Run the demo's shop beside the server. It prints the lines of contract.md, then sends."""
    command = [sys.executable, "-P", "-m", "richpanel.commands.demo"]
    shop = subprocess.Popen(command, stdin=subprocess.PIPE)
    if shop.stdin is not None:
        with suppress(BrokenPipeError):
            shop.stdin.write(json.dumps({"settings": as_options(settings), "url": url}).encode() + b"\n")
            shop.stdin.flush()
    return shop
