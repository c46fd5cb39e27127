"""Text out of HTML: what a reader would see of a mail that has no plain text; nothing is loaded, run or linked.

Not the standard library's HTMLParser, which takes seconds for 64 KB of `<a x='` repeated: a mail is anybody's. Each
step here looks at each character a bounded number of times.
"""

import html
import re
from typing import Final

_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)[^<>]*>|<[!?/][^<>]*>")
_LONG_NUMBER: Final = re.compile(r"&#[xX]?0*[0-9a-fA-F]{8,};?")  # No character; int() refuses thousands of digits.
_UNSEEN: Final = frozenset({"script", "style", "title", "template", "noscript"})
_LINES: Final = frozenset(
    {
        *("address", "article", "aside", "br", "center", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure"),
        *("footer", "form", "header", "hr", "main", "nav", "option", "section", "table", "tbody", "tfoot", "thead"),
        "tr",
    }
)
_PARAGRAPHS: Final = frozenset({"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "ul"})
_CELLS: Final = frozenset({"td", "th"})


def text_of(markup: str) -> str:
    """Give the text of an HTML document or fragment, a line per line on the screen, blank lines between paragraphs."""
    pieces: list[str] = []
    unseen = ""
    at = 0
    markup = _without_comments(markup)
    for tag in _TAG.finditer(markup):
        if not unseen:
            pieces.append(_words(markup[at : tag.start()]))
        at = tag.end()
        name = (tag[2] or "").lower()
        if unseen:
            if tag[1] and name == unseen:
                unseen = ""
        elif name in _UNSEEN and not tag[1]:
            unseen = name
        else:
            pieces.append(_break(name, closing=bool(tag[1])))
    if not unseen:
        pieces.append(_words(markup[at:]))
    return _tidy("".join(pieces))


def _without_comments(markup: str) -> str:
    """Leave out comments; one that has no end takes all that follows, as in a browser."""
    kept, at = [], 0
    while (start := markup.find("<!--", at)) >= 0:
        kept.append(markup[at:start])
        end = markup.find("-->", start + 4)
        if end < 0:
            return "".join(kept)
        at = end + 3
    return "".join([*kept, markup[at:]])


def _words(text: str) -> str:
    """Read entities; line ends and tabs of the source are spaces."""
    if "&" in text:
        text = html.unescape(_LONG_NUMBER.sub("\ufffd", text))
    return text.replace("\n", " ").replace("\r", " ")


def _break(name: str, *, closing: bool) -> str:
    if name in _PARAGRAPHS:
        return "\n\n"
    if name in _LINES:
        return "\n"
    if name == "li":
        return "" if closing else "\n- "
    return " " if name in _CELLS else ""


def _tidy(text: str) -> str:
    """Join runs of spaces, and of more than one blank line."""
    lines: list[str] = []
    for line in text.split("\n"):
        words = " ".join(line.split())
        if words or (lines and lines[-1]):
            lines.append(words)
    return "\n".join(lines).strip()
