"""Which messages a replay is for: the preview counts what the walk gives, in log order, however it is cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from richpanel.core.identity import UID
from richpanel.core.regulation import hashed
from richpanel.store import deliveries, replay_deliveries, replay_matching
from richpanel.store.database import open_engine, reading
from richpanel.store.deliveries import DEAD, DELIVERED, FAILED, Result
from richpanel.store.destinations import DestinationChanges, list_destinations
from richpanel.store.replay_matching import START, Target, preview, target_of, walk
from richpanel.store.replays import Place, Scope
from richpanel.store.secrets import open_secrets
from richpanel.store.status import processed
from tests.process.account import ARRIVAL, Account, Arrived
from tests.process.calls import call, identify, page, track
from tests.process.test_deciding import change
from tests.process.test_erasure import erase
from tests.process.test_outgoing import Outside
from tests.process.test_replaying import fix
from tests.process.test_suppressing import regulate

DROP = [{"title": "No", "if": "type = 'page'", "actions": [{"type": "DROP"}]}]


@contextmanager
def looking(account: Account, number: int = 1, **scope: Any) -> Iterator[tuple[Connection, Engine, Target, Scope]]:
    with account.account_engine.connect() as connection:
        row = next(row for row in list_destinations(connection) if row.number == number)
    delivery = open_engine(account.directory.delivery_url)
    outcome = scope.pop("outcome", "failed")
    with reading(account.state_engine) as state:
        yield state, delivery, target_of(row), Scope(row.number, outcome, processed(state).position, **scope)
    delivery.dispose()


def matching(account: Account, number: int = 1, **scope: Any) -> list[int]:
    """By their numbers; what the preview counts is held against it."""
    numbers: list[int] = []
    places: list[int] = []
    with looking(account, number, **scope) as (state, delivery, target, asked):
        at: Place | None = START
        while at is not None:
            found = walk(state, delivery, target, asked, at)
            numbers += [row.n for row in found.messages]
            places += [row.place for row in found.messages]
            at = found.next
        assert places == sorted(set(places))
        assert sum(match.count for match in preview(state, delivery, target, asked)) == len(numbers)
    return numbers


def told(account: Account, number: int = 1, **scope: Any) -> list[tuple[str, str, str | None, int]]:
    with looking(account, number, **scope) as (state, delivery, target, asked):
        return [(each.type, each.outcome, each.code, each.count) for each in preview(state, delivery, target, asked)]


def test_the_account_has_what_failed_or_was_kept_back(account: Account) -> None:
    change(account, 1, api_key="wrong", filters=DROP)
    account.write([Arrived([page(1, "u1"), track(2, "Seen", "u1"), call("group", 3, "u1", None), identify(4, "u1")])])
    account.process()
    fix(account)
    change(account, 1, filters=[])
    account.write([Arrived([page(5, "u1")])])
    account.process()
    assert (matching(account), matching(account, outcome="discarded")) == ([2, 4], [1])
    assert matching(account, outcome="all") == [1, 2, 4]  # What it keeps it has, and groups are not for it.
    assert told(account, outcome="all") == [
        ("identify", "failed", "invalid_settings", 1),
        ("page", "filtered", "filtered_by_rules", 1),
        ("track", "failed", "invalid_settings", 1),
    ]


def test_one_that_was_off_was_not_asked(account: Account) -> None:
    change(account, 1, enabled=False)
    account.write([Arrived([page(1, "u1")])])
    account.process()
    change(account, 1, enabled=True)
    assert (matching(account), matching(account, outcome="all")) == ([], [1])
    assert told(account, outcome="all") == [("page", "undecided", None, 1)]


def test_by_time_of_arrival_source_and_person(account: Account) -> None:
    account.write([Arrived([identify(0, "u1", "a1")])])
    account.process()
    change(account, 1, api_key="wrong")
    account.write(
        [
            Arrived([track(1, "One", "u1"), track(2, "Two", "u2")], at=ARRIVAL + 60_000),
            Arrived([track(3, "Three", None, "a1"), track(4, "Four", None, "a2")], "Backend", at=ARRIVAL + 120_000),
        ]
    )
    account.process()
    assert matching(account) == [2, 3, 4, 5]
    assert matching(account, from_at=ARRIVAL + 60_000, to_at=ARRIVAL + 120_000) == [2, 3]
    assert matching(account, source=account.source("Backend").number) == [4, 5]
    key = account.settings.hash_key
    assert matching(account, person=hashed(key, UID, "u1")) == [2, 4]  # The device is u1's.
    assert matching(account, person=hashed(key, UID, "nobody")) == []


def test_who_is_erased_or_kept_out_is_not_among_them(account: Account) -> None:
    account.write([Arrived([identify(0, "u1", "a1")])])
    account.process()
    change(account, 1, api_key="wrong")
    account.write([Arrived([page(1, "u1"), page(2, None, "a1"), page(3, "u2"), page(4, "u3")])])
    account.process()
    regulate(account, "SUPPRESS", "u1")
    account.process()
    assert matching(account) == [4, 5]
    erase(account, uid="u2")
    assert matching(account) == [5]


def outside_with(account: Account) -> tuple[Outside, Engine]:
    outside = Outside(account, open_secrets(account.directory.path))
    account.write([Arrived([track(n, "Seen", f"u{n}") for n in range(1, 6)])])
    account.process()
    delivery = open_engine(account.directory.delivery_url)
    with delivery.begin() as connection, account.state() as state:
        deliveries.take_over(connection, state, outside.row.number, now=ARRIVAL)
    return outside, delivery


def answered(delivery: Engine, number: int, *statuses: int) -> None:
    with delivery.begin() as connection:
        due = deliveries.due(connection, number, deliveries.LIVE, now=ARRIVAL, limit=9)
        deliveries.record(connection, [Result(o, s, ARRIVAL, code="no") for o, s in zip(due, statuses, strict=False)])


def test_outside_it_is_what_was_given_up(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_matching, "_AT_ONCE", 1)
    outside, delivery = outside_with(account)
    number = outside.row.number
    answered(delivery, number, FAILED, DELIVERED, DEAD, FAILED)
    assert matching(account, number) == [1, 3, 4]
    assert told(account, number) == [("track", "failed", "no", 2), ("track", "dead", "no", 1)]
    assert matching(account, number, outcome="all") == [1, 2, 3, 4, 5]
    with delivery.begin() as connection, account.state() as state:
        (place,) = account.rows("SELECT place FROM messages WHERE n = 1")[0]
        assert replay_deliveries.add(connection, state, number, "rpl_1", [place], now=ARRIVAL) == 1
    assert matching(account, number) == [3, 4]
    erase(account, uid="u3")
    assert matching(account, number) == [4]
    delivery.dispose()


def test_outside_it_is_what_its_filters_kept_back(account: Account) -> None:
    outside = Outside(account, open_secrets(account.directory.path))
    outside.change(DestinationChanges(filters=DROP))
    account.write([Arrived([page(1, "u1"), track(2, "Seen", "u1")])])
    account.process()
    assert matching(account, outside.row.number, outcome="discarded") == [1]
    assert matching(account, outside.row.number) == []


@pytest.mark.parametrize("width", [1, 2, 7])
def test_windows_leave_nothing_out(account: Account, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(replay_matching, "_WIDTH", width)
    change(account, 1, api_key="wrong")
    for start in range(0, 30, 6):
        account.write([Arrived([page(n, f"u{n}") for n in range(start, start + 6)])])
    account.process()
    assert matching(account) == list(range(1, 31))


def test_it_goes_on_where_it_was_and_begins_anew_where_the_numbers_are_others(account: Account) -> None:
    change(account, 1, api_key="wrong")
    account.write([Arrived([page(n, f"u{n}") for n in range(5)])])
    account.process()
    with looking(account) as (state, delivery, target, asked):
        rows = walk(state, delivery, target, asked, START).messages
        there = Place(0, rows[2].place, rows[2].n)
        assert [row.n for row in walk(state, delivery, target, asked, there).messages] == [4, 5]
        other = Place(0, rows[2].place, rows[3].n)
        assert [row.n for row in walk(state, delivery, target, asked, other).messages] == [1, 2, 3, 4, 5]
