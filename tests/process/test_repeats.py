"""Repeats (semantics.md 1): one message id counts once per source, for ever, and a different content is a conflict."""

from typing import Any

import pytest

from richpanel.core.timestamps import iso
from richpanel.store.messages import trace
from tests.process.account import ARRIVAL, Account, Arrived
from tests.process.calls import identify, page, track
from tests.process.dump import customer, dump, ids, plain
from tests.process.tables import leftovers

ONE = {**page(0, "u1", path="/a"), "messageId": "m"}
OTHER = {**page(5, "u1", path="/b"), "messageId": "m"}


def traced(account: Account, message_id: str = "m", **options: Any) -> list[dict[str, Any]]:
    found = account.read(trace, account.reader.slice, account.settings, account.sources, message_id, **options)
    return list(plain(found))


@pytest.mark.parametrize("max_bytes", [1, 1 << 20])
def test_a_repeat_counts_once(account: Account, max_bytes: int) -> None:
    account.write([Arrived([ONE]), Arrived([ONE]), Arrived([ONE, ONE])])
    account.process(max_bytes)
    assert ids(customer(account, "u1")) == ["m"]
    (found,) = traced(account)
    assert (found["outcome"], found["conflict"]) == ("kept", False)
    assert [repeat["conflict"] for repeat in found["duplicates"]] == [False, False, False]


@pytest.mark.parametrize("max_bytes", [1, 1 << 20])
def test_of_several_the_first_to_arrive_counts_and_the_others_are_conflicts(account: Account, max_bytes: int) -> None:
    account.write([Arrived([ONE], at=ARRIVAL), Arrived([OTHER], at=ARRIVAL + 1), Arrived([OTHER], at=ARRIVAL + 2)])
    account.process(max_bytes)
    (found,) = traced(account)
    assert found["body"]["properties"] == {"path": "/a"}
    assert found["conflict"] is True
    assert [repeat["conflict"] for repeat in found["duplicates"]] == [True, True]
    (entry,) = customer(account, "u1")["timeline"]
    assert entry["timestamp"] == ONE["timestamp"]


def test_a_repeat_is_found_by_a_worker_that_has_started_anew(account: Account) -> None:
    account.send(ONE)
    account.restart()
    account.send(ONE)
    assert ids(customer(account, "u1")) == ["m"]


@pytest.mark.parametrize("items", [[ONE, OTHER], [OTHER, ONE]])
def test_of_those_that_arrive_together_the_one_with_the_least_digest_counts(
    account: Account, items: list[dict[str, Any]]
) -> None:
    account.send(*items)
    (found,) = traced(account)
    assert found["body"]["properties"] == {"path": "/a"}
    assert found["conflict"] is True


@pytest.mark.parametrize("second", [ARRIVAL, ARRIVAL - 1])
@pytest.mark.parametrize("max_bytes", [1, 1 << 20])
def test_what_is_processed_later_and_arrived_earlier_counts_instead(
    account: Account, max_bytes: int, second: int
) -> None:
    """Of one millisecond the lesser digest counts; ONE has it."""
    account.write([Arrived([OTHER, OTHER], at=ARRIVAL), Arrived([{**OTHER, "extra": 1}], at=ARRIVAL + 5)])
    account.write([Arrived([ONE], at=second), Arrived([ONE], at=ARRIVAL + 9)])
    account.process(max_bytes)
    (found,) = traced(account)
    assert (found["body"]["properties"], found["receivedAt"]) == ({"path": "/a"}, iso(second))
    assert [repeat["conflict"] for repeat in found["duplicates"]] == [True, True, True, False]
    (entry,) = customer(account, "u1")["timeline"]
    assert (entry["id"], entry["timestamp"]) == ("m", ONE["timestamp"])
    assert leftovers(account) == {}


