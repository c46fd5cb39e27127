r"""Wildcard patterns of FQL's `match`: `*`, `?`, `[abc]`, `[a-z]`, `[^a]` and `\x`, for the whole text, case-sensitive.

Segment's own matcher is followed where its reference says nothing: `/` is a character like any other, and what it finds
malformed is malformed here. No pattern makes a matching slow: between two `*` stands a chunk that is as long as what it
matches, and of each only the first place is looked for.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from richpanel.core.fql_nodes import FqlError

MAX_WORK: Final = 1 << 22
"""Characters of the text times those of the pattern: some 20 ms at the worst."""
_MAX_PATTERN: Final = 5_120


class _Chunk(NamedTuple):
    length: int
    expression: "re.Pattern[str]"


class Wildcard:
    """A pattern, read."""

    __slots__ = ("_chunks", "_size")

    def __init__(self, pattern: str) -> None:
        """Read a pattern. Raises FqlError where it is malformed."""
        if len(pattern) > _MAX_PATTERN:
            raise FqlError(f"A pattern may hold {_MAX_PATTERN:,} characters at the most.")
        self._size = len(pattern)
        self._chunks = [_chunk(text) for text in _split(pattern)]

    def matches(self, text: str) -> bool:
        """Tell whether the pattern matches the whole text. Raises FqlError where that would take too long."""
        if len(text) * self._size > MAX_WORK:
            raise FqlError("The text and the pattern are too long to match them.")
        first, *others = self._chunks
        if not others:
            return len(text) == first.length and first.expression.match(text) is not None
        last = others.pop()
        at = first.length
        if not first.expression.match(text):
            return False
        for chunk in others:
            found = chunk.expression.search(text, at)
            if found is None:
                return False
            at = found.end()
        end = len(text) - last.length
        return end >= at and last.expression.match(text, end) is not None


@lru_cache(maxsize=256)
def wildcard(pattern: str) -> Wildcard:
    """Read a pattern, once."""
    return Wildcard(pattern)


def _split(pattern: str) -> list[list[str]]:
    """Split a pattern at each `*` into what matches one character each, as regular expressions."""
    chunks: list[list[str]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            chunks.append([])
        elif char == "?":
            chunks[-1].append(".")
        elif char == "[":
            text, at = _set(pattern, at)
            chunks[-1].append(text)
        elif char == "\\":
            if at == len(pattern):
                raise FqlError("The pattern ends in a `\\` that nothing follows.")
            chunks[-1].append(re.escape(pattern[at]))
            at += 1
        else:
            chunks[-1].append(re.escape(char))
    return chunks


def _chunk(parts: list[str]) -> _Chunk:
    return _Chunk(len(parts), re.compile("".join(parts), re.DOTALL))


def _set(pattern: str, at: int) -> tuple[str, int]:
    """Read `[...]` from behind its bracket; give it as a regular expression, and where it ends."""
    negated = pattern[at : at + 1] == "^"
    at += negated
    ranges: list[str] = []
    while pattern[at : at + 1] != "]" or not ranges:
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == "-":
            high, at = _member(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")  # Empty, as `[z-a]` is.
    inside = "".join(ranges)
    if not inside:
        return ("." if negated else r"(?!)."), at + 1
    return f"[{'^' if negated else ''}{inside}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at : at + 1] == "\\":
        at += 1
    elif pattern[at : at + 1] in ("-", "]"):
        raise FqlError(f"`{pattern[at]}` must be written `\\{pattern[at]}` within the brackets of a pattern.")
    if at >= len(pattern):
        raise FqlError("The pattern has a `[` without its `]`.")
    return pattern[at], at + 1
