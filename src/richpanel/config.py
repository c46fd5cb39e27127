"""The one table of settings: each from an `--option`, else the environment, else `richpanel.toml`, else its default.

The stages know nothing of this: whoever wires them hands them plain values. `docs/reference/settings.md` is this table.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_type_hints
from urllib.parse import urlsplit

from richpanel.log.address import SCHEMES as NATS_SCHEMES
from richpanel.log.address import address_of

FILE: Final = "richpanel.toml"
PREFIX: Final = "RICHPANEL_"
HIDDEN: Final = "(hidden)"
NEVER: Final = "never"
_PASSWORD: Final = re.compile(r"(?<=password=).*", re.IGNORECASE)
_PACKAGE: Final = Path("node_modules", "@segment", "analytics-next")
Role = Literal["all", "ingest", "process", "deliver", "web"]
LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
Origin = Literal["option", "environment", "richpanel.toml", "default"]
Network = IPv4Network | IPv6Network


class SettingError(ValueError):
    """A setting has a value that it cannot have, or there is no such setting."""


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text")
    return value.strip()


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value)).expanduser()


def _integer(least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not text.isdecimal() or not least <= int(text) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def _seconds(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        number = 0.0
    if isinstance(value, bool) or not 0 < number < 1e9:
        raise ValueError("must be a number of seconds above 0")
    return number


def _age(value: object) -> float:
    if value in (NEVER, inf):
        return inf
    try:
        return _seconds(value)
    except ValueError:
        raise ValueError(f"must be a number of seconds above 0, or {NEVER}") from None


def _time_of_day(value: object) -> str:
    text = _text(value)
    if text != NEVER and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError(f"must be a time of day in UTC, such as 03:00, or {NEVER}")
    return text


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "false": False}.get(str(value).strip().lower())
    if found is None:
        raise ValueError("must be true or false")
    return found


def _choice(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return read


def _url(value: object) -> str:
    text = _text(value).rstrip("/")
    if not text.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return text


def _networks(value: object) -> tuple[Network, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be addresses or networks, with commas between them")
    return tuple(ip_network(str(part).strip()) for part in parts if str(part).strip())


_LMTP: Final = "must be HOST:PORT, such as 127.0.0.1:2424, or unix:PATH"


def _lmtp(value: object) -> str:
    text = _text(value)
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


def _addresses(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be e-mail addresses, with commas between them")
    found = tuple(str(part).strip().lower() for part in parts if str(part).strip())
    if wrong := next((address for address in found if not 0 < address.find("@") < len(address) - 1), None):
        raise ValueError(f"{wrong} is no e-mail address")
    return found


def _mail_address(value: object) -> str:
    found = _addresses(_text(value))
    if len(found) != 1 or any(ord(each) < 33 for each in found[0]):
        raise ValueError("must be one e-mail address")
    return found[0]


def _smtp_url(value: object) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        if parts.scheme in ("smtp", "smtps") and parts.hostname and (parts.port is None or parts.port):
            return text
    except ValueError:
        pass
    raise ValueError("must be smtp://HOST:PORT or smtps://HOST:PORT, with USER:PASSWORD@ before the host if need be")


def _database_url(value: object) -> str:
    scheme, mark, rest = _text(value).partition("://")
    if not mark or scheme not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    return f"postgresql://{rest}"


def _log_url(value: object) -> str:
    text = _text(value)
    address_of(text)
    return text


def _without_secrets(url: object) -> str:
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


class Rule(NamedTuple):
    """A row of the table: how a value is read from a text or from TOML, its line of help, whether it is ever shown.

    `show` writes the value for people, where it may hold a secret.
    """

    read: Callable[[object], object]
    help: str
    secret: bool = False
    show: Callable[[object], str] | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting there is. The environment variable of `public_url` is `RICHPANEL_PUBLIC_URL`, and so on."""

    data: Annotated[Path, Rule(_path, "Directory that holds everything: the log, the databases, the secret key.")] = (
        Path("data")
    )
    host: Annotated[str, Rule(_text, "Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1"
    port: Annotated[int, Rule(_integer(0, 65535), "Port to listen on; 0 picks a free one.")] = 8000
    role: Annotated[Role, Rule(_choice(*get_args(Role)), "Which part this server plays.")] = "all"
    public_url: Annotated[
        str | None, Rule(_url, "URL under which clients reach the server, where that is behind a proxy.")
    ] = None
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Rule(_networks, "Proxies whose X-Forwarded-For and -Proto are believed: addresses or networks, with commas."),
    ] = ()
    tls_cert: Annotated[Path | None, Rule(_path, "Certificate chain (PEM) to serve https with; needs tls_key.")] = None
    tls_key: Annotated[Path | None, Rule(_path, "Private key (PEM) of the certificate.")] = None
    lmtp: Annotated[
        str | None,
        Rule(
            _lmtp, "HOST:PORT or unix:PATH on which a mail server hands over customers' mail; unset: no mail is taken."
        ),
    ] = None
    contact_forms: Annotated[
        tuple[str, ...],
        Rule(_addresses, "Addresses that contact forms send from, with commas: their mail is of its Reply-To."),
    ] = ()
    smtp_url: Annotated[
        str | None,
        Rule(
            _smtp_url,
            "smtp://USER:PASSWORD@HOST:PORT or smtps://...: the server that takes mail of alarms; unset: none is sent.",
            show=_without_secrets,
        ),
    ] = None
    smtp_from: Annotated[
        str | None, Rule(_mail_address, "Address that mail of alarms is from; unset: richpanel@ and this host's name.")
    ] = None
    allow_private_endpoints: Annotated[
        bool,
        Rule(_switch, "true or false: whether a destination may be on a private network, or reached without TLS."),
    ] = False
    delivery_patience: Annotated[
        int,
        Rule(_integer(4, 720), "Hours for which a delivery that fails is tried again before it is a dead letter."),
    ] = 4
    delivery_retention: Annotated[
        int,
        Rule(_integer(1, 36_500), "Days for which finished deliveries and their tries are kept; dead letters stay."),
    ] = 30
    audience_check_at: Annotated[
        str,
        Rule(_time_of_day, "Time of day in UTC at which audiences are counted again from stored messages; or never."),
    ] = "03:00"
    database_url: Annotated[
        str | None,
        Rule(
            _database_url,
            "postgresql://... for a cluster of servers, with log_url; unset: SQLite in the data directory.",
            show=_without_secrets,
        ),
    ] = None
    log_url: Annotated[
        str | None,
        Rule(
            _log_url,
            "nats://HOST:PORT,...?stream=NAME&max_bytes=N&replicas=N (JetStream), with database_url; unset: files in "
            "the data directory.",
            show=_without_secrets,
        ),
    ] = None
    analytics_js: Annotated[
        Path | None, Rule(_path, "Directory of the npm package @segment/analytics-next; unset: see node_modules.")
    ] = None
    admin_password: Annotated[
        str | None,
        Rule(_text, "Password of the login admin, which the first start makes; unset: made up.", secret=True),
    ] = None
    secret_key: Annotated[
        str | None,
        Rule(_text, "Seals stored API Secrets, 32 characters or more; unset: the file secret.key.", secret=True),
    ] = None
    log_segment_bytes: Annotated[
        int, Rule(_integer(1 << 20, 1 << 40), "Size at which a file of the log is sealed and the next one begun.")
    ] = 128 << 20
    log_waiting_bytes: Annotated[
        int, Rule(_integer(1 << 20, 1 << 34), "Bytes that may wait for the disk before the door answers 429.")
    ] = 64 << 20
    log_archive_after: Annotated[
        float, Rule(_age, "Seconds after which a sealed file of the log is compressed, once it is processed; or never.")
    ] = 3600.0
    log_retention: Annotated[
        int | None,
        Rule(_integer(1, 36_500), "Days after which compressed files of the log are dropped; unset: kept for ever."),
    ] = None
    body_timeout: Annotated[float, Rule(_seconds, "Seconds in which a request's body must arrive.")] = 10.0
    keep_alive: Annotated[float, Rule(_seconds, "Seconds for which an idle connection is kept.")] = 75.0
    drain_timeout: Annotated[
        float, Rule(_seconds, "Seconds that requests under way get when the server is told to stop.")
    ] = 10.0
    session_days: Annotated[int, Rule(_integer(1, 3650), "Days for which a sign-in to the pages lasts.")] = 14
    audit_days: Annotated[
        int, Rule(_integer(1, 36_500), "Days for which the audit log keeps who changed what and who looked at whom.")
    ] = 365
    log_format: Annotated[
        LogFormat,
        Rule(_choice(*get_args(LogFormat)), "Form of the program's own log; auto: text on a terminal, else JSON."),
    ] = "auto"
    log_level: Annotated[LogLevel, Rule(_choice(*get_args(LogLevel)), "How much is logged.")] = "info"


def table() -> dict[str, Rule]:
    """Give the rule of each setting, in the order of the table."""
    hints = get_type_hints(Settings, include_extras=True)
    return {row.name: hints[row.name].__metadata__[0] for row in fields(Settings)}


@dataclass(frozen=True)
class Effective:
    """The settings in force, and where each came from."""

    settings: Settings
    origins: Mapping[str, Origin]

    def shown(self) -> list[tuple[str, str, Origin]]:
        """Give (name, value, origin) of each for people to read, secrets hidden."""
        rows = []
        for name, rule in table().items():
            value = getattr(self.settings, name)
            text = HIDDEN if rule.secret and value else (rule.show or shown)(value)
            rows.append((name, text, self.origins[name]))
        return rows


def shown(value: object) -> str:
    """Write a value as people set it."""
    if value is None:
        return "(unset)"
    if value == inf:
        return NEVER
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) or "(none)" if isinstance(value, tuple) else str(value)


