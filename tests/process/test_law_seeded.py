"""The law test finds what it is there to find: each rule of the code is broken on purpose, and the property fails."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from richpanel.core import identity, order, pipeline, session, traits
from richpanel.core.session import Book
from richpanel.process import batch, deciding, people, pieces, removal, repeats
from richpanel.process.channels import Resolver
from richpanel.process.folding import Folding
from richpanel.process.orders import Orders
from richpanel.store import addresses, manual_rows, message_rows, piece_rows
from richpanel.store.decisions import Cuts
from richpanel.store.parts import MessageIds
from richpanel.store.piece_rows import Piece
from tests.process.account import Arrived, Template, on_sqlite
from tests.process.histories import (
    histories,
    late_links,
    letters_of_known,
    linked_by_hand,
    plans,
    repeated,
    replaced_links,
    replacing,
)
from tests.process.test_law import check, filters, law, small_pieces

EXAMPLES = 600
"""How many histories may be needed at the most; the first few dozen are enough for most."""
Histories = SearchStrategy[list[Arrived]]


def nothing(*_: Any, **__: Any) -> None:
    """Instead of a step: nothing."""


def giving(value: Any) -> Callable[..., Any]:
    """Instead of a step: always the same answer."""
    return lambda *_, **__: value


def arrival_decides(known: dict[str, Any], given: dict[str, Any], stamp: Any) -> list[str]:
    """Traits of one instant are those of the message that was processed last."""
    found = {key: value for key, value in given.items() if key not in known or known[key][1][0] <= stamp[0]}
    known.update({key: (value, stamp) for key, value in found.items()})
    return list(found)


def uncut(links: Any, _: Any) -> Any:
    """Cuts are not looked at."""
    return identity.from_links(links, {})


def with_undone(connection: Any, alias: int, find: Callable[..., Any] = manual_rows.of_alias) -> list[Any]:
    """What was taken back counts."""
    return [(row, True) for row, _ in find(connection, alias)]


def without_orders(load: Callable[..., Piece]) -> Callable[..., Piece]:
    """What a piece's messages are orders of is lost."""
    return lambda *args: load(*args)._replace(orders=[])


def without_sessions(load: Callable[..., Piece]) -> Callable[..., Piece]:
    """Only what pieces say of the profile itself counts."""

    def found(*args: Any) -> Piece:
        piece = load(*args)
        piece.state.open = []
        return piece

    return found


def keeping_what_grows(read: Callable[..., Any]) -> Callable[..., Any]:
    """A piece that is made of messages read again leaves them in the one that is being made."""

    def reading(folding: Folding, *args: Any) -> Any:
        growing = dict(folding.memory.growing)
        events = read(folding, *args)
        folding.memory.growing.update(growing)
        return events

    return reading


class Bug(NamedTuple):
    """Where a rule stands, its name, and what is done instead; among which histories, and with which filters."""

    place: Any
    name: str
    instead: Callable[..., Any]
    among: Histories = histories
    rules: SearchStrategy[list[str]] = st.just([])


BUGS = {
    "the order's tie-break is dropped": Bug(traits, "apply", arrival_decides, late_links()),
    "late messages are folded without a refold": Bug(batch, "refold", giving({})),
    "a duplicate is forgotten": Bug(MessageIds, "find", giving({})),
    "the stored duplicate always counts": Bug(repeats, "_counts_instead", giving(False), replacing),
    "the later duplicate counts": Bug(repeats, "_counts_instead", lambda new, old, _: new.received >= old.received),
    "of a batch's duplicates the last counts": Bug(repeats, "_order", lambda one, other: (other, one)),
    "the repeats of what is replaced are lost": Bug(message_rows, "repeats_of", giving([]), repeated()),
    "orders do not follow a refold": Bug(Orders, "reassign", nothing),
    "orders do not follow a visitor": Bug(Orders, "hand_over", nothing),
    "orders do not follow who becomes a customer": Bug(Orders, "take_of", nothing),
    "orders keep what was taken away": Bug(batch, "refold_orders", nothing, replacing),
    "orders keep what is replaced": Bug(order, "_settle", nothing),
    "the email's history is ignored": Bug(addresses._Emails, "has_one", giving(True)),
    "a carried email makes one": Bug(traits, "email", lambda one, other: (other or one or (None,))[0]),
    "addresses keep what was taken away": Bug(addresses, "remove", giving(set()), letters_of_known()),
    "links stay when they are taken away": Bug(removal, "_unlink", giving(set()), replaced_links()),
    "a run that is split does not resume": Bug(people, "next_link", giving(None), late_links()),
    "a run that loses its link does not resume": Bug(removal, "next_link", giving(None), replaced_links()),
    "a cut by hand cuts nothing": Bug(people, "from_links", uncut, linked_by_hand()),
    "an undo undoes nothing": Bug(manual_rows, "of_alias", with_undone, linked_by_hand()),
    "an undo that comes first is forgotten": Bug(manual_rows, "touched", giving(set()), linked_by_hand()),
    "a late call forgets the links by hand": Bug(manual_rows, "among", giving(set()), linked_by_hand()),
    "a late link moves nothing": Bug(people, "moves", giving([])),
    "a shared device is its first person's": Bug(people, "owner", lambda runs, _: runs[0].uid),
    "letters stay with whom they came to": Bug(Resolver, "follow", giving([])),
    "pieces forget their orders": Bug(piece_rows, "load", without_orders(piece_rows.load)),
    "pieces forget their sessions": Bug(piece_rows, "load", without_sessions(piece_rows.load)),
    "pieces keep what was taken away": Bug(removal, "give_up", nothing, replacing),
    "a message is in two pieces": Bug(pieces, "read", keeping_what_grows(pieces.read), replacing),
    "sessions do not join": Bug(Book, "_join", nothing),
    "the last page is the one that came last": Bug(session, "newest", lambda one, other: other or one),
    "pages and tracks change no email": Bug(pipeline, "_carry_email", giving([])),
    "what filters take is folded": Bug(deciding, "cut_short", nothing, rules=filters),
    "what filters took is folded once a message is read again": Bug(Cuts, "of", giving(None), replacing, filters),
}


@on_sqlite
@pytest.mark.parametrize("name", BUGS)
def test_the_law_fails_where(template: Template, name: str) -> None:
    bug = BUGS[name]

    @settings(law(EXAMPLES), derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False)
    @given(records=bug.among, plan=plans, rules=bug.rules)
    def holds(records: list[Arrived], plan: list[tuple[int, bool]], rules: list[str]) -> None:
        check(template, records, plan, rules)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bug.place, bug.name, bug.instead)
        small_pieces(patch)
        with pytest.raises((AssertionError, KeyError)):
            holds()
