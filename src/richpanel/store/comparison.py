"""Comparing two states of one log, by who and what things are, since their internal numbers need not agree.

Each kind of thing is read in pieces on one side and looked up on the other, so memory stays bounded however large both
are. What is compared: profiles with their search entries, sessions, links, orders, memberships, messages, histories,
and the counts of outcomes. `discards_dropped` is not: it says how often old discards were let go of, which depends on
the batches.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec
from sqlalchemy import Connection

from richpanel.core.identity import KINDS
from richpanel.store import identities
from richpanel.store.bulk import fetch
from richpanel.store.identities import Key

MAX_EXAMPLES: Final = 20
CHUNK: Final = 2_000
NOBODY: Final[Key] = (-1, "")
"""Stands for a number that no identity has."""

Difference = Literal["different", "onlyOld", "onlyNew"]
Show = Callable[[str, int, int], None]
"""Hears how far a comparison is: what is compared, how many are done, and of how many."""


class Example(msgspec.Struct, frozen=True):
    """One thing that differs: how, whose or which it is, and in what."""

    difference: Difference
    who: str
    detail: str = ""


class Tally(msgspec.Struct, rename="camel"):
    """How the things of one kind compare."""

    kind: str
    equal: int = 0
    different: int = 0
    only_old: int = 0
    only_new: int = 0
    examples: list[Example] = []

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.different or self.only_old or self.only_new)

    def note(self, difference: Difference, who: str, detail: str = "") -> None:
        """Count a difference, and keep it as an example while there are few."""
        match difference:
            case "different":
                self.different += 1
            case "onlyOld":
                self.only_old += 1
            case "onlyNew":
                self.only_new += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(Example(difference, who, detail))


class Noun(Protocol):
    """A kind of thing that has a key by which both states know it. Values are plain, with no internal numbers."""

    kind: str

    def count(self, connection: Connection) -> int:
        """Count the things in a state."""

    def read(self, connection: Connection, after: Any) -> tuple[Sequence[tuple[Any, Any]], Any]:
        """Read the next `CHUNK` of (key, value) after a place, None at first; give them and the place they end at."""

    def find(self, connection: Connection, keys: Sequence[Any]) -> Mapping[Any, Any]:
        """Look things up by key."""

    def differ(self, old: Any, new: Any) -> str:
        """Tell in what two values differ; empty where they are the same."""

    def name(self, key: Any, value: Any) -> str:
        """Say which thing it is, for people."""


def compare(noun: Noun, old: Connection, new: Connection, show: Show) -> Tally:
    """Compare all things of a kind."""
    tally = Tally(noun.kind)
    total = noun.count(old)
    for chunk in _chunks(noun, old):
        found = noun.find(new, [key for key, _ in chunk])
        for key, value in chunk:
            if key not in found:
                tally.note("onlyOld", noun.name(key, value))
            elif (detail := noun.differ(value, found[key])) == "":
                tally.equal += 1
            else:
                tally.note("different", noun.name(key, value), detail)
        show(noun.kind, tally.equal + tally.different + tally.only_old, total)
    if noun.count(new) > tally.equal + tally.different:
        for chunk in _chunks(noun, new):
            known = noun.find(old, [key for key, _ in chunk])
            for key, value in chunk:
                if key not in known:
                    tally.note("onlyNew", noun.name(key, value))
    return tally


def _chunks(noun: Noun, connection: Connection) -> Iterable[Sequence[tuple[Any, Any]]]:
    after = None
    while True:
        chunk, after = noun.read(connection, after)
        if not chunk:
            return
        yield chunk


def compare_counts(old: Connection, new: Connection, sources: Mapping[int, str]) -> Tally:
    """Compare what became of the messages of each source; `sources` gives their names by number."""
    tally = Tally("outcomes")
    was, now = _counts(old), _counts(new)
    for key in sorted(was.keys() | now.keys()):
        who = f"{sources.get(key[0], str(key[0]))} {key[1]}"
        if was.get(key) == now.get(key):
            tally.equal += 1
        elif key not in now:
            tally.note("onlyOld", who, f"{was[key]:,}")
        elif key not in was:
            tally.note("onlyNew", who, f"{now[key]:,}")
        else:
            tally.note("different", who, f"{was[key]:,} became {now[key]:,}")
    return tally


def _counts(connection: Connection) -> dict[tuple[int, str], int]:
    statement = "SELECT source, what, count FROM counters WHERE what <> 'discards_dropped'"
    return {(source, what): count for source, what, count in fetch(connection, statement)}


def counted(connection: Connection, table: str, where: str = "1 = 1") -> int:
    """Count the rows of a table."""
    return int(fetch(connection, f'SELECT count(*) FROM "{table}" WHERE {where}')[0][0])


def keys_of(connection: Connection, numbers: Iterable[int]) -> dict[int, Key]:
    """Give the kind and value of identities by number."""
    return {n: (kind, value) for n, (kind, value, _) in identities.by_number(connection, set(numbers)).items()}


def numbers_of(connection: Connection, secret: bytes, keys: Iterable[Key]) -> dict[Key, int]:
    """Give the numbers of identities; unknown ones are left out."""
    by_kind: dict[int, set[str]] = {}
    for kind, value in keys:
        by_kind.setdefault(kind, set()).add(value)
    return {
        (kind, value): number
        for kind, values in by_kind.items()
        for value, (number, _) in identities.find(connection, secret, kind, values).items()
    }


def person(key: Key) -> str:
    """Say who somebody is: a uid as it is, another id with its kind."""
    kind, value = key
    if kind < 0:
        return "nobody"
    return value if KINDS[kind] == "uid" else f"{KINDS[kind]} {value}"
