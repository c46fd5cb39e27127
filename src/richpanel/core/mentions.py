"""Mentions: whether a text that somebody typed, to search or to filter by, names a person who is erased.

Ids and addresses are known by their keyed hashes, for as long as the account lasts; names only while the person is
being erased. A text names somebody where the search would find them by it (`semantics.md` 10).
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.ids import email_address, phone_address
from richpanel.core.regulation import Hashed, Interval, hashed
from richpanel.core.terms import read_terms
from richpanel.core.traits import canonical_key

_WORDS: Final = re.compile(r"\w+")
_PREFIX: Final = 3
"""From so many letters on the beginning of a name is taken for it."""
_CONTACT: Final = ("email", "firstName", "lastName", "name", "phone")
_COMPARED: Final = ("=", "!=", "~")
Names = Callable[[str], bool]
"""Tells whether a text names somebody."""


def by_hash(secret: bytes, country: str, covered: Mapping[Hashed, Sequence[Interval]], at: int) -> Names:
    """Recognise ids that were theirs after `at`, the instant (ms UTC) at which the text was typed.

    `covered` has the hashes of erased ids, each with when it was theirs; `country` is how local numbers are read.
    """

    def names(text: str) -> bool:
        return any(
            at < until
            for each in {text.strip(), *text.split()}
            for kind, value in _read(each, country)
            for _, until in covered.get(hashed(secret, kind, value), ())
        )

    return names


def by_value(values: Iterable[str], *, whole: bool = False) -> Names:
    """Recognise names, ids and addresses that are known, also by their beginning unless `whole`.

    What follows the `@` of an address alone is nobody's.
    """
    places: defaultdict[str, list[tuple[list[str], int]]] = defaultdict(list)
    for value in values:
        words = _WORDS.findall(value.casefold())
        for at in range(len(_WORDS.findall(value.partition("@")[0]))):
            places[words[at]].append((words, at))
    in_order = sorted(places)

    def is_known(term: list[str]) -> bool:
        *first, last = term
        begins = not whole and len("".join(term)) >= _PREFIX
        if not first:
            at = bisect_left(in_order, last)
            return last in places or (begins and at < len(in_order) and in_order[at].startswith(last))
        ends = len(first)
        return any(
            words[at : at + ends] == first
            and at + ends < len(words)
            and (words[at + ends] == last or (begins and words[at + ends].startswith(last)))
            for words, at in places.get(first[0], ())
        )

    def names(text: str) -> bool:
        return any(is_known(term) for each in text.casefold().split() if (term := _WORDS.findall(each)))

    return names


def without(query: Mapping[str, str], names: Names, whole: Names) -> dict[str, str]:
    """Give the parameters of a list of customers without what names somebody: the search, and conditions one by one.

    `names` is for the search and for what is compared with a contact, `whole` for all else: there the beginning of a
    name is but a word.
    """
    kept = dict(query)
    if names(kept.get("q", "")):
        del kept["q"]
    if "where" in kept:
        left = ";".join(part for part in kept["where"].split(";") if not _asks_for(part, names, whole))
        kept["where"] = left
        if not left.strip():
            del kept["where"]
    return kept


def _read(text: str, country: str) -> Iterator[tuple[int, str]]:
    """Read a text as an id of each kind that it may be one of."""
    yield UID, text
    yield ANONYMOUS, text
    if (email := email_address(text)) is not None:
        yield EMAIL, email
    if (phone := phone_address(text, country)) is not None:
        yield PHONE, phone


def _asks_for(part: str, names: Names, whole: Names) -> bool:
    """Tell whether a condition compares with what names somebody."""
    try:
        terms = read_terms(part)
    except ValueError:
        return names(part)  # Nothing was ever found by it.
    return any(
        term.op in _COMPARED and (names if canonical_key(term.key) in _CONTACT else whole)(term.value) for term in terms
    )
