"""People (semantics.md 3): links, shared devices, late links, and what of it is folded afresh."""

import itertools
from typing import Any

import pytest

from richpanel.core.identity import MAX_UIDS
from richpanel.store.profiles import CustomerDetail, Moved, find_customer, find_visitor
from tests.process.account import Account, Arrived
from tests.process.calls import identify, page, track
from tests.process.dump import customer, dump, ids
from tests.process.test_repeats import traced


def test_a_visitor_is_stored_and_is_no_customer(account: Account) -> None:
    account.send(page(0, None, "a1"), track(1, "Product Added", None, "a1"))
    assert list(dump(account)) == [("anonymousId", "a1")]
    (visitor,) = dump(account).values()
    assert (visitor["uid"], visitor["customerSince"], ids(visitor)) == (None, None, ["page-0-a1", "track-1-a1"])
    assert account.read(find_customer, account.settings, "a1") is None


def test_an_identify_brings_the_history_along(account: Account) -> None:
    account.send(page(0, None, "a1"))
    account.send(identify(5, "u1", "a1", email="a@x"))
    account.send(page(10, None, "a1"))
    assert list(dump(account)) == [("uid", "u1")]
    shown = customer(account, "u1")
    assert ids(shown) == ["page-0-a1", "customer", "page-10-a1"]
    assert (shown["createdAt"], shown["visits"], len(shown["sessions"])) == ("2025-10-09T08:53:20.000Z", 1, 1)
    assert account.read(find_visitor, account.settings, "a1") == Moved("u1")


def test_who_was_never_identified_stays_a_visitor(account: Account) -> None:
    account.send(page(0, "u1", "a1"), page(1, None, "a1"))
    found = account.read(find_visitor, account.settings, "u1")
    assert isinstance(found, CustomerDetail)
    assert found.customer_since is None
    assert account.read(find_customer, account.settings, "u1") is None
    assert account.read(find_visitor, account.settings, "a1") == Moved("u1", customer=False)


def test_an_identify_without_a_uid_sets_a_visitors_traits(account: Account) -> None:
    account.send(identify(0, None, "a1", plan="gold"))
    (visitor,) = dump(account).values()
    assert (visitor["traits"], visitor["customerSince"], visitor["timeline"]) == ({"plan": "gold"}, None, [])


def test_a_shared_device_splits_at_the_second_login(account: Account) -> None:
    account.send(page(0, None, "a1"), identify(10, "u1", "a1"), page(20, None, "a1"))
    account.send(identify(30, "u2", "a1"), page(40, None, "a1"))
    account.send(page(25, None, "a1"), page(35, None, "a1"))
    assert ids(customer(account, "u1")) == ["page-0-a1", "customer", "page-20-a1", "page-25-a1"]
    assert ids(customer(account, "u2")) == ["customer", "page-35-a1", "page-40-a1"]


def test_two_uids_are_never_merged(account: Account) -> None:
    account.send(identify(0, "u1", "a1", email="a@x"), identify(1, "u2", "a1", email="a@x"))
    assert set(dump(account)) == {("uid", "u1"), ("uid", "u2")}


def test_a_late_login_takes_its_span_and_gives_it_back(account: Account) -> None:
    """The history between is another's from then on: both are folded afresh, sessions and figures too."""
    order = track(25, "Order Completed", None, "a1", order_id="o1", total=10)
    account.send(identify(0, "u1", "a1"), page(10, None, "a1"), order, page(40, None, "a1"), identify(50, "u1", "a1"))
    assert customer(account, "u1")["ltv"] == "10.00"
    account.send(identify(20, "u2", "a1"))
    one, other = customer(account, "u1"), customer(account, "u2")
    assert (ids(one), one["ordersCount"]) == (["customer", "page-10-a1"], 0)
    assert ids(other) == ["customer", "track-25-a1", "page-40-a1"]
    assert (other["ordersCount"], other["ltv"], len(other["sessions"])) == (1, "10.00", 1)
    account.send(identify(30, "u1", "a1"))
    assert ids(customer(account, "u1")) == ["customer", "page-10-a1", "page-40-a1"]
    assert ids(customer(account, "u2")) == ["customer", "track-25-a1"]


