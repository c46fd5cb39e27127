"""Where a log on NATS JetStream is, as the setting `log_url` says it. Light, because the settings load it."""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

SCHEMES: Final = ("nats", "tls")
NAME: Final = "RICHPANEL"
MAX_BYTES: Final = 10 << 30
"""So much a stream holds at the most where nothing is said."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LEAST_BYTES: Final = 1 << 20
_MOST_REPLICAS: Final = 5
"""JetStream's own limit."""
_FORM: Final = "nats://HOST:PORT, several with commas, then ?stream=NAME&max_bytes=BYTES&replicas=NUMBER where wanted"


class Address(NamedTuple):
    """The setting, taken apart (`log.stream.Stream` says what each is for)."""

    servers: tuple[str, ...]
    name: str = NAME
    max_bytes: int = MAX_BYTES
    replicas: int | None = None


def address_of(log_url: str) -> Address:
    """Take a `log_url` apart. Raises ValueError, whose text repeats nothing that may be secret."""
    places, _, query = log_url.partition("?")
    first = places.partition("://")[0]
    if "://" not in places or first not in SCHEMES:
        raise ValueError(f"must be {_FORM}")
    servers = tuple(_server(place.strip(), first) for place in places.split(","))
    said = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(said.keys() - {"stream", "max_bytes", "replicas"}):
        raise ValueError(f"has no parameter {unknown[0]}: stream, max_bytes and replicas are what there is")
    name = said.get("stream", NAME)
    if not _NAME.fullmatch(name):
        raise ValueError("stream must be a name of letters, digits, - and _")
    return Address(
        servers,
        name,
        _number(said, "max_bytes", _LEAST_BYTES, 1 << 60) or MAX_BYTES,
        _number(said, "replicas", 1, _MOST_REPLICAS),
    )


def _server(place: str, scheme: str) -> str:
    """Check one server; the scheme of the first one holds for those that name none."""
    text = place if "://" in place else f"{scheme}://{place}"
    try:
        parts = urlsplit(text)
        sound = parts.scheme in SCHEMES and parts.hostname and parts.port != 0 and parts.path in ("", "/")
        sound = sound and not parts.fragment
    except ValueError:  # Its text repeats what may be a password.
        sound = False
    if not sound:
        raise ValueError(f"must be {_FORM}")
    return text.rstrip("/")


def _number(said: dict[str, str], name: str, least: int, most: int) -> int | None:
    text = said.get(name)
    if text is None:
        return None
    if not text.isdecimal() or not least <= int(text) <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    return int(text)
