"""Sequences: strict order, "did not", windows and their ends, against the definition (core/reasons.py)."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.core.condition_json import read
from richpanel.core.conditions import Named, Sequence, Step
from richpanel.core.happened import Happened
from richpanel.core.membership import Person
from richpanel.core.reasons import History
from richpanel.core.sequences import Chain
from richpanel.core.windows import NEVER, Span
from tests.core.engage_cases import WINDOWS

HOUR = 3_600_000
EVENTS = st.builds(
    lambda t, number, name: Happened((t * 500, f"m{number}", "web"), name),
    st.integers(0, 12),
    st.integers(0, 99),
    st.sampled_from("ABC"),
)
HISTORIES = st.lists(EVENTS, max_size=8, unique_by=lambda event: event.stamp)
STEPS = st.builds(
    Step,
    st.sampled_from("ABC").map(Named),
    st.booleans(),
    st.none() | st.integers(1, 3).map(lambda n: Span(n, "seconds")),
)
SEQUENCES = st.builds(
    Sequence, st.sampled_from("AB").map(Named), st.lists(STEPS, min_size=1, max_size=4).map(tuple), WINDOWS
)


def holds(sequence: Sequence, events: list[Happened], now: int) -> bool:
    return History(events, Person(), now, audiences={}, traits={}).reason(sequence).holds


def keep(chain: Chain, events: list[Happened]) -> list[Any]:
    kept = chain.empty()
    for each in events:
        chain.take(kept, each)
    return kept


@settings(max_examples=1_000, deadline=None)
@given(SEQUENCES, HISTORIES)
def test_holds_when_the_definition_says_so(sequence: Sequence, events: list[Happened]) -> None:
    chain = Chain(sequence)
    kept = keep(chain, events)
    now = max((each.t for each in events), default=0)
    while now < 20_000:
        held, until = chain.judge(kept, now)
        assert until > now
        end = min(until, 20_000)
        for instant in {*range(now, end, 500), end - 1}:
            assert holds(sequence, events, instant) == held, instant
        if until < 20_000:
            assert holds(sequence, events, until) != held
        now = until


@settings(max_examples=300, deadline=None)
@given(SEQUENCES, st.data())
def test_is_a_union(sequence: Sequence, data: st.DataObject) -> None:
    chain = Chain(sequence)
    events = data.draw(HISTORIES)
    expected = keep(chain, events)
    assert keep(chain, data.draw(st.permutations(events))) == expected
    cut = data.draw(st.integers(0, len(events)))
    one, other = keep(chain, events[:cut]), keep(chain, events[cut:])
    chain.join(one, other)
    assert msgspec.msgpack.encode(one) == msgspec.msgpack.encode(expected)


def at(*events: tuple[float, str]) -> list[Happened]:
    return [Happened((int(hours * HOUR), f"m{number}", "web"), name) for number, (hours, name) in enumerate(events)]


ABANDONED = {"sequence": ["Checkout Started", {"thenNot": "Order Completed", "within": {"hours": 1}}]}
BOUGHT = {"sequence": ["Checkout Started", {"then": "Order Completed", "within": {"hours": 1}}]}
STILL_NOT = {"sequence": ["Checkout Started", {"thenNot": "Order Completed"}]}
UNINTERRUPTED = {"sequence": ["A", {"thenNot": "B"}, {"then": "C"}]}
QUIET_FOR_AN_HOUR = {"sequence": ["A", {"thenNot": "B", "within": {"hours": 1}}, {"then": "C"}]}
CHECKOUT, ORDER = "Checkout Started", "Order Completed"


@pytest.mark.parametrize(
    ("given", "events", "now", "expected"),
    [
        (ABANDONED, [(0, CHECKOUT)], 0, (False, 1)),  # Time alone brings them in.
        (ABANDONED, [(0, CHECKOUT)], 1, (True, NEVER)),
        (ABANDONED, [(0, CHECKOUT), (0.5, ORDER)], 1, (False, NEVER)),
        (ABANDONED, [(0, CHECKOUT), (1, ORDER)], 1, (True, NEVER)),  # It came when the hour was over.
        (ABANDONED | {"within": {"hours": 24}}, [(0, CHECKOUT)], 1, (True, 24)),
        (ABANDONED | {"within": {"hours": 1}}, [(0, CHECKOUT)], 0, (False, NEVER)),  # It leaves as it is settled.
        (ABANDONED, [(0, CHECKOUT), (0.5, ORDER), (2, CHECKOUT)], 2, (False, 3)),
        (BOUGHT, [(0, CHECKOUT), (0.999, ORDER)], 2, (True, NEVER)),
        (BOUGHT, [(0, CHECKOUT), (1, ORDER)], 2, (False, NEVER)),
        (BOUGHT, [(0, ORDER), (0.5, CHECKOUT)], 2, (False, NEVER)),
        (STILL_NOT, [(0, CHECKOUT)], 0, (True, NEVER)),
        (STILL_NOT, [(0, CHECKOUT), (99, ORDER)], 99, (False, NEVER)),
        (UNINTERRUPTED, [(0, "A"), (1, "C")], 1, (True, NEVER)),
        (UNINTERRUPTED, [(0, "A"), (1, "B"), (2, "C")], 2, (False, NEVER)),
        (UNINTERRUPTED, [(0, "A"), (1, "B"), (2, "A"), (3, "C")], 3, (True, NEVER)),
        (QUIET_FOR_AN_HOUR, [(0, "A"), (0.5, "B"), (5, "B"), (6, "C")], 6, (False, NEVER)),
        (QUIET_FOR_AN_HOUR, [(0, "A"), (1, "B"), (5, "B"), (6, "C")], 6, (True, NEVER)),
        (
            ABANDONED | {"within": {"hours": 24}},
            [(0, CHECKOUT), (23, CHECKOUT)],
            23,
            (True, 47),
        ),  # The one goes on as the other.
        ({"sequence": ["A", {"then": "A"}]}, [(0, "A")], 0, (False, NEVER)),
        ({"sequence": ["A", {"then": "A"}]}, [(0, "A"), (0, "A")], 0, (True, NEVER)),  # By the order of messages.
    ],
)
def test_examples(
    given: dict[str, Any], events: list[tuple[float, str]], now: float, expected: tuple[bool, int]
) -> None:
    condition = read(given)
    assert isinstance(condition, Sequence)
    chain = Chain(condition)
    member, until = expected
    held = chain.judge(keep(chain, at(*events)), int(now * HOUR))
    assert held == (member, until if until == NEVER else until * HOUR)


def test_what_has_happened_for_good_is_kept_as_that() -> None:
    condition = read(BOUGHT)
    assert isinstance(condition, Sequence)
    chain = Chain(condition)
    kept = keep(chain, at((0, CHECKOUT), (0.5, ORDER)))
    assert kept == [0]
    assert not chain.take(kept, at((9, CHECKOUT))[0])
