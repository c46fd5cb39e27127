"""Watching: what a message can concern, by the event's name in any spelling, or the traits that it sets."""

from richpanel.core.condition_json import read
from richpanel.core.happened import event_name
from richpanel.core.membership import Audience
from richpanel.core.message import Message
from richpanel.core.planning import plan_audience
from richpanel.core.watching import Watch


def test_a_context_is_opened_where_somebody_looks_at_it() -> None:
    where = [{"context": "ip", "op": "exists"}]
    conditions = {
        1: {"event": "Order Completed", "where": where},
        2: {"sequence": ["A", {"then": {"event": "B", "where": where}}]},
        3: {"event": "C", "where": [{"property": "ip", "op": "exists"}]},
    }
    watch = Watch({number: plan_audience(Audience(read(each)), {}, {}) for number, each in conditions.items()})
    assert watch.around == {"Order Completed", "A", "B"}


def test_plans_are_found_by_what_they_look_at() -> None:
    inner = {"vip": Audience(read({"event": "Order Completed"}))}
    conditions = {
        1: {"and": [{"event": "order_completed"}, {"trait": "first_name", "op": "exists"}]},
        2: {"sequence": ["Checkout Started", {"thenNot": "Order Completed"}]},
        3: {"and": [{"audience": "vip"}, {"trait": "address.city", "op": "exists"}]},
    }
    watch = Watch({number: plan_audience(Audience(read(each)), inner, {}) for number, each in conditions.items()})
    assert watch.of_event(event_name("orderCompleted")) == (1, 2, 3)
    assert watch.of_event("Checkout Started") == (2,)
    assert watch.of_event("Page Viewed") == ()
    assert watch.of_event(None) == ()
    for _ in range(2):  # Found, then remembered.
        assert watch.of_call(Message(type="track", event="orderCompleted")) == ("Order Completed", (1, 2, 3))
        assert watch.of_call(Message(type="track", event="page")) == ("page", ())
        assert watch.of_call(Message(type="page", event="Order Completed")) == ("Page Viewed", ())
        assert watch.of_call(Message(type="identify")) == (None, ())
    assert watch.of_traits(["firstName", "email"]) == {1}
    assert watch.of_traits(["address"]) == {3}