def variable(name: str) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + name.upper()


def read_settings(options: Mapping[str, object], environment: Mapping[str, str]) -> Effective:
    """Put the settings together; an option that is None was not given. Raises SettingError, which names the setting."""
    data = options.get("data") or environment.get(variable("data")) or Settings.data
    given = _from_file(_path(data) / FILE)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for name, rule in table().items():
        value, origins[name] = _first_given(name, options, environment, given)
        if origins[name] != "default":
            values[name] = _read(name, rule, value, origins[name])
    settings = Settings(**values)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise SettingError("tls_cert and tls_key go together: give both or neither")
    if (settings.database_url is None) != (settings.log_url is None):
        missing = "log_url" if settings.log_url is None else "database_url"
        reason = "give both for a cluster of servers, or neither for one that keeps all in its data directory"
        raise SettingError(f"database_url and log_url go together, and {missing} is not set: {reason}")
    return Effective(settings, origins)


def _first_given(
    name: str, options: Mapping[str, object], environment: Mapping[str, str], given: Mapping[str, object]
) -> tuple[object, Origin]:
    if options.get(name) is not None:
        return options[name], "option"
    if environment.get(variable(name)):
        return environment[variable(name)], "environment"
    return (given[name], "richpanel.toml") if name in given else (None, "default")


