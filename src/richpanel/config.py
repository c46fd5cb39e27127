"""The one table of settings: each from an `--option`, else the environment, else `richpanel.toml`, else its default.

The stages know nothing of this: whoever wires them hands them plain values. `docs/reference/settings.md` is this table.
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from math import inf
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_type_hints

from richpanel.config_values import (
    HIDDEN,
    NEVER,
    Network,
    read_addresses,
    read_age,
    read_choice,
    read_database_url,
    read_integer,
    read_lmtp,
    read_log_url,
    read_mail_address,
    read_networks,
    read_path,
    read_seconds,
    read_smtp_url,
    read_switch,
    read_text,
    read_time_of_day,
    read_url,
    shown,
    without_secrets,
)

FILE: Final = "richpanel.toml"
PREFIX: Final = "RICHPANEL_"
_PACKAGE: Final = Path("node_modules", "@segment", "analytics-next")
Role = Literal["all", "ingest", "process", "deliver", "web"]
LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
Origin = Literal["option", "environment", "richpanel.toml", "default"]


class SettingError(ValueError):
    """A setting has a value that it cannot have, or there is no such setting."""


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

    data: Annotated[
        Path, Rule(read_path, "Directory that holds everything: the log, the databases, the secret key.")
    ] = Path("data")
    host: Annotated[str, Rule(read_text, "Address to listen on; 0.0.0.0 for every interface.")] = "127.0.0.1"
    port: Annotated[int, Rule(read_integer(0, 65535), "Port to listen on; 0 picks a free one.")] = 8000
    role: Annotated[Role, Rule(read_choice(*get_args(Role)), "Which part this server plays.")] = "all"
    public_url: Annotated[
        str | None, Rule(read_url, "URL under which clients reach the server, where that is behind a proxy.")
    ] = None
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Rule(
            read_networks, "Proxies whose X-Forwarded-For and -Proto are believed: addresses or networks, with commas."
        ),
    ] = ()
    tls_cert: Annotated[Path | None, Rule(read_path, "Certificate chain (PEM) to serve https with; needs tls_key.")] = (
        None
    )
    tls_key: Annotated[Path | None, Rule(read_path, "Private key (PEM) of the certificate.")] = None
    lmtp: Annotated[
        str | None,
        Rule(
            read_lmtp,
            "HOST:PORT or unix:PATH on which a mail server hands over customers' mail; unset: no mail is taken.",
        ),
    ] = None
    contact_forms: Annotated[
        tuple[str, ...],
        Rule(read_addresses, "Addresses that contact forms send from, with commas: their mail is of its Reply-To."),
    ] = ()
    smtp_url: Annotated[
        str | None,
        Rule(
            read_smtp_url,
            "smtp://USER:PASSWORD@HOST:PORT or smtps://...: the server that takes mail of alarms; unset: none is sent.",
            show=without_secrets,
        ),
    ] = None
    smtp_from: Annotated[
        str | None,
        Rule(read_mail_address, "Address that mail of alarms is from; unset: richpanel@ and this host's name."),
    ] = None
    allow_private_endpoints: Annotated[
        bool,
        Rule(read_switch, "true or false: whether a destination may be on a private network, or reached without TLS."),
    ] = False
    delivery_patience: Annotated[
        int,
        Rule(read_integer(4, 720), "Hours for which a delivery that fails is tried again before it is a dead letter."),
    ] = 4
    delivery_retention: Annotated[
        int,
        Rule(
            read_integer(1, 36_500), "Days for which finished deliveries and their tries are kept; dead letters stay."
        ),
    ] = 30
    audience_check_at: Annotated[
        str,
        Rule(
            read_time_of_day, "Time of day in UTC at which audiences are counted again from stored messages; or never."
        ),
    ] = "03:00"
    database_url: Annotated[
        str | None,
        Rule(
            read_database_url,
            "postgresql://... for a cluster of servers, with log_url; unset: SQLite in the data directory.",
            show=without_secrets,
        ),
    ] = None
    log_url: Annotated[
        str | None,
        Rule(
            read_log_url,
            "nats://HOST:PORT,...?stream=NAME&max_bytes=N&replicas=N (JetStream), with database_url; unset: files in "
            "the data directory.",
            show=without_secrets,
        ),
    ] = None
    analytics_js: Annotated[
        Path | None, Rule(read_path, "Directory of the npm package @segment/analytics-next; unset: see node_modules.")
    ] = None
    admin_password: Annotated[
        str | None,
        Rule(read_text, "Password of the login admin, which the first start makes; unset: made up.", secret=True),
    ] = None
    secret_key: Annotated[
        str | None,
        Rule(read_text, "Seals stored API Secrets, 32 characters or more; unset: the file secret.key.", secret=True),
    ] = None
    log_segment_bytes: Annotated[
        int, Rule(read_integer(1 << 20, 1 << 40), "Size at which a file of the log is sealed and the next one begun.")
    ] = 128 << 20
    log_waiting_bytes: Annotated[
        int, Rule(read_integer(1 << 20, 1 << 34), "Bytes that may wait for the disk before the door answers 429.")
    ] = 64 << 20
    log_archive_after: Annotated[
        float,
        Rule(read_age, "Seconds after which a sealed file of the log is compressed, once it is processed; or never."),
    ] = 3600.0
    log_retention: Annotated[
        int | None,
        Rule(
            read_integer(1, 36_500), "Days after which compressed files of the log are dropped; unset: kept for ever."
        ),
    ] = None
    body_timeout: Annotated[float, Rule(read_seconds, "Seconds in which a request's body must arrive.")] = 10.0
    keep_alive: Annotated[float, Rule(read_seconds, "Seconds for which an idle connection is kept.")] = 75.0
    drain_timeout: Annotated[
        float, Rule(read_seconds, "Seconds that requests under way get when the server is told to stop.")
    ] = 10.0
    session_days: Annotated[int, Rule(read_integer(1, 3650), "Days for which a sign-in to the pages lasts.")] = 14
    audit_days: Annotated[
        int,
        Rule(read_integer(1, 36_500), "Days for which the audit log keeps who changed what and who looked at whom."),
    ] = 365
    log_format: Annotated[
        LogFormat,
        Rule(read_choice(*get_args(LogFormat)), "Form of the program's own log; auto: text on a terminal, else JSON."),
    ] = "auto"
    log_level: Annotated[LogLevel, Rule(read_choice(*get_args(LogLevel)), "How much is logged.")] = "info"


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


def variable(name: str) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + name.upper()


def read_settings(options: Mapping[str, object], environment: Mapping[str, str]) -> Effective:
    """Put the settings together; an option that is None was not given. Raises SettingError, which names the setting."""
    data = options.get("data") or environment.get(variable("data")) or Settings.data
    given = _from_file(read_path(data) / FILE)
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
