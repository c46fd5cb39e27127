"""Money: exact decimals in, decimal strings out, never a float (`semantics.md` 6).

JSON has no decimals, so a decoder would turn `0.1` into a float. `decode_exact` makes each number with a fraction or an
exponent the `Decimal` of its own digits, and each integer an `int`: 0.1 + 0.2 is 0.3 then. `encode_exact` writes them
back as numbers with the same digits.
"""

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Final

import msgspec

decode_exact = msgspec.json.Decoder(float_hook=Decimal).decode
encode_exact = msgspec.json.Encoder(decimal_format="number").encode

MAX_DIGITS: Final = 18
"""An amount is below 10^18: more than all money there is, and what bounds the cost of adding up."""
MAX_DECIMALS: Final = 40
"""Digits after the point: a JavaScript sum such as `5.551115123125783e-17` fits, an attack does not."""
MAX_TEXT: Final = 64

# Room for every digit of 10^40 amounts, so that no sum is ever rounded (a Decimal's own default is 28 digits).
_EXACT: Final = Context(prec=MAX_DIGITS + MAX_DECIMALS + 42, rounding=ROUND_HALF_EVEN)
_CENT: Final = Decimal("0.01")
_ZERO: Final = Decimal(0)
_TOO_MUCH: Final = 10**MAX_DIGITS

_SYMBOL: Final = "[$¢£¤¥֏؋৲৳৻૱௹฿៛\u20a0-\u20cf﷼﹩\uff04\uffe0\uffe1\uffe5\uffe6]"
_CURRENCY: Final = rf"(?:[A-Z]{{3}}|[A-Z]{{0,3}}{_SYMBOL})"
_GAP: Final = r"[ \u00a0\u202f]?"
_MONEY = re.compile(
    rf"(?P<before>[-+\u2212]?){_GAP}(?:{_CURRENCY}{_GAP})?(?P<after>[-+\u2212]?)"
    rf"(?P<number>[0-9.,][0-9.,' \u2019\u00a0\u202f]*?(?:[eE][-+]?[0-9]{{1,3}})?)(?:{_GAP}{_CURRENCY})?"
)
_PLAIN = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_COMMA_GROUPS = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{2,3})*,[0-9]{3}(?:\.[0-9]*)?")
_POINT_GROUPS = re.compile(r"[1-9][0-9]{0,2}(?:(?:\.[0-9]{3})+,[0-9]*|(?:\.[0-9]{3}){2,})")
_SPACE_GROUPS = re.compile(r"[1-9][0-9]{0,2}(?:[' \u2019\u00a0\u202f][0-9]{3})+(?:[.,][0-9]*)?")
_DECIMAL_COMMA = re.compile(r"[0-9]*,[0-9]+")
_GROUP_MARKS = str.maketrans("", "", "' \u2019\u00a0\u202f")


def _unmarked(number: str) -> str | None:
    """Give a number's text without thousands separators and with a point, None where the separators make no sense."""
    if _PLAIN.fullmatch(number):
        return number
    if _COMMA_GROUPS.fullmatch(number):
        return number.replace(",", "")
    if _POINT_GROUPS.fullmatch(number):
        return number.replace(".", "").replace(",", ".")
    if _SPACE_GROUPS.fullmatch(number):
        return number.translate(_GROUP_MARKS).replace(",", ".")
    return number.replace(",", ".") if _DECIMAL_COMMA.fullmatch(number) else None


def _read(text: str) -> Decimal | None:
    if len(text) > MAX_TEXT:
        return None
    found = _MONEY.fullmatch(text.strip())
    if found is None or (found["before"] and found["after"]):
        return None
    number = _unmarked(found["number"])
    if number is None:
        return None
    read = Decimal(number)
    return read if (found["before"] or found["after"]) in ("", "+") else read.copy_negate()


def amount(value: object) -> Decimal | None:
    """Give an amount of money exactly, or None where `value` is none.

    Numbers count as they are, a float as its shortest digits. Strings may carry a sign, a currency on either side (a
    symbol, with up to three capitals before it, or an ISO 4217 code) and separators. Where both `.` and `,` stand in,
    the last is the decimal mark; a mark that repeats separates thousands. A single `.` is a decimal mark, as in JSON; a
    single `,` separates thousands where three digits follow (`1,234`), else it is a decimal mark (`5,00`). Spaces and
    apostrophes may separate thousands. Booleans, NaN, infinities, 10^18 and above, more than 40 decimals and strings of
    more than 64 characters are no amounts.
    """
    if isinstance(value, str):
        number = _read(value)
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value) if abs(value) < _TOO_MUCH else None
    else:
        return None
    if number is None or not number.is_finite():
        return None
    if number.is_zero():
        return _ZERO
    exponent = number.as_tuple().exponent
    if number.adjusted() >= MAX_DIGITS or not isinstance(exponent, int) or exponent < -MAX_DECIMALS:
        return None
    return number


def text(value: Decimal) -> str:
    """Write money as a decimal string: all of its digits, at least two after the point, no exponent, no negative zero.

    It depends on the value alone, not on how it was written or added up, so that equal states give equal bytes.
    """
    written = f"{value:f}"
    whole, _, fraction = written.partition(".")
    fraction = fraction.rstrip("0").ljust(2, "0")
    return f"{whole}.{fraction}" if value else "0.00"


def plus(one: Decimal, other: Decimal) -> Decimal:
    """Add two amounts, or sums of them, exactly."""
    return _EXACT.add(one, other)


def minus(one: Decimal, other: Decimal) -> Decimal:
    """Subtract an amount, or a sum of them, exactly."""
    return _EXACT.subtract(one, other)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Add amounts up exactly; nothing comes to 0."""
    added = _ZERO
    for each in amounts:
        added = _EXACT.add(added, each)
    return added


def average(whole: Decimal, count: int) -> Decimal:
    """Divide a sum by a count, rounded to the cent, half to even."""
    return _EXACT.quantize(_EXACT.divide(whole, Decimal(count)), _CENT)
