"""Reasons: why somebody is in an audience or out: each part, its value, and the events that decide it."""

from decimal import Decimal

from richpanel.core.computed import read_computation
from richpanel.core.condition_json import read
from richpanel.core.happened import Happened
from richpanel.core.membership import Audience, Person
from richpanel.core.reasons import MAX_EVENTS, History

DAY = 86_400_000
CUSTOMER = Person()
TRAITS = {"spent": read_computation({"kind": "sum", "event": "Order Completed", "property": "total"})}
AUDIENCES = {"vip": Audience(read({"computed": "spent", "op": ">=", "value": 30}))}


def order(day: int, total: int) -> Happened:
    return Happened((day * DAY, f"m{day}", "web"), "Order Completed", {"total": total})


def history(*events: Happened, now: int, person: Person = CUSTOMER) -> History:
    return History(events, person, now * DAY, audiences=AUDIENCES, traits=TRAITS)


def test_each_part_says_whether_it_holds_and_what_decides_it() -> None:
    events = [order(1, 10), order(20, 20), order(25, 5)]
    recent = {"event": "Order Completed", "within": {"days": 30}, "count": {"op": ">=", "value": 2}}
    condition = read({"and": [recent, {"not": {"audience": "vip"}}, {"trait": "plan", "op": "=", "value": "gold"}]})
    reason = history(*events, now=40, person=Person({"plan": "gold"})).reason(condition)
    assert not reason.holds
    counted, outside, trait = reason.parts
    assert (counted.holds, counted.value, counted.events) == (True, 2, tuple(events[1:]))
    assert not outside.holds
    spent = outside.parts[0].parts[0]
    assert (spent.text, spent.holds, spent.value) == ("computed spent >= 30", True, 35)
    assert spent.events == tuple(events)
    assert (trait.text, trait.holds, trait.value) == ('trait plan = "gold"', True, ["gold"])


def test_a_sequence_names_the_events_of_its_newest_way() -> None:
    condition = read({"sequence": ["Order Completed", {"then": "Order Completed", "within": {"days": 5}}]})
    events = [order(1, 1), order(2, 1), order(10, 1), order(12, 1), order(30, 1)]
    reason = history(*events, now=40).reason(condition)
    assert reason.holds
    assert reason.events == (events[2], events[3])
    assert history(events[0], now=40).reason(condition).events == ()


def test_a_visitor_is_told_what_is_missing() -> None:
    audience = Audience(read({"event": "Order Completed"}))
    reason = history(order(1, 1), now=2, person=Person(customer=False)).audience(audience)
    assert (reason.text, reason.holds, reason.parts[0].holds) == ("is a customer", False, True)


def test_as_many_events_are_named_as_somebody_reads() -> None:
    events = [order(day, 1) for day in range(100)]
    reason = history(*events, now=100).reason(read({"event": "Order Completed"}))
    assert reason.value == 100
    assert reason.events == tuple(events[-MAX_EVENTS:])


def test_values_are_typed() -> None:
    events = [order(1, 1), Happened((2, "m", "web"), "Order Completed", {"total": "2.50"})]
    condition = read({"computed": "spent", "op": "=", "value": Decimal("3.5")})
    assert history(*events, now=3).reason(condition).value == Decimal("3.5")
