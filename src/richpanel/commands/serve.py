"""`richpanel serve`: bind the port, start the roles, say when they are ready, and stop them in order."""

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, field, make_dataclass
from os import environ, getpid
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from richpanel.commands.running import Running, forget, note
from richpanel.commands.sockets import PRIVATE, Sockets, listen, listening
from richpanel.commands.supervisor import ServerFailedError, Supervisor
from richpanel.config import Settings, as_options, read_settings, table, variable
from richpanel.config_values import shown
from richpanel.store import moved
from richpanel.store.revisions import is_ready

_ROLES: Final = {
    "all": ("front", "web", "process", "deliver", "engage"),
    "ingest": ("front",),
    "web": ("front", "web"),
    "process": ("process", "engage"),
    "deliver": ("deliver",),
}
_BUSY: Final = {"process": "processing", "deliver": "delivering"}
"""What a server says that listens nowhere."""
_PROBE_BYTES: Final = 65_536
"""A directory that does not take so much is no place to start in: databases and log would fail one after the other."""


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
    really: Annotated[
        bool, Parameter(negative=(), help="Go on with the files of an account that has moved to a cluster.")
    ] = False,
) -> None:
    """Run the server until it is told to stop."""
    settings = read_settings(asdict(options) if options is not None else {}, environ).settings
    try:
        _serve(settings, demo=demo, really=really)
    except ServerFailedError as error:
        sys.stderr.write(f"richpanel: {error}\n")
        sys.exit(1)


def _serve(settings: Settings, *, demo: bool, really: bool) -> None:
    roles = _ROLES[settings.role]
    data = _make_directory(settings.data)
    if settings.database_url is None:
        _not_moved(data, really=really)
    port = listen(settings.host, settings.port) if "front" in roles else None
    with listening(port, PRIVATE if settings.log_url is None else ("web",)) as sockets:
        _run(settings, roles, sockets, demo=demo, data=data)


def _not_moved(data: Path, *, really: bool) -> None:
    """See that the files are still the account, or are to be again. Raises ServerFailedError."""
    try:
        if really:
            moved.forget(data)
        elif (refusal := moved.refusal(data)) is not None:
            raise ServerFailedError(refusal)
    except (OSError, ValueError) as error:
        raise ServerFailedError(str(error)) from None


def _run(settings: Settings, roles: tuple[str, ...], sockets: Sockets, *, demo: bool, data: Path) -> None:
    """Prepare the data directory, and run the roles until told to stop."""
    port, url = sockets.port, _url(settings, sockets.port) if sockets.port else ""
    start = {"settings": as_options(settings), "sockets": sockets.told()}
    login = _prepare(settings, start, with_login=not demo and settings.role != "ingest")
    supervisor = Supervisor(roles, start, sockets.descriptors, settings.drain_timeout)
    shop, noted = None, False
    try:
        supervisor.start()
        if not supervisor.stopping:
            # Of a cluster there may be many on one directory, and commands need none of them.
            noted = settings.role in ("all", "ingest") and settings.log_url is None
            if noted:
                certificate = str(settings.tls_cert) if settings.tls_cert else None
                note(data, Running(getpid(), _local(url), certificate, settings.lmtp))
            _say(f"listening on {url}" if port else _BUSY[settings.role])
            if demo and port:
                shop = _start_shop(settings, _local(url))
            elif login is not None:
                _say(*(f"{name}: {value}" for name, value in login.items() if value))
        supervisor.run(port.close if port else None)
    finally:
        if noted:
            forget(data)
        if shop is not None:
            shop.terminate()
            shop.wait()


def _prepare(settings: Settings, start: Mapping[str, object], *, with_login: bool) -> Mapping[str, str] | None:
    """Have a process of its own make the data directory ready, where it is not; give the login that it made.

    Raises ServerFailedError.
    """
    if is_ready(settings.data, settings.database_url, secret_key=settings.secret_key, needs_login=with_login):
        return None
    command = [sys.executable, "-P", "-m", "richpanel.app", "prepare"]
    given = json.dumps({**start, "login": with_login}).encode() + b"\n"
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, check=False)
    said: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        said |= json.loads(line)
    if done.returncode != 0:
        reason = f"the data directory could not be made ready (code {done.returncode}); see the lines above"
        raise ServerFailedError(said.get("fatal", reason))
    return said.get("login")


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _make_directory(path: Path) -> Path:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = path / f".writable-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise ServerFailedError(f"cannot write to the data directory {path}: {error.strerror}") from None
    return path


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
