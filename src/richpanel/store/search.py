"""The search: words of customers' names, emails, phones and uids, found whole, by their beginning, or as a phrase.

SQLite's FTS5 makes words of texts itself (`unicode61`, without diacritics). PostgreSQL is given them: no text search
configuration takes part, so both find the same.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import LISTED, delete, fetch, insert, listed, on_postgres

MAX_FOUND: Final = 1_000
"""A search looks at this many matches at the most; who needs more types another letter."""
_WORDS: Final = re.compile(r"\w+", re.UNICODE)
_COLUMNS: Final = ("rowid", "name", "email", "phone", "uid")
_MAX_TERMS: Final = 8
_APART: Final = 4_000
"""Positions from one text of an entry to the next: PostgreSQL counts to 16,383. A phrase never spans two."""
_MAX_WORD: Final = 500
"""PostgreSQL's words have 2 KB at the most."""
_DIACRITICS: Final = frozenset(768 + bit for bit in range(50) if 0x361F8_08029FDF >> bit & 1)
"""What `unicode61` takes for marks on letters."""


_OTHER_LETTERS: Final = ("Co", "Cn")
"""Private characters, and those that Unicode does not know yet."""


class Entry(NamedTuple):
    """What a customer is found by; empty texts where there is nothing."""

    name: str
    email: str
    phone: str
    uid: str


def entries(connection: Connection, numbers: Iterable[int]) -> dict[int, Entry]:
    """Give the entries of profiles, by number."""
    rows = fetch(
        connection, f"SELECT rowid, name, email, phone, uid FROM search WHERE rowid IN {LISTED}", listed(numbers)
    )
    return {number: Entry(*texts) for number, *texts in rows}


def add(connection: Connection, added: dict[int, Entry]) -> None:
    """Add entries, of profiles that have none."""
    rows: list[tuple[Any, ...]] = [(number, *entry) for number, entry in sorted(added.items())]
    if on_postgres(connection):
        insert(connection, schema.search, [(*row, _vector(row[1:])) for row in rows])
    else:
        insert(connection, schema.search, rows, columns=_COLUMNS)


def remove(connection: Connection, numbers: Iterable[int]) -> None:
    """Remove the entries of profiles."""
    delete(connection, schema.search, [(number,) for number in numbers], keys=("rowid",))


def matching(connection: Connection, q: str) -> tuple[str, list[Any]]:
    """Give the query for the ids of customers that match every term of `q`, and its parameters.

    A term is found where a word begins so; what is written together, such as an email, as a phrase.
    """
    terms = [words for term in q.split()[:_MAX_TERMS] if (words := _WORDS.findall(term))]
    newest = f"ORDER BY rowid DESC LIMIT {MAX_FOUND}"
    if on_postgres(connection):
        phrases = [tokens(" ".join(words)) for words in terms]
        wanted = " & ".join(map(_phrase, phrases)) if all(phrases) else ""
        found = f"SELECT rowid AS id FROM search WHERE words @@ ?::tsquery {newest}"
    else:
        wanted = " AND ".join('"' + " ".join(words) + '"*' for words in terms)
        found = f"SELECT rowid AS id FROM search WHERE search MATCH ? {newest}"
    return (found, [wanted]) if wanted else ("SELECT id FROM profiles WHERE FALSE", [])


def _phrase(words: list[str]) -> str:
    """Write a phrase, of which the last word may go on, as a `tsquery`."""
    return f"({' <-> '.join(map(_quoted, words))}:*)"


def _vector(texts: Iterable[str]) -> str:
    """Write an entry as a `tsvector`."""
    positions: dict[str, list[int]] = {}
    for column, text in enumerate(texts):
        for at, word in enumerate(tokens(text), 1):
            positions.setdefault(word, []).append(column * _APART + min(at, _APART - 2))
    return " ".join(f"{_quoted(word)}:{','.join(map(str, at))}" for word, at in positions.items())


def _quoted(word: str) -> str:
    return f"'{word}'"  # Letters and digits alone, so there is nothing to escape.


def tokens(text: str) -> list[str]:
    """Take a text apart as `unicode61 remove_diacritics 2` does: runs of letters and digits, folded."""
    return [word[:_MAX_WORD] for word in text.translate(_FOLDED).split()]


class _Folded(dict[int, str]):
    """What becomes of each character: itself folded, nothing, or a space where it separates words."""

    def __missing__(self, code: int) -> str:
        found = self[code] = _fold(chr(code))
        return found


_FOLDED: Final = _Folded({0x1E0: "ǡ", 0x1E1: "ǡ"})  # SQLite leaves these two as they are.


def _fold(char: str) -> str:
    if ord(char) in _DIACRITICS:
        return ""
    if unicodedata.category(char)[0] not in "LN" and unicodedata.category(char) not in _OTHER_LETTERS:
        return " "
    apart = unicodedata.normalize("NFD", char)
    if len(apart) > 1 and apart[0].isascii():
        return apart[0].lower()
    return next((each for each in (char.casefold(), char.lower()) if len(each) == 1), char)
