"""First runs: events gathered over all people are theirs when they are read, whatever came after the scan."""

from collections.abc import Callable, Collection

import pytest

from richpanel.core.comparing import Test
from richpanel.core.conditions import AnyOf, Condition, Count, Named, Performed, Step, Where
from richpanel.core.conditions import Sequence as InOrder
from richpanel.core.membership import Audience
from richpanel.core.planning import plan_audience
from richpanel.core.windows import NEVER, Span, Window
from richpanel.process import running
from richpanel.process.definitions import Watch
from richpanel.process.refold import Reader
from richpanel.process.running import Runs
from richpanel.store import gathering, judging
from richpanel.store.gathering import Gathering, last_message
from richpanel.store.happenings import Opener
from richpanel.store.viewing import views
from tests.process.account import ARRIVAL, MINUTE, Account
from tests.process.audiences import add, found, tend
from tests.process.calls import identify, page, track

ORDERED = Audience(Performed(Named("Order Completed")))


def gathered(account: Account, *names: str) -> Gathering:
    """What a scan finds now."""
    with account.state() as connection:
        made = Gathering(names, last_message(connection))
        while not made.scan(connection):
            pass
    return made


def owners(account: Account, made: Gathering, *, low: int = 0, high: int = 1 << 40) -> list[tuple[str, str]]:
    """Whose events are among those of a range of people, and their names."""
    ids = dict(account.rows("SELECT id, value FROM identities"))
    with account.state() as connection:
        return sorted((ids[each.owner], each.name) for each in made.people(connection, low, high))


