"""MIME: a mail's headers and parts, read at a bounded cost (RFC 5322, 2045 to 2047, 2231, 6532).

Headers and bodies are decoded by the standard library's `email` package (`policy.default`). The structure is not: its
parser goes through a mail line by line, which takes 0.6 s for one with an attachment of 18 MB, and minutes for 32 MB of
empty lines within nested parts. Here it is found by searching for boundaries (docs/decisions/0008-mail-structure.md).
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import HeaderParser
from typing import Any, Final, NamedTuple

from richpanel.core.markup import text_of

MAX_HEAD_BYTES: Final = 262_144
"""Bytes of all headers of a mail; a mail with more is unreadable. A part's headers are cut at an eighth of it."""
MAX_DEPTH: Final = 20
"""Levels of parts within parts; what is deeper is listed, not opened."""
MAX_PARTS: Final = 100
"""Parts of a mail; what follows is not looked at."""
MAX_VALUE: Final = 2_000
"""Characters of one header that are parsed; the parser's time grows with their square."""
MAX_VALUES: Final = 16_384
"""Characters of all headers of a mail that are parsed: less than a second, whatever they are."""
MAX_TEXT_BYTES: Final = 262_144
"""Bytes of a text part, as sent, that are decoded."""
MAX_BOUNDARY: Final = 200
"""Bytes of a boundary; the standard allows 70."""
_FALSE_STARTS: Final = 10_000  # Lines that begin like a boundary and are none.
_WINDOW: Final = 1 << 20  # Bytes searched in one go: the interpreter can turn to another thread in between.

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_NO_HEAD: Final = re.compile(rb"\r?\n")
_LINE_END: Final = re.compile(rb"[ \t]*(?:\r?\n|$)")
_FOLD: Final = re.compile(r"[\r\n]+")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u2028\u2029]")
# What turns the direction of writing round is left out of names: it makes `exe.gpj` of `jpg.exe`.
_NOT_IN_A_LINE: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CHARSETS: Final = re.compile(
    r"ascii|utf-?(7|8|16|32)([-_](sig|be|le))?|iso8859-\d+|cp\d+|koi8-[rtu]|gb\w+|big5\w*|euc_\w+|shift_jis\w*|"
    r"iso2022_\w+|hz|johab|mac-\w+|tis-620|kz1048|ptcp154"
)


class Unreadable(ValueError):
    """No reader could make a mail of this."""


class Attached(NamedTuple):
    """An attachment, listed: its file name if it has one, its content type, and about how many bytes it has."""

    name: str | None
    type: str
    size: int


@dataclass(slots=True)
class _Budget:
    """Characters of header values that may still be parsed, and parts that may still be opened."""

    values: int = MAX_VALUES
    parts: int = MAX_PARTS


@dataclass(slots=True)
class Head:
    """The headers of a mail or of a part. The first of a name counts."""

    fields: "Message[str, str]"
    budget: _Budget

    def text(self, name: str) -> str:
        """Give a header as it stands, unfolded and cut; "" where there is none."""
        return _FOLD.sub("", str(self.fields.get(name, "")))[:MAX_VALUE].strip()

    def parsed(self, name: str) -> Any:
        """Give a header as `policy.default` parses it; None where there is none, or it cannot be parsed."""
        value = self.text(name)
        self.budget.values -= len(value)
        if not value or self.budget.values < 0:
            return None
        try:
            return policy.default.header_factory(name, value)
        except Exception:  # noqa: BLE001  # IndexError, AttributeError, RecursionError ...: the parser meets all sorts
            return None


@dataclass(slots=True)
class Part:
    """A part: its headers, its content type with the charset, where its body stands, and the parts in it."""

    head: Head
    type: str
    charset: str | None
    start: int
    end: int
    attached: bool = False
    name: str | None = None
    parts: "list[Part]" = field(default_factory=list)


