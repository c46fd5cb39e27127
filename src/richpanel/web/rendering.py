"""Pages: one Jinja environment, and the filters that show money, times, sizes and JSON. Every value is escaped."""

from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
from babel.numbers import UnknownCurrencyError, format_currency, format_decimal
from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup

from richpanel.core.codes import Code
from richpanel.core.device import browser_and_os
from richpanel.core.timestamps import EPOCH, iso
from richpanel.web.paths import segment
from richpanel.web.static import Assets

_BYTECODE: Final = Path(__file__).parent / "__pycache__"
_LOCALE: Final = "en_US"
_TINTS: Final = 6
_CODE_TEXTS: Final = {code.value: code.text for code in Code} | {
    "not_connected": "Its source was connected to no destination at the built-in account when it was decided.",
}


def money(amount: object, currency: str | None) -> str:
    """Write a decimal string as money ("$1,234.50"); what is no amount as a dash."""
    if amount is None:
        return "–"
    try:
        value = Decimal(str(amount))
    except InvalidOperation:
        return str(amount)
    if not value.is_finite() or abs(value) >= Decimal(10) ** 15:
        return f"{amount} {currency or ''}".strip()
    if currency is None or len(currency) != 3 or not currency.isascii() or not currency.isalpha():
        return f"{format_decimal(value, '#,##0.00', locale=_LOCALE)} {currency or ''}".strip()
    try:
        return str(format_currency(value, currency.upper(), locale=_LOCALE))
    except UnknownCurrencyError:
        return f"{value} {currency}"


def count(value: int | None) -> str:
    """Write a whole number with separators."""
    return "–" if value is None else f"{value:,}"


def moment(value: str | int | None, shape: str = "moment") -> Markup | str:
    """Write a time (ISO 8601 or ms UTC) as `<time>`: UTC here, in the reader's zone where our script runs.

    `shape`: full, day, moment, clock, second or ago.
    """
    if value is None:
        return "–"
    text = iso(value) if isinstance(value, int) else value
    try:
        date = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    if date <= EPOCH:
        return "–"
    forms = {"day": "%-d %b %Y", "clock": "%H:%M UTC", "second": "%H:%M:%S UTC", "full": "%-d %b %Y %H:%M:%S UTC"}
    shown = date.strftime(forms.get(shape, "%-d %b %Y %H:%M UTC"))
    return Markup('<time datetime="{}" data-as="{}">{}</time>').format(text, shape, shown)


def duration(seconds: float | None) -> str:
    """Write a length of time in its two largest units."""
    if seconds is None:
        return "–"
    left = int(seconds)
    parts = []
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {name}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def size(count_of_bytes: int) -> str:
    """Write a number of bytes, exactly where it is a short one."""
    if count_of_bytes < 10_000:
        return f"{count_of_bytes:,} B"
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB")):
        if count_of_bytes >= unit:
            return f"{count_of_bytes / unit:,.1f} {name}"
    return f"{count_of_bytes / 1024:,.1f} KB"


def pretty(value: object) -> str:
    """Write JSON on many lines. Raw JSON keeps its exact digits; what is no JSON is shown as it is."""
    raw = bytes(value) if isinstance(value, msgspec.Raw | bytes) else msgspec.json.encode(value)
    try:
        return msgspec.json.format(raw, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return raw.decode(errors="replace")


def flat(value: object) -> str:
    """Write one value of a trait or property on one line."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def initials(name: str | None) -> str:
    """Give the letters of an avatar."""
    words = [word for word in (name or "").partition("@")[0].replace(".", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "·"


def tint(value: object) -> int:
    """Choose an avatar's colour, the same for the same person."""
    return blake2b(str(value).encode("utf-8", "replace"), digest_size=1).digest()[0] % _TINTS


def web_link(value: object) -> Markup | str:
    """Link a URL that a customer sent if it is a web address, without telling that site where from; else show it."""
    text = str(value)
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return text
    return Markup('<a href="{}" rel="noreferrer noopener nofollow" target="_blank">{}</a>').format(text, text)


def short_url(value: object) -> str:
    """Write a URL as host and path; what is no web address as it is."""
    text = str(value)
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.scheme not in ("http", "https"):
        return text
    return f"{parts.netloc}{parts.path}".rstrip("/")


def code_text(code: str | None) -> str:
    """Say in a sentence what a code means."""
    return _CODE_TEXTS.get(code or "", code or "")


def query(path: str, **values: object) -> str:
    """Write a link to a page with the values that are set."""
    given = {name: str(value) for name, value in values.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


_FILTERS: Final = (
    *(money, count, moment, duration, size, pretty, flat, initials, tint, web_link, short_url, code_text, segment),
)


def load_all(env: Environment) -> None:
    """Load what the first visitor would wait for, a quarter of a second: templates, tables of money and of browsers."""
    for name in env.list_templates():
        env.get_template(name)
    money("1", "USD")
    browser_and_os("Mozilla/5.0")


class _Compiled(FileSystemBytecodeCache):
    """Compiled templates beside Python's own bytecode, so that a start need not compile them: most of a second's work.

    Each holds a digest of its source. Where nothing can be written they are compiled at each start.
    """

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a template that was compiled."""
        with suppress(OSError):
            _BYTECODE.mkdir(exist_ok=True)
            super().dump_bytecode(bucket)


def environment(assets: Assets) -> Environment:
    """Make the environment: autoescaping always, and an undefined name is an error."""
    env = Environment(
        bytecode_cache=_Compiled(str(_BYTECODE)),
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        extensions=["jinja2.ext.loopcontrols"],
    )
    for function in _FILTERS:
        env.filters[function.__name__] = function
    env.globals["asset"] = assets.path
    env.globals["query"] = query
    return env