@pytest.mark.parametrize("most", [0, 1_000])
def test_events_are_whose_they_are_when_they_are_read(
    account: Account, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Scanned in steps, and kept by number or, where there are too many, read from the histories."""
    monkeypatch.setattr(gathering, "STEP", 2)
    monkeypatch.setattr(gathering, "NAMES", 1)
    monkeypatch.setattr(gathering, "MOST", most)
    account.send(
        identify(10, "ann", "d"),
        track(11, "order_completed", None, "d"),
        track(12, "Other", None, "d"),
        page(13, "ann"),
    )
    account.send(track(14, "Order Completed", None, "e"), identify(20, "bob", "d"), track(21, "Seen", None, "d"))
    made = gathered(account, "Order Completed", "Page Viewed")
    assert made.is_dense is (most == 0)
    assert owners(account, made) == [("ann", "Order Completed"), ("ann", "Page Viewed"), ("e", "Order Completed")]
    account.send(identify(22, "cid", "e"), track(23, "OrderCompleted", "bob"), track(24, "Seen", "bob"))
    after = [("ann", "Order Completed"), ("ann", "Page Viewed"), ("bob", "Order Completed"), ("cid", "Order Completed")]
    assert owners(account, made) == after
    ((bob,),) = account.rows("SELECT id FROM identities WHERE value = 'bob'")
    assert owners(account, made, low=bob - 1, high=bob) == [("bob", "Order Completed")]
    numbers = sorted(number for (number,) in account.rows("SELECT id FROM identities WHERE value IN ('ann', 'd', 'e')"))
    assert made.as_far(0, 99, 2) == (numbers[2] - 1 if most else 99)
    assert made.as_far(0, 99, 3) == 99
    assert made.as_far(0, 99, 0) == (1 if most else 99)
    with account.state() as connection:
        made.go_on(last_message(connection))
        while not made.scan(connection):
            pass
    assert owners(account, made) == after


def test_views_are_whose_they_are_when_they_are_read_the_newest_alone(account: Account) -> None:
    account.send(identify(10, "ann", "d"), page(11, None, "d"), page(12, "ann"), page(13, "ann"), page(9, None, "e"))
    account.send(identify(20, "bob", "d"), page(21, None, "d"), page(5, None, "d"), track(30, "Home", "ann"))
    ids = dict(account.rows("SELECT value, id FROM identities"))
    names = {number: value for value, number in ids.items()}

    def seen(newest: int, low: int = 0, high: int = 1 << 40) -> dict[str, list[int]]:
        with account.state() as connection:
            found = views(connection, ["Page Viewed", "Screen Viewed"], low, high, newest)
        first = min(t for (t,) in account.rows("SELECT t FROM messages"))
        return {names[who]: [(each.t - first) // MINUTE for each in events] for who, events in found.items()}

    assert seen(9) == {"ann": [0, 6, 7, 8], "bob": [16], "e": [4]}  # Minutes behind the first one.
    assert seen(1) == {"ann": [8], "bob": [16], "e": [4]}
    assert seen(2, ids["bob"] - 1, ids["bob"]) == {"bob": [16]}
    account.send(identify(40, "cid", "e"))
    names.update({number: value for value, number in account.rows("SELECT value, id FROM identities")})
    assert seen(2, ids["bob"]) == {"cid": [4]}


def test_the_newest_views_are_enough_where_a_plan_counts_them_within_a_time() -> None:
    page, few = Named("Page Viewed"), Count("<", 3)
    recently = Window(Span(30, "days"))
    cases: list[tuple[Condition, int]] = [
        (Performed(page), 1),
        (Performed(page, window=recently, performed=False), 1),
        (Performed(page, few, window=recently), 3),
        (AnyOf((Performed(page), Performed(Named("Screen Viewed"), Count(">", 3)))), 4),
        (Performed(page, window=Window(before=ARRIVAL)), NEVER),
        (Performed(Named("Page Viewed", (Where("property", "path", Test("=", "/")),))), NEVER),
        (AnyOf((Performed(page), InOrder(page, (Step(page),)))), NEVER),
    ]
    for condition, enough in cases:
        assert plan_audience(Audience(condition), {}, {}).newest == enough, condition


def test_a_slice_is_as_wide_as_it_may_take_long(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, widths = Runs(), []
    for seconds in (0.0, 0.1, 0.2, 0.4, 100.0):
        runs.took(seconds * running.SECONDS / 0.2)
        widths.append(runs._width)
    assert widths == [2, 4, 4, 2, 1]


def test_who_is_made_in_a_slice_is_whom_a_plan_concerns(account: Account) -> None:
    """Nobody else is looked at: neither who has no event, nor who is not there."""
    account.send(identify(1, "ann"), track(2, "Order Completed", "ann"), identify(3, "bob"), track(4, "Seen", "bob"))
    plan = add(account, "ordered", ORDERED)
    not_ordered = add(account, "not", Audience(Performed(Named("Order Completed"), performed=False)))
    tend(account, ARRIVAL)
    members: Collection[object] = found(account, plan)
    assert members == {("uid", "ann"): found(account, plan)[("uid", "ann")]}
    assert {who: each.value for who, each in found(account, not_ordered).items()} == {
        ("uid", "ann"): False,
        ("uid", "bob"): True,
    }


def test_a_look_without_time_tells_of_a_part_and_what_that_stands_for(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_NARROW", 2)
    account.send(*[identify(1, f"u{n}") for n in range(8)], *[track(2, "Order Completed", f"u{n}") for n in range(4)])
    plan = plan_audience(ORDERED, {}, {})
    with account.state() as connection:
        reader = Reader(connection, Watch(account.account_engine).current(), account.reader.slice)
        opener = Opener(connection, reader.bodies, reader.sources, [plan])

        def look(has_time: Callable[[float], bool]) -> judging.Judged:
            return judging.judge_all(
                connection, plan, opener, customers_only=True, now=ARRIVAL, sample=3, has_time=has_time
            )

        some, everybody = look(lambda _share: False), look(lambda _share: True)
    assert (some.looked, some.people, some.exact) == (2, 8, False)
    assert some.reckoned == some.met * 4
    assert (everybody.met, everybody.looked, everybody.exact, len(everybody.sample)) == (4, 8, True, 3)
