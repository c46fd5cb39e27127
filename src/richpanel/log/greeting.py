"""What a NATS server says of itself to whoever connects, before it wants to know who that is."""

import json
import socket
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORT: Final = 4222
_SECONDS: Final = 3.0
_MOST_BYTES: Final = 65_536


class Greeting(NamedTuple):
    """The server as it presents itself."""

    name: str
    version: str
    has_jetstream: bool
    max_payload: int
    """Bytes that a message may have."""


def greeting(server: str) -> Greeting:
    """Connect to `nats://host:port`, and read what it says. Raises OSError, also where it is no NATS server."""
    parts = urlsplit(server)
    with socket.create_connection((parts.hostname or "", parts.port or DEFAULT_PORT), timeout=_SECONDS) as connection:
        said = b""
        while b"\n" not in said and len(said) < _MOST_BYTES:
            piece = connection.recv(_MOST_BYTES)
            if not piece:
                break
            said += piece
    word, _, info = said.partition(b"\n")[0].partition(b" ")
    try:
        told: dict[str, Any] = json.loads(info) if word == b"INFO" else {}
    except ValueError:
        told = {}
    if "version" not in told:
        raise OSError("what answers there is no NATS server")
    return Greeting(
        str(told.get("server_name", "")), str(told["version"]), bool(told.get("jetstream")), int(told["max_payload"])
    )


def place_of(server: str) -> str:
    """Give a server's host and port, without who connects."""
    parts = urlsplit(server)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or DEFAULT_PORT}"
