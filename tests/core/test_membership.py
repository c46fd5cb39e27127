"""Membership as messages arrive is what the definition says (core/reasons.py), at every instant, in whatever order."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from richpanel.core.announcing import Told, entering
from richpanel.core.comparing import Test
from richpanel.core.computed import Computation
from richpanel.core.conditions import All, AnyOf, Computed, Condition, InAudience, Named, Not, Performed, Trait
from richpanel.core.happened import Happened
from richpanel.core.membership import Audience, AudiencePlan, Person, Plan, TraitPlan
from richpanel.core.planning import plan_audience
from richpanel.core.reasons import History
from richpanel.core.windows import NEVER, Span, Window
from tests.core.engage_cases import COMPUTATIONS, CONDITIONS, HISTORIES, LAST, LIBRARIES, PEOPLE

Library = tuple[dict[str, Computation], dict[str, Audience]]
DAY = 86_400_000
END = LAST + 60_000
"""By then all windows have closed, and all that was to follow has had its time."""


def pack(state: Any) -> bytes:
    return msgspec.msgpack.encode(state, order="deterministic")


def fed(plan: Plan, events: Sequence[Happened]) -> list[Any]:
    """The state after these events, packed and unpacked as a store does; `add` says when it changed."""
    state = plan.empty()
    for each in events:
        before = pack(state)
        changed = plan.add(state, each)
        state = msgspec.msgpack.decode(pack(state))
        assert changed == (pack(state) != before)
    return state


def is_member(events: Sequence[Happened], person: Person, now: int, audience: Audience, library: Library) -> bool:
    traits, audiences = library
    return History(events, person, now, audiences=audiences, traits=traits).audience(audience).holds


def latest(events: Sequence[Happened]) -> int:
    return max((each.t for each in events), default=0)


def instants(now: int, until: int) -> Iterator[int]:
    """Instants of a stretch of time: its ends, and each quarter of a second, where all that changes does."""
    end = min(until, END)
    yield from {now, *range((now // 250 + 1) * 250, end, 250), max(now, end - 1)}


def assert_same(
    plan: AudiencePlan, events: Sequence[Happened], person: Person, audience: Audience, library: Library
) -> None:
    """From the last event on, the verdicts are those of the definition, each up to its very end."""
    state = fed(plan, events)
    now = latest(events)
    while now < END:
        verdict = plan.judge(state, person, now)
        for instant in instants(now, verdict.until):
            assert is_member(events, person, instant, audience, library) == verdict.member, instant
        assert verdict.until > now
        if verdict.until < END:
            assert is_member(events, person, verdict.until, audience, library) != verdict.member
        now = verdict.until
    assert now == NEVER or now >= END


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, LIBRARIES, HISTORIES, PEOPLE, st.booleans())
def test_is_the_definition_at_every_instant(
    condition: Condition, library: Library, events: list[Happened], person: Person, visitors: bool
) -> None:
    audience = Audience(condition, visitors)
    plan = plan_audience(audience, library[1], library[0])
    assert_same(plan, events, person, audience, library)


@settings(max_examples=200, deadline=None)
@given(CONDITIONS, LIBRARIES, HISTORIES, PEOPLE)
def test_is_the_definition_after_each_arrival(
    condition: Condition, library: Library, events: list[Happened], person: Person
) -> None:
    audience = Audience(condition)
    plan = plan_audience(audience, library[1], library[0])
    state = plan.empty()
    for number, each in enumerate(events, 1):
        plan.add(state, each)
        now = latest(events[:number])
        assert plan.judge(state, person, now).member == is_member(events[:number], person, now, audience, library)


@settings(max_examples=300, deadline=None)
@given(CONDITIONS, LIBRARIES, st.data())
def test_state_is_a_union(condition: Condition, library: Library, data: st.DataObject) -> None:
    plan = plan_audience(Audience(condition), library[1], library[0])
    events = data.draw(HISTORIES)
    expected = pack(fed(plan, events))
    assert pack(fed(plan, data.draw(st.permutations(events)))) == expected
    cut = data.draw(st.integers(0, len(events)))
    one, other = fed(plan, events[:cut]), fed(plan, events[cut:])
    was = deepcopy(other)
    plan.join(one, other)
    assert pack(one) == expected
    assert other == was


@settings(max_examples=400, deadline=None)
@given(COMPUTATIONS, HISTORIES, st.data())
def test_value_is_the_definition_at_every_instant(
    computation: Computation, events: list[Happened], data: st.DataObject
) -> None:
    plan = TraitPlan(computation)
    state = fed(plan, events)
    assert pack(fed(plan, data.draw(st.permutations(events)))) == pack(state)
    now = latest(events)
    while now < END:
        value, until = plan.value(state, now)
        for instant in instants(now, until):
            expected = History(events, Person(), instant, audiences={}, traits={}).value(computation)
            assert expected == value, instant
        assert until > now
        if until < END:
            assert History(events, Person(), until, audiences={}, traits={}).value(computation) != value
        now = until


@settings(max_examples=200, deadline=None)
@given(COMPUTATIONS, st.data())
def test_state_of_a_trait_is_a_union(computation: Computation, data: st.DataObject) -> None:
    plan = TraitPlan(computation)
    events = data.draw(HISTORIES)
    cut = data.draw(st.integers(0, len(events)))
    one, other = fed(plan, events[:cut]), fed(plan, events[cut:])
    plan.join(one, other)
    assert pack(one) == pack(fed(plan, events))


class Teller:
    """A person as processing has them: a state, when to judge it again, what was told, and a clock that moves."""

    def __init__(self, plan: AudiencePlan, person: Person) -> None:
        self.plan, self.person = plan, person
        self.state = plan.empty()
        self.now, self.until = 0, 0
        self.told: Told | None = None

    def goes_on(self, now: int) -> None:
        """Time passes: whoever is due is judged at that very instant."""
        while self.until <= now:
            self.now = self.until
            self.judge()
        self.now = now

    def judge(self) -> None:
        member, self.until = self.plan.judge(self.state, self.person, self.now)
        self.told = entering(self.told, member, self.now) or self.told


@settings(max_examples=150, deadline=None)
@given(CONDITIONS, LIBRARIES, HISTORIES, PEOPLE, st.data())
def test_what_was_told_is_the_definition_all_along(
    condition: Condition, library: Library, events: list[Happened], person: Person, data: st.DataObject
) -> None:
    """Messages come late, and a visitor turns out to be the person, while windows close."""
    audience = Audience(condition)
    teller = Teller(plan_audience(audience, library[1], library[0]), person)
    arrivals = [(each.t + data.draw(st.sampled_from([0, 0, 250, 3_000, 20_000])), each) for each in events]
    visited = data.draw(st.lists(st.sampled_from(events), unique_by=lambda each: each.stamp)) if events else []
    login = data.draw(st.integers(0, 40)) * 500
    visitor = teller.plan.empty()
    arrived: list[Happened] = []
    for now in range(0, 60_000, 250):
        teller.goes_on(now)
        for _, each in [arrival for arrival in arrivals if arrival[0] == now]:
            if each in visited and now < login:
                teller.plan.add(visitor, each)
                continue
            teller.plan.add(teller.state, each)
            arrived.append(each)
            teller.judge()
        if now == login:
            teller.plan.join(teller.state, visitor)
            arrived = [each for at, each in arrivals if at <= now]
            teller.judge()
        told = teller.told is not None and teller.told.value
        assert told == is_member(arrived, person, now, audience, library), now


def ordered(t: int, number: int = 0) -> Happened:
    return Happened((t, f"m{number}", "web"), "Order Completed")


def test_order_completed_last_30days() -> None:
    """The example of the documents: true on the order, false 30 days later to the millisecond, true on the next."""
    month = Window(Span(30, "days"))
    plan = plan_audience(Audience(Performed(Named("Order Completed"), window=month)), {}, {})
    state, person = plan.empty(), Person()
    assert plan.judge(state, person, 0) == (False, NEVER)
    assert plan.add(state, ordered(5))
    assert plan.judge(state, person, 5) == (True, 5 + 30 * DAY)
    assert plan.judge(state, person, 5 + 30 * DAY - 1) == (True, 5 + 30 * DAY)
    assert plan.judge(state, person, 5 + 30 * DAY) == (False, NEVER)
    assert plan.add(state, ordered(40 * DAY, 1))
    assert plan.judge(state, person, 40 * DAY) == (True, 70 * DAY)
    assert state == [[40 * DAY]]  # The first order can never count again.


def test_where_one_part_takes_over_from_another_nothing_changes() -> None:
    """Both windows close at once: who is in for the one is in for the other from then on."""
    ordered_lately = Performed(Named("Order Completed"), window=Window(Span(3, "seconds")))
    not_seen_lately = Performed(Named("Viewed"), performed=False, window=Window(Span(2, "seconds")))
    for condition, member in (
        (AnyOf((ordered_lately, not_seen_lately)), True),
        (All((Not(ordered_lately), Not(not_seen_lately))), False),
    ):
        plan = plan_audience(Audience(condition), {}, {})
        state = plan.empty()
        plan.add(state, ordered(1_000))
        plan.add(state, Happened((2_000, "m", "web"), "Viewed"))
        assert plan.judge(state, Person(), 2_000) == (member, NEVER)


def test_a_computed_trait_may_be_a_time_to_come() -> None:
    traits = {"due": Computation("last", Named("Order Completed"), "due", Window(Span(4, "seconds")))}
    plan = plan_audience(Audience(Computed("due", Test("within_next", Span(2, "seconds")))), {}, traits)
    state, person = plan.empty(), Person()
    plan.add(state, ordered(1_000)._replace(properties={"due": "1970-01-01T00:00:04Z"}))
    assert plan.judge(state, person, 1_000) == (False, 2_000)
    assert plan.judge(state, person, 2_000) == (True, 4_000)
    plan.add(state, ordered(2_000, 1)._replace(properties={"due": "1970-01-01T00:00:09Z"}))
    assert plan.judge(state, person, 2_000) == (False, NEVER)  # It leaves the window before it is near.


def test_what_never_changes_anything_is_not_kept() -> None:
    plan = plan_audience(Audience(Performed(Named("Order Completed"))), {}, {})
    state = plan.empty()
    assert plan.add(state, ordered(1, 1))
    assert not plan.add(state, ordered(2, 2))
    assert not plan.add(state, Happened((3, "m3", "web"), "Order Refunded"))


def test_visitors_are_in_no_audience_that_does_not_include_them() -> None:
    everybody = Not(Performed(Named("Order Completed")))
    for visitors, expected in ((False, False), (True, True)):
        plan = plan_audience(Audience(everybody, visitors), {}, {})
        assert plan.judge(plan.empty(), Person(customer=False), 0).member is expected
        assert plan.judge(plan.empty(), Person(), 0).member
    inner = {"strict": Audience(everybody)}
    plan = plan_audience(Audience(InAudience("strict"), visitors=True), inner, {})
    assert not plan.judge(plan.empty(), Person(customer=False), 0).member


@pytest.mark.parametrize("key", ["firstName", "first_name", "First Name"])
def test_traits_are_asked_for_by_their_one_spelling(key: str) -> None:
    plan = plan_audience(Audience(Trait(key, Test("=", "Ada"))), {}, {})
    assert plan.judge([], Person({"firstName": "Ada"}), 0).member
    assert "firstName" in plan.keys
