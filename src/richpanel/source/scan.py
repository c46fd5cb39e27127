"""What a body must not hold, found without decoding it: broken UTF-8, numbers out of range, deep nesting.

Decoding each item whole would find the same and costs twice as much for a batch of 100 items. So a batch is looked over
once, as an array of bytes: where nothing is suspicious (`is_readable`), its items need no more than their
outline decoded; where something is, each item is decoded whole, and that alone decides.
"""

import re
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from richpanel.core.codes import Code
from richpanel.core.message import MAX_MESSAGE_BYTES

MAX_DEPTH: Final = 500
"""Levels of nesting that an item may have: well within what every JSON reader takes, ours and those behind the API."""

_LONG_RUN: Final = 200
"""A number without a large exponent overflows a double only with more digits in a row than this."""
_STRIDE: Final = _LONG_RUN // 8
_MANY_CANDIDATES: Final = 4_096
_EXPONENT: Final = re.compile(rb"[eE]\+?[0-9]{3,}[\s,}\]]")

Bytes = NDArray[np.uint8]
_ZERO, _DIGITS = np.uint8(ord("0")), np.uint8(10)
_LOWER_E, _OPEN, _CLOSE, _TO_LOWER = np.uint8(ord("e")), np.uint8(ord("{")), np.uint8(ord("}")), np.uint8(0x20)


def is_utf8(body: bytes | memoryview) -> bool:
    """Whether every byte is part of a UTF-8 character."""
    if isinstance(body, bytes) and body.isascii():
        return True
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def is_readable(body: bytes) -> bool:
    """Whether all strings of this well-formed JSON are UTF-8, all numbers within a double, and no item nested deeply.

    True is certain. False means: look at each item; a number in a string may look suspicious.
    """
    if not is_utf8(body):
        return False
    lower = np.frombuffer(body, np.uint8) | _TO_LOWER  # Leaves digits; makes `{` of `[`, `}` of `]`, `e` of `E`.
    return not (_is_dense(lower) or _has_long_run(lower) or _has_large_exponent(body, lower))


def _is_dense(lower: Bytes) -> bool:
    """Whether some stretch of an item's length opens so many brackets that the item could be nested too deeply."""
    open_here = lower == _OPEN
    blocks = range(0, len(lower), MAX_MESSAGE_BYTES)
    counts = [0, *(int(np.count_nonzero(open_here[at : at + MAX_MESSAGE_BYTES])) for at in blocks), 0]
    if max(left + right for left, right in pairwise(counts)) < MAX_DEPTH:  # A stretch lies within two blocks.
        return False
    places = np.flatnonzero(open_here)
    return bool((places[MAX_DEPTH - 1 :] - places[: 1 - MAX_DEPTH] < MAX_MESSAGE_BYTES).any())


def _has_long_run(lower: Bytes) -> bool:
    """Whether there could be so many digits in a row: each such run covers eight of every 25th byte."""
    run = (lower[::_STRIDE] - _ZERO) < _DIGITS
    for width in (1, 2, 4):
        run = run[width:] & run[:-width]
    return bool(run.any())


def _has_large_exponent(body: bytes, lower: Bytes) -> bool:
    """Whether there is an exponent of three digits or more, outside of strings as far as its end tells."""
    if len(lower) < 6:
        return False
    digit = (lower - _ZERO) < _DIGITS
    large = lower[1:-4] == _LOWER_E
    large &= digit[:-5]
    large &= digit[3:-2]
    large &= digit[4:-1]
    candidates = np.flatnonzero(large)
    if len(candidates) > _MANY_CANDIDATES:
        return True
    return any(_EXPONENT.match(body, place) and _starts_number(body, place) for place in (candidates + 1).tolist())


def _starts_number(body: bytes, exponent: int) -> bool:
    """Whether what stands before an exponent could be a number's digits: `Mobile/15E148` of every iPhone could not."""
    head = body[max(0, exponent - 2 * _LONG_RUN) : exponent].rstrip(b"0123456789.-")
    return not head or head[-1:] in (b":", b",", b"[", b" ", b"\t", b"\r", b"\n")


def depths(body: bytes | memoryview) -> NDArray[np.int32]:
    """Count, for each byte, the brackets open around it. Outside of well-formed JSON the figures mean nothing."""
    text = np.frombuffer(body, np.uint8)
    quote = text == ord('"')
    backslash = text == ord("\\")
    if backslash.any():
        # A character is escaped where the run of backslashes before it has an odd length.
        index = np.arange(len(text), dtype=np.int32)
        plain = np.where(backslash, np.int32(-1), index)
        behind = index - np.maximum.accumulate(plain)  # Length of the run that ends here.
        quote[1:] &= (behind[:-1] & 1) == 0
    outside = (np.cumsum(quote, dtype=np.int32) & 1) == 0
    lower = text | _TO_LOWER
    step = ((lower == _OPEN) & outside).astype(np.int8) - ((lower == _CLOSE) & outside).astype(np.int8)
    return np.cumsum(step, dtype=np.int32)


def flaw(item: bytes | memoryview) -> Code | None:
    """Tell what is wrong with one item that a decoder would let pass where it skips a value."""
    if len(item) > 2 * MAX_DEPTH:
        text = bytes(item)
        if text.count(b"{") + text.count(b"[") > MAX_DEPTH and int(depths(text).max()) > MAX_DEPTH:
            return Code.TOO_DEEP
    return None if is_utf8(item) else Code.INVALID_UTF8


DEEP: Final = b'"\\u0000too deep"'
"""What stands for an item that was cut out; it is no object, so it can never be taken for a good one."""


def cut_deep(body: bytes) -> tuple[bytes, list[bytes]]:
    """Replace what is nested too deeply within the arrays and objects of a body's first level; give what was cut.

    So that the good items of a batch can be read although one of them cannot even be skipped.
    """
    depth = depths(body)
    before = np.concatenate((np.zeros(1, np.int32), depth[:-1]))
    starts = np.flatnonzero((before == 2) & (depth == 3))
    ends = np.flatnonzero((before == 3) & (depth == 2)) + 1
    if len(starts) != len(ends) or not len(starts):
        return body, []
    deepest = np.maximum.reduceat(depth, starts)
    pieces: list[bytes] = []
    cut: list[bytes] = []
    place = 0
    for start, end in _spans(starts, ends, deepest - 2 > MAX_DEPTH):
        pieces += (body[place:start], DEEP)
        cut.append(body[start:end])
        place = end
    return b"".join((*pieces, body[place:])), cut


def _spans(starts: NDArray[Any], ends: NDArray[Any], chosen: NDArray[np.bool_]) -> list[tuple[int, int]]:
    return list(zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True))


_LONE: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def mend_surrogates(body: bytes) -> bytes | None:
    """Replace each half of a character (an emoji cut in two) by U+FFFD, as Segment's own decoder does.

    Gives None where there is none. The length stays: both escapes have six bytes.
    """
    if b"\x00" in body:
        return None  # Not JSON, whatever is mended; and the byte is needed below.
    # A run of backslashes escapes itself in pairs from the left; what is left before a `u` is an escape.
    mended, times = _LONE.subn(rb"\\ufffd", body.replace(b"\\\\", b"\x00\x00"))
    return mended.replace(b"\x00\x00", b"\\\\") if times else None
