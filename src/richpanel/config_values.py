"""How the values of settings are read, from a text or from TOML, and how they are shown (`config` is their table).

Each gives the value, or raises ValueError, which says what it must be.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import inf
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from richpanel.log.address import SCHEMES as NATS_SCHEMES
from richpanel.log.address import address_of

HIDDEN: Final = "(hidden)"
NEVER: Final = "never"
Network = IPv4Network | IPv6Network
_PASSWORD: Final = re.compile(r"(?<=password=).*", re.IGNORECASE)


def read_text(value: object) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def read_path(value: object) -> Path:
    """Read a path; `~` is the home directory."""
    return value if isinstance(value, Path) else Path(read_text(value)).expanduser()


def read_integer(least: int, most: int) -> Callable[[object], int]:
    """Give what reads a whole number from `least` to `most`."""

    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def read_seconds(value: object) -> float:
    """Read a number of seconds above 0."""
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if isinstance(value, bool) or not 0 < number < 1e9:
        raise ValueError("must be a number of seconds above 0")
    return number


def read_age(value: object) -> float:
    """Read a number of seconds, or `never`: infinity."""
    if value in (NEVER, inf):
        return inf
    try:
        return read_seconds(value)
    except ValueError:
        raise ValueError(f"must be a number of seconds above 0, or {NEVER}") from None


def read_time_of_day(value: object) -> str:
    """Read a time of day, such as 03:00, or `never`."""
    text = read_text(value)
    if text != NEVER and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"must be a time of day in UTC, such as 03:00, or {NEVER}")
    return text


def read_switch(value: object) -> bool:
    """Read true or false."""
    if isinstance(value, bool):
        return value
    found = {"true": True, "false": False}.get(str(value).strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def read_choice(*choices: str) -> Callable[[object], str]:
    """Give what reads one of some texts."""

    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return read


def read_url(value: object) -> str:
    """Read the URL of a web server, without a slash at its end."""
    text = read_text(value).rstrip("/")
    if not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return text


def read_networks(value: object) -> tuple[Network, ...]:
    """Read addresses and networks."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be addresses or networks, with commas between them")
    return tuple(ip_network(str(part).strip()) for part in parts if str(part).strip())


_LMTP: Final = "must be HOST:PORT, such as 127.0.0.1:2424, or unix:PATH"


def read_lmtp(value: object) -> str:
    """Read where LMTP is spoken (`lmtp_place`)."""
    text = read_text(value)
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:")).expanduser().absolute()
        if path.is_dir() or len(str(path).encode()) > 100:  # The system's own limit is 107.
            raise ValueError(f"{_LMTP}, the path of a socket, of 100 bytes at the most")
        return f"unix:{path}"
    host, _, port = text.rpartition(":")
    if not host.strip("[]") or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise ValueError(_LMTP)
    if int(port) == 25:
        raise ValueError("port 25 is SMTP's: a mail server would be taken in (RFC 2033, 5)")
    return text


def lmtp_place(text: str) -> tuple[str, int] | Path:
    """Take the setting `lmtp` apart: (host, port), or the path of a Unix socket."""
    if text.startswith("unix:"):
        return Path(text.removeprefix("unix:"))
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def read_addresses(value: object) -> tuple[str, ...]:
    """Read e-mail addresses, in lower case."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be e-mail addresses, with commas between them")
    found = tuple(str(part).strip().lower() for part in parts if str(part).strip())
    if wrong := next((address for address in found if not 0 < address.find("@") < len(address) - 1), None):
        raise ValueError(f"{wrong} is no e-mail address")
    return found


def read_mail_address(value: object) -> str:
    """Read one e-mail address."""
    found = read_addresses(read_text(value))
    if len(found) != 1 or any(ord(each) < 33 for each in found[0]):
        raise ValueError("must be one e-mail address")
    return found[0]


def read_smtp_url(value: object) -> str:
    """Read where mail is handed over."""
    text = read_text(value)
    try:
        parts = urlsplit(text)
        if parts.scheme in ("smtp", "smtps") and parts.hostname and (parts.port is None or parts.port):
            return text
    except ValueError:
        pass
    raise ValueError("must be smtp://HOST:PORT or smtps://HOST:PORT, with USER:PASSWORD@ before the host if need be")


def read_database_url(value: object) -> str:
    """Read a URL of PostgreSQL's."""
    scheme, mark, rest = read_text(value).partition("://")
    if not mark or scheme not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    return f"postgresql://{rest}"


def read_log_url(value: object) -> str:
    """Read a URL of NATS JetStream's."""
    text = read_text(value)
    address_of(text)
    return text


def without_secrets(url: object) -> str:
    """Write a URL as it may be shown: without passwords, and without what NATS takes for a token."""
    if url is None:
        return shown(url)
    scheme, _, rest = str(url).partition("://")
    places, mark, query = rest.partition("?")
    # A password of NATS's has no comma, and PostgreSQL's several hosts have one user.
    hidden = ",".join(map(_hidden, places.split(",") if scheme in NATS_SCHEMES else [places]))
    said = "&".join(_PASSWORD.sub(HIDDEN, part) for part in query.split("&"))
    return f"{scheme}://{hidden}{mark}{said}"


def _hidden(place: str) -> str:
    who, at, host = place.rpartition("@")
    scheme, mark, who = who.rpartition("://")
    user, colon, _ = who.partition(":")
    return f"{scheme}{mark}{user if colon else ''}{colon}{HIDDEN}@{host}" if at else place


def shown(value: object) -> str:
    """Write a value as people set it."""
    if value is None:
        return "(unset)"
    if value == inf:
        return NEVER
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) or "(none)" if isinstance(value, tuple) else str(value)
