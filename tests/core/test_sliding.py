"""Figures of a window that moves: what is kept, and how it goes on as entries leave (core/sliding.py)."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.core.computed import KINDS, Computation, Kind
from richpanel.core.conditions import Named
from richpanel.core.happened import Happened
from richpanel.core.kept import Categories, Outermost, Sums, Times, Total
from richpanel.core.membership import Person, TraitPlan
from richpanel.core.reasons import History
from richpanel.core.sliding import Entries, keeping
from richpanel.core.windows import EVER, NEVER, Span, Window

CATEGORIES: list[Any] = ["a", "b", 2, 10]
CROWDED = st.lists(
    st.builds(
        lambda t, number, value: Happened((t * 500, f"m{number}", "web"), "A", {"v": value}),
        st.integers(0, 8),
        st.integers(0, 99),
        st.sampled_from(CATEGORIES) | st.lists(st.sampled_from(CATEGORIES), max_size=2),
    ),
    max_size=10,
    unique_by=lambda event: event.stamp,
)
"""Few values at few times, so that they meet."""
EVENTS = [(1, "5.00"), (2, "3.00"), (3, "4.00"), (4, "4.00"), (4, "9.00"), (5, "1.00")]


def filled(kind: Kind, events: list[tuple[int, str]], length: int = 100) -> tuple[Entries, list[Any]]:
    way = Entries(kind, length)
    kept = way.empty()
    for number, (t, reading) in enumerate(events):
        way.add(kept, (t, f"m{number}", "web"), [reading])
    return way, kept


@pytest.mark.parametrize(
    ("kind", "kept", "steps"),
    [
        ("sum", 6, ["26.00", "21.00", "18.00", "14.00", "1.00", "0.00"]),
        ("average", 6, ["4.33", "4.20", "4.50", "4.67", "1.00", None]),
        ("minimum", 1, ["1.00", None]),
        ("maximum", 2, ["9.00", "1.00", None]),
        ("first", 6, ["5.00", "3.00", "4.00", "4.00", "1.00", None]),
        ("last", 1, ["1.00", None]),
        ("most_frequent", 6, ["4.00", "4.00", "4.00", None, None, None]),
        ("unique_count", 5, [5, 4, 3, 1, 0]),
    ],
)
def test_steps(kind: Kind, kept: int, steps: list[Any]) -> None:
    way, entries = filled(kind, EVENTS)
    assert len(entries) == kept
    found = list(way.steps(entries, 0))
    assert [f"{value:.2f}" if isinstance(value, Decimal) else value for value, _ in found] == steps
    assert found[-1][1] == NEVER


def test_of_one_instant_the_outermost_alone_is_kept() -> None:
    cases: list[tuple[Kind, str]] = [("minimum", "9.00"), ("maximum", "10.00")]
    for kind, expected in cases:
        for events in ([(4, "10.00"), (4, "9.00")], [(4, "9.00"), (4, "10.00")]):
            assert filled(kind, events)[1] == [[4, expected]]


def test_a_unique_list_is_in_order() -> None:
    way, entries = filled("unique_list", [(1, '"b"'), (2, "10"), (3, "9"), (4, '"a"'), (5, "10")])
    assert next(way.steps(entries, 0)) == (("9", "10", '"a"', '"b"'), 1)


@pytest.mark.parametrize("kind", ["sum", "minimum", "last", "most_frequent", "unique_list"])
def test_what_a_window_has_left_behind_is_not_kept(kind: Kind) -> None:
    _, late = filled(kind, [(10, "1.00"), (0, "0.00")], length=10)
    _, early = filled(kind, [(0, "0.00"), (10, "1.00")], length=10)
    assert len(late) == 1
    assert early == late[:1] or kind == "last"


def test_computations_are_kept_as_their_window_needs() -> None:
    month = Window(Span(30, "days"))
    cases: list[tuple[Kind, Window, type]] = [
        ("count", EVER, Total),
        ("count", month, Times),
        ("count", Window(after=5), Total),
        ("sum", EVER, Sums),
        ("sum", month, Entries),
        ("minimum", EVER, Outermost),
        ("last", Window(before=5), Outermost),
        ("unique_list", EVER, Categories),
        ("most_frequent", month, Entries),
    ]
    for kind, window, expected in cases:
        assert type(keeping(Computation(kind, Named("A"), "v", window))) is expected


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 4), CROWDED, st.data())
def test_is_the_definition_and_a_union(kind: Kind, length: int, events: list[Happened], data: st.DataObject) -> None:
    path = None if kind == "count" else "v"
    computation = Computation(kind, Named("A"), path, Window(Span(length, "seconds")))
    plan = TraitPlan(computation)

    def fed(some: list[Happened]) -> list[Any]:
        state = plan.empty()
        for each in some:
            plan.add(state, each)
        return state

    state = fed(events)
    assert fed(data.draw(st.permutations(events))) == state
    cut = data.draw(st.integers(0, len(events)))
    joined = fed(events[:cut])
    plan.join(joined, fed(events[cut:]))
    assert joined == state
    changed = now = max((each.t for each in events), default=0)
    while now < 10_000:
        expected = History(events, Person(), now, audiences={}, traits={}).value(computation)
        value, until = plan.value(state, now)
        assert value == expected
        if now == changed:
            changed = until
        assert until == changed
        now += 250