def test_a_late_login_ends_where_its_own_first_person_is_seen_again(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), page(30, "u1", "a1"), page(60, "u1", "a1"), page(45, None, "a1"))
    account.send(identify(20, "u2", "a1"))
    account.send(page(25, None, "a1"))
    assert ids(customer(account, "u2")) == ["customer", "page-25-a1"]
    assert "page-45-a1" in ids(customer(account, "u1"))


def test_two_devices_of_one_person(account: Account) -> None:
    account.send(page(0, None, "a1"), page(1, None, "a2"))
    account.send(identify(5, "u1", "a1"), identify(6, "u1", "a2"))
    shown = customer(account, "u1")
    assert ids(shown) == ["page-0-a1", "page-1-a2", "customer"]
    assert [each[:2] for each in shown["identities"]] == [("anonymousId", "a1"), ("anonymousId", "a2"), ("uid", "u1")]


def test_a_blocked_uid_counts_as_absent(account: Account) -> None:
    account.send(identify(0, "null", "a1", plan="gold"))
    assert list(dump(account)) == [("anonymousId", "a1")]


def test_a_device_of_too_many_people_is_nobodys(account: Account) -> None:
    uids = [f"u{number:02}" for number in range(MAX_UIDS)]
    account.send(page(0, None, "kiosk"), *(identify(10 + n, uid, "kiosk") for n, uid in enumerate(uids)))
    account.send(page(20.5, None, "kiosk"), page(99, None, "kiosk"))
    assert ids(customer(account, "u10")) == ["customer", "page-20.5-kiosk"]
    account.send(identify(50, "one-more", "kiosk"))
    everyone = dump(account)
    assert ids(everyone[("anonymousId", "kiosk")]) == ["page-0-kiosk", "page-20.5-kiosk", "page-99-kiosk"]
    assert all(ids(everyone[("uid", uid)]) == ["customer"] for uid in [*uids, "one-more"])


def test_what_makes_others_fold_afresh_says_what_it_changed_itself(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), page(10, None, "a1"))
    account.send(identify(5, "u2", "a1", plan="gold", email="b@x"), page(15, "u2", "a1", email="c@x"))
    became = {"what": "became_customer"}
    (login,), (carrying,) = (traced(account, name) for name in ("identify-5-u2-a1", "page-15-u2-a1"))
    set_plan, set_email = (
        {"what": "trait", "key": key, "value": value} for key, value in (("plan", "gold"), ("email", "b@x"))
    )
    assert login["changes"] == [became, set_plan, set_email]
    assert carrying["changes"] == [{"what": "trait", "key": "email", "value": "c@x"}]
    assert traced(account, "identify-0-u1-a1")[0]["changes"] == [became]


STEPS: list[dict[str, Any]] = [
    page(0, None, "a1"),
    identify(10, "u1", "a1", email="a@x"),
    track(20, "Order Completed", None, "a1", order_id="o1", total=5),
    identify(30, "u2", "a1", name="Bo"),
    page(40, None, "a1", richpanel_session_id="s1"),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(len(STEPS))))[::7])
def test_every_order_of_arrival_ends_the_same(account: Account, order: tuple[int, ...]) -> None:
    account.write([Arrived([STEPS[step]]) for step in order])
    assert account.process(max_bytes=1) == len(STEPS)
    everyone = dump(account)
    assert ids(everyone[("uid", "u1")]) == ["page-0-a1", "customer", "track-20-a1"]
    assert ids(everyone[("uid", "u2")]) == ["customer", "page-40-a1"]
    assert [everyone[("uid", uid)]["ltv"] for uid in ("u1", "u2")] == ["5.00", "0.00"]
    assert len(everyone) == 2