def _read(name: str, rule: Rule, value: object, origin: Origin) -> Any:
    try:
        return rule.read(value)
    except ValueError as error:
        where = {"option": "--" + name.replace("_", "-"), "environment": variable(name)}
        raise SettingError(f"{where.get(origin, f'{name} in {origin}')}: {error}") from None


def _from_file(path: Path) -> dict[str, object]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"{path}: {error}") from None
    unknown = sorted(given.keys() - table().keys() | given.keys() & {"data"})
    if unknown:
        raise SettingError(f"{path}: there is no setting {unknown[0]!r} (see docs/reference/settings.md)")
    return given


def browser_package(settings: Settings) -> Path | None:
    """Find the folder of Segment's browser SDK: as set, else beside the working directory or the project."""
    if settings.analytics_js is not None:
        return settings.analytics_js
    places = [Path.cwd() / _PACKAGE, Path(__file__).parents[2] / _PACKAGE]
    return next((place for place in places if place.is_dir()), None)


def as_options(settings: Settings) -> dict[str, object]:
    """Give the settings as plain JSON values, such that `read_settings` of them gives the same: for a child process."""
    values: dict[str, object] = {}
    for name, value in asdict(settings).items():
        if value is not None and value != ():
            values[name] = ",".join(map(str, value)) if isinstance(value, tuple) else value
    return {
        name: str(value) if isinstance(value, Path) else NEVER if value == inf else value
        for name, value in values.items()
    }
