"""What is deleted leaves what was told as plain traits, whatever is killed, folded afresh or made anew."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.core import announcing
from richpanel.core.announcing import Computing, Told
from richpanel.core.comparing import Test
from richpanel.core.computed import Computation
from richpanel.core.conditions import Named, Performed, Trait
from richpanel.core.membership import Audience
from richpanel.core.money import decode_exact
from richpanel.process import tending
from richpanel.store import computations, memberships, profile_rows
from richpanel.store.bulk import fetch
from richpanel.store.memberships import ALL
from tests.process.account import ARRIVAL, Account, Arrived, Template, copy_of, on_sqlite
from tests.process.audiences import add, found, library, tell, tend
from tests.process.calls import identify, page, track
from tests.process.dump import customer, ids
from tests.process.histories import histories, plans
from tests.process.regulations import regulation
from tests.process.test_law import brief, process
from tests.process.test_rebuilding import different, rebuilt

EVER = Audience(Performed(Named("Order Completed")))
SPENT = Computation("sum", Named("Order Completed"), "total")
DAY = 24 * 60


def delete(account: Account, key: str, now: int = ARRIVAL) -> None:
    with account.account_engine.begin() as connection:
        row = next(row for row in computations.list_computations(connection) if row.key == key)
        computations.delete_computation(connection, row, now=now)


def left(account: Account, key: str, *uids: str) -> list[Any]:
    return [customer(account, uid)["traits"].get(key) for uid in uids]


def told_three(account: Account) -> None:
    """Three people, of whom two have bought; then the audience and the trait are deleted."""
    add(account, "ever", EVER)
    add(account, "spent", SPENT)
    account.send(*(identify(number, f"u{number}") for number in range(3)))
    account.send(*(track(5 + number, "Order Completed", f"u{number}", total=7.25) for number in range(2)))
    tend(account, ARRIVAL)
    assert tell(account, ARRIVAL) == 4
    for key in ("ever", "spent"):
        delete(account, key)


def test_who_was_told_keeps_the_last_value(account: Account) -> None:
    told_three(account)
    tend(account, ARRIVAL)
    assert left(account, "ever", "u0", "u1", "u2") == [True, True, None]
    assert [str(each) for each in left(account, "spent", "u0", "u1")] == ["7.25", "7.25"]
    with account.account_engine.connect() as connection:
        assert all(row[0] for row in fetch(connection, "SELECT released_at FROM computations"))
    account.send(identify(61 * DAY, "u0", ever="again"))
    assert left(account, "ever", "u0") == ["again"]


def test_a_kill_between_slices_leaves_nobody_out(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "LEFT", 1)
    told_three(account)
    while not any(left(account, "ever", "u0", "u1")):
        assert account.worker.tend(ARRIVAL)
    assert left(account, "ever", "u0", "u1") == [True, None]
    account.restart()
    tend(account, ARRIVAL)
    assert left(account, "ever", "u0", "u1", "u2") == [True, True, None]
    reached = account.read(memberships.reached)
    assert {number: reached[-number] for number in (1, 2)} == {1: ALL, 2: ALL}


def test_it_stays_where_people_are_folded_afresh_and_where_the_state_is_made_anew(account: Account) -> None:
    account.send(page(0, None, "a1"), identify(30, "u0", "a1"))
    told_three(account)
    tend(account, ARRIVAL)
    account.send(identify(10, "u9", "a1"))  # So `a1` was u9's: both are folded afresh.
    assert "page-0-a1" in ids(customer(account, "u9"))
    assert left(account, "ever", "u0", "u1", "u9") == [True, True, None]
    assert different(rebuilt(account, now=ARRIVAL)) == {}


def test_who_is_erased_keeps_nothing_and_begins_afresh(account: Account) -> None:
    told_three(account)
    add(account, "buyers", EVER)
    tend(account, ARRIVAL)
    account.write([regulation(account, "DELETE", {"uid": "u0"})])
    account.process()
    with account.account_engine.connect() as connection:
        (erased,) = fetch(connection, "SELECT erased FROM regulations")[0]
    counts = {table: each["count"] for table, each in json.loads(erased).items()}
    assert (counts["memberships"], counts["told"], account.rows("SELECT count(*) FROM told")) == (1, 2, [(2,)])
    account.send(identify(61 * DAY, "u0", plan="gold"))
    assert left(account, "ever", "u0", "u1") == [None, True]
    assert different(rebuilt(account, "state-00000001.db", now=ARRIVAL)) == {}


def test_what_is_folded_late_is_left_too(account: Account) -> None:
    told_three(account)
    tend(account, ARRIVAL)
    with account.account_engine.connect() as connection:
        of = next(each for each in computations.ended(connection) if each.key == "ever")
    late = announcing.identify(Computing("audience", of.id, 1, of.key, "space"), "u2", Told(True, 1, ARRIVAL + 1))
    account.write([Arrived([late], "Engage", ARRIVAL + 1)])
    account.process()
    assert left(account, "ever", "u2") == [True]
    assert different(rebuilt(account, now=ARRIVAL)) == {}


def test_an_audience_that_asks_for_the_trait_sees_what_is_left(account: Account) -> None:
    plan = add(account, "keepers", Audience(Trait("ever", Test("=", True))))
    told_three(account)
    assert found(account, plan) == {}
    tend(account, ARRIVAL)
    assert {who: each.value for who, each in found(account, plan).items()} == {("uid", "u0"): True, ("uid", "u1"): True}


@on_sqlite
@brief(30)
@given(records=histories, plan=plans, begin=st.integers(0, 6), at_once=st.booleans())
def test_what_is_left_follows_from_what_was_told(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]], begin: int, at_once: bool
) -> None:
    """Whoever joins, is folded afresh or is new meanwhile, and whatever the slices and the batches do first."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tending, "LEFT", 2)
        account = copy_of(template, Path(folder) / "data")
        try:
            library(account)
            account.write(records[:begin])
            process(account, plan)
            now = max([ARRIVAL, *(each.at for each in records)])
            tend(account, now)
            tell(account, now)
            for key in ("orders", "viewed"):
                delete(account, key, now)
            if at_once:
                tend(account, now)
            account.worker.tend(now)
            account.write(records[begin:])
            process(account, plan)
            tend(account, now)
            for uid, key, value in account_told(account):
                profile = account.read(profile_rows.load, [uid]).get(uid)
                assert profile is None or decode_exact(profile.traits[key][0] or "null") == value
            assert different(rebuilt(account, now=now)) == {}
        finally:
            account.close()


def account_told(account: Account) -> list[tuple[int, str, Any]]:
    """What was told of what is deleted: of which uid, under which key."""
    with account.account_engine.connect() as connection:
        keys = {each.number: each.key for each in computations.ended(connection)}
    rows = account.rows("SELECT computation, uid, value FROM told")
    return [(uid, keys[number], decode_exact(value)) for number, uid, value in rows if number in keys]