def test_the_event_time_follows_the_arrival_that_counts(account: Account) -> None:
    account.write([Arrived([{**ONE, "timestamp": None}], at=ARRIVAL + n) for n in (0, 5, -5)])
    account.process(1)
    assert [entry["timestamp"] for entry in customer(account, "u1")["timeline"]] == [iso(ARRIVAL - 5)]
    assert customer(account, "u1")["createdAt"] == iso(ARRIVAL - 5)


@pytest.mark.parametrize("instead", [{"userId": "u2"}, {"type": "screen", "userId": "u1"}])
def test_what_it_had_done_is_undone(account: Account, instead: dict[str, Any]) -> None:
    """The person, the link, the email and the order are as if the later arrival had never been."""
    order = {**track(1, "Order Completed", "u1", "a1", order_id="o", total=3), "messageId": "o"}
    account.write([Arrived([{**identify(0, "u1", "a1", email="a@x"), "messageId": "m"}, order, page(2, None, "a1")])])
    early = Arrived([{**ONE, "userId": None, **instead, "anonymousId": None}], at=ARRIVAL - 1)
    account.write([early, Arrived([{**page(1, "u3"), "messageId": "o"}], at=ARRIVAL - 1)])
    account.process(1)
    found = dump(account)
    assert set(found) == {("uid", "u3"), ("anonymousId", "a1")} | (
        {("uid", "u2")} if "u2" in instead.values() else set()
    )
    assert ids(found["anonymousId", "a1"]) == ["page-2-a1"]
    assert leftovers(account) == {}


def test_a_conflict_is_one_with_the_message_that_counts(account: Account) -> None:
    """Not with another repeat of the same batch."""
    account.send(ONE)
    account.send(OTHER, OTHER, ONE)
    assert sorted(repeat["conflict"] for repeat in traced(account)[0]["duplicates"]) == [False, True, True]
    third = {**page(9, "u1", path="/c"), "messageId": "n"}
    account.send(third, third, {**third, "properties": {}}, third)
    (found,) = traced(account, "n")
    differing = [repeat["conflict"] for repeat in found["duplicates"]]
    assert sorted(differing) == ([False, False, True] if found["body"]["properties"] else [True, True, True])


def test_what_differs_from_try_to_try_is_no_conflict(account: Account) -> None:
    for sent in ("2025-10-09T08:53:21Z", "2025-10-09T08:53:29Z"):
        account.send({**ONE, "sentAt": sent, "timestamp": None, "receivedAt": sent, "_metadata": {"n": sent}})
    (found,) = traced(account)
    assert (found["conflict"], len(found["duplicates"])) == (False, 1)


def test_the_order_of_keys_is_no_conflict(account: Account) -> None:
    account.send(ONE)
    account.send(dict(reversed(ONE.items())))
    assert traced(account)[0]["conflict"] is False


def test_the_same_id_of_another_source_is_another_message(account: Account) -> None:
    account.send(ONE)
    account.send(ONE, source="App")
    assert ids(customer(account, "u1")) == ["m", "m"]
    assert {found["source"] for found in traced(account)} == {account.source(name).id for name in ("Website", "App")}
    (one,) = traced(account, source=account.source("App").id)
    assert one["source"] == account.source("App").id


def test_a_repeat_changes_nobody(account: Account) -> None:
    account.send(ONE)
    account.send({**OTHER, "userId": "u2"})
    assert list(dump(account)) == [("uid", "u1")]


def test_repeats_are_counted(account: Account) -> None:
    account.send(ONE, ONE)
    account.send(OTHER)
    counts = account.rows("SELECT what, count FROM counters ORDER BY what")
    assert counts == [("duplicate", 2), ("kept", 1)]


def test_what_nothing_became_is_not_counted(account: Account) -> None:
    """The one that counts instead has another outcome; a count of 0 stays for no one."""
    account.send(ONE)
    account.write([Arrived([{**ONE, "integrations": {"All": False}}], at=ARRIVAL - 1)])
    account.process(1)
    assert account.rows("SELECT what, count FROM counters ORDER BY what") == [("duplicate", 1), ("filtered", 1)]