class Mail:
    """A mail as it came: `raw` with its parts found. `cut` says whether there was more than is looked at."""

    def __init__(self, raw: bytes | bytearray) -> None:
        """Find the parts. Raises Unreadable."""
        self.raw = raw
        self.cut = False
        self._budget = _Budget()
        head_end, _ = self._head_end(0, len(raw))
        if head_end > MAX_HEAD_BYTES:
            raise Unreadable(f"its headers have {head_end:,} bytes, and may have {MAX_HEAD_BYTES:,}")
        self.root = self._part(0, len(raw), 0)
        self.head = self.root.head

    def text(self) -> str:
        """Give what its writer wrote: plain text where there is any, else the text of the HTML (RFC 2046, 5.1.4)."""
        return self._shown(self.root)[1].strip()

    def attachments(self) -> list[Attached]:
        """List what is no text to read. Of alternatives only what calls itself an attachment is one."""
        return [
            Attached(each.name, each.type, self._size(each))
            for each, alternative in _leaves(self.root)
            if each.attached or not (alternative or each.type in ("text/plain", "text/html"))
        ]

    # -------------------------------------------------------------------------------------------------- the structure

    def _head_end(self, start: int, end: int) -> tuple[int, int]:
        """Find where headers end, and where the body begins."""
        if found := _NO_HEAD.match(self.raw, start, end):
            return start, found.end()  # It has none.
        if found := _HEAD_END.search(self.raw, start, min(end, start + MAX_HEAD_BYTES + 4)):
            return found.start(), found.end()
        return end, end

    def _part(self, start: int, end: int, depth: int) -> Part:
        head_end, body = self._head_end(start, end)
        limit = MAX_HEAD_BYTES if depth == 0 else MAX_HEAD_BYTES // 8
        head = Head(HeaderParser().parsestr(_head_text(self.raw[start : min(head_end, start + limit)])), self._budget)
        content = head.parsed("Content-Type")
        kind = str(getattr(content, "content_type", "text/plain")).lower()[:127]
        part = Part(head, kind, _parameter(content, "charset"), body, end)
        if kind.startswith("multipart/") and depth < MAX_DEPTH:
            boundary = (_parameter(content, "boundary") or "").encode("utf-8", "replace")
            if 0 < len(boundary) <= MAX_BOUNDARY:
                part.parts = [self._part(*each, depth + 1) for each in self._between(boundary, body, end)]
            if not part.parts:  # It lies about itself: what there is can still be read.
                part.type = "text/plain"
        elif depth or not kind.startswith("text/"):
            disposition = head.parsed("Content-Disposition")
            name = one_line(_parameter(disposition, "filename") or _parameter(content, "name") or "", 255)
            part.name = name or None
            # A text with a file name is an attachment, too.
            part.attached = bool(name) or getattr(disposition, "content_disposition", None) == "attachment"
        return part

    def _between(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Find the parts between the lines of a boundary (RFC 2046, 5.1.1); the last may lack its closing line."""
        mark = b"--" + boundary
        opened: int | None = None
        false_starts = 0
        at = start if self.raw.startswith(mark, start) else self._find(b"\n" + mark, start, end) + 1
        while at > 0 and false_starts < _FALSE_STARTS:
            behind = at + len(mark)
            closing = self.raw.startswith(b"--", behind)
            line_end = _LINE_END.match(self.raw, behind + 2 * closing, end)
            if line_end is None:
                false_starts += 1  # Another boundary that begins like this one.
            else:
                if opened is not None:
                    yield opened, self._before_line(at, opened)
                opened = None if closing else line_end.end()
                if closing or not self._one_more():
                    return
            at = self._find(b"\n" + mark, behind - 1, end) + 1
        if opened is not None:
            yield opened, end

    def _one_more(self) -> bool:
        self._budget.parts -= 1
        self.cut = self.cut or self._budget.parts < 0
        return self._budget.parts >= 0

    def _before_line(self, at: int, least: int) -> int:
        """Give where the text before a boundary's line ends: the line end before it is the boundary's."""
        end = at - 1
        return max(least, end - 1 if self.raw[end - 1 : end] == b"\r" else end)

    def _find(self, wanted: bytes, start: int, end: int) -> int:
        """Search, a window at a time; -1 where it is not there."""
        for at in range(start, end, _WINDOW):
            found = self.raw.find(wanted, at, min(end, at + _WINDOW + len(wanted) - 1))
            if found >= 0:
                return found
        return -1

    # ----------------------------------------------------------------------------------------------------- the bodies

    def _shown(self, part: Part) -> tuple[bool, str]:
        """Give a part's text, and whether it is plain."""
        if not part.parts:
            if part.attached or part.type not in ("text/plain", "text/html"):
                return False, ""
            text = self._decoded(part)
            return (True, text) if part.type == "text/plain" else (False, text_of(text))
        shown = [each for each in map(self._shown, part.parts) if each[1].strip()]
        if part.type == "multipart/alternative":
            return next((each for each in shown if each[0]), shown[-1] if shown else (False, ""))
        return any(plain for plain, _ in shown), "\n\n".join(text.strip("\n") for _, text in shown)

    def _decoded(self, part: Part) -> str:
        """Decode a text: its transfer encoding, then its charset; what is broken as far as it goes."""
        body = self.raw[part.start : min(part.end, part.start + MAX_TEXT_BYTES)]
        whole = part.end - part.start == len(body)
        encoding = part.head.text("Content-Transfer-Encoding").lower()
        if not whole:
            self.cut = True
            if encoding == "base64":
                body = body.translate(None, b" \t\r\n")
                body = body[: len(body) // 4 * 4]
        carrier: Message[str, str] = Message()
        if encoding in ("base64", "quoted-printable", "x-uuencode", "uuencode", "uue", "x-uue"):
            carrier["Content-Transfer-Encoding"] = encoding
        carrier.set_payload(body.decode("ascii", "surrogateescape"))
        try:
            data = carrier.get_payload(decode=True)
        except Exception:  # noqa: BLE001  # whatever its decoders meet: the text as it came is better than none
            data = body
        return clean(_in_charset(data if isinstance(data, bytes) else body, part.charset, whole=whole))

    def _size(self, part: Part) -> int:
        """Give the size of a body as decoded, near enough for a list."""
        length = part.end - part.start
        encoding = part.head.text("Content-Transfer-Encoding").lower()
        if encoding == "base64":
            tail = self.raw[max(part.start, part.end - 8) : part.end]
            length -= len(tail) - len(tail.rstrip())
            line = self.raw.find(b"\n", part.start, part.end) + 1 - part.start
            if line > 0:  # All are of one length. To count them in 24 MB would stop other threads for 15 ms.
                length -= length // line * (2 if self.raw[part.start + line - 2 : part.start + line] == b"\r\n" else 1)
            return max(0, length * 3 // 4 - tail.count(b"="))
        if encoding == "quoted-printable":
            sample = self.raw[part.start : min(part.end, part.start + MAX_TEXT_BYTES)]
            return max(0, length - 2 * sample.count(b"=") * length // max(1, len(sample)))
        return length


def _leaves(part: Part, *, alternative: bool = False) -> Iterator[tuple[Part, bool]]:
    """Give the parts that hold no others, and whether each stands among alternatives."""
    if not part.parts:
        yield part, alternative
    for each in part.parts:
        yield from _leaves(each, alternative=alternative or part.type == "multipart/alternative")


def _parameter(header: Any, key: str) -> str | None:
    found = getattr(header, "params", {}).get(key)
    return found if isinstance(found, str) else None


def _head_text(raw: bytes | bytearray) -> str:
    """Decode headers: UTF-8 (RFC 6532), else what old software writes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _in_charset(data: bytes | bytearray, charset: str | None, *, whole: bool) -> str:
    """Decode in the charset named, if it is one of text (`punycode` is quadratic), else in UTF-8 or Windows-1252."""
    try:
        codec = codecs.lookup((charset or "ascii")[:40]).name
    except (LookupError, ValueError):
        codec = "ascii"
    if codec == "iso8859-1":
        codec = "cp1252"  # As every reader takes it.
    if codec != "ascii" and _CHARSETS.fullmatch(codec):
        return data.decode(codec, "replace")
    try:
        return codecs.utf_8_decode(data, "strict", whole)[0]  # Where it was cut, the last character may be half.
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def clean(text: str) -> str:
    """Make a text of lines: `\\n` alone ends one, and no control characters or halves of surrogate pairs."""
    text = _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str, longest: int) -> str:
    """Make one line of a text, such as a name or a subject, of so many characters at the most."""
    return " ".join(_NOT_IN_A_LINE.sub("", clean(text)).split())[:longest].strip()
