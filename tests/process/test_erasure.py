"""Erasure (semantics.md 10): who is erased is gone from every table, others keep what is theirs, nobody inherits."""

import json
from pathlib import Path
from typing import Any

import pytest

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.store import erasing, ledger
from richpanel.store.bulk import fetch
from tests.process.account import ARRIVAL, MINUTE, T0, Account, Arrived, at
from tests.process.calls import activity, call, identify, page, track
from tests.process.dump import customer, dump, ids
from tests.process.regulations import regulation
from tests.process.tables import leftovers
from tests.process.test_manual import by_hand

OF_PEOPLE: tuple[str, ...] = (
    *("messages", "history", "profiles", "search", "sessions", "orders", "addresses", "channel_activity", "identities"),
    *("message_ids", "changes", "duplicates", "ownership", "order_profiles", "manual", "discards", "pieces"),
)
LATER = (ARRIVAL - T0) / MINUTE + 24 * 60
"""Minutes after the beginning that lie a day after every regulation of these tests."""


def erase(account: Account, **ids: str) -> None:
    account.write([regulation(account, "DELETE", ids, name=f"reg_{account.arrivals}")])
    account.process()


def refused(account: Account) -> dict[str, int]:
    with account.account_engine.connect() as connection:
        found = ledger.refusals(connection, 100)
    return {code: sum(each.number for each in found if each.code == code) for code in {each.code for each in found}}


def left(account: Account) -> dict[str, list[Any]]:
    """The tables of people that are not empty."""
    rows = {table: account.rows(f"SELECT * FROM {table}") for table in OF_PEOPLE}
    return {table: found for table, found in rows.items() if found}


@pytest.mark.parametrize("named", [{"uid": "u1"}, {"device": "a1"}, {"email": "a@x"}, {"phone": "+14155550101"}])
def test_nothing_is_left_of_somebody_whichever_of_their_ids_is_named(account: Account, named: dict[str, str]) -> None:
    account.send(
        page(0, None, "a1", richpanel_session_id="s"), identify(1, "u1", "a1", email="a@x", phone="4155550101")
    )
    account.send(track(2, "Order Completed", "u1", order_id="o1", total=5), page(200, "u1"), page(400, "u1"))
    account.send(activity(3, email="a@x"), source="Channels", door="channel")
    account.send(call("screen", 4, "u1", None, name="Home"), call("screen", 5, None, "a1", name="Home"))
    account.send(identify(1, "u1", "a1", email="other@x"))  # A repeat that says something else.
    bad = (Discard(Code.TOO_DEEP, 40), json.dumps({"type": "page", "userId": "u1"}).encode())
    account.write([Arrived([], discards=[bad]), by_hand(6, "link", "u1", "a2")])
    account.process()
    erase(account, **named)
    assert dump(account) == {}
    assert left(account) == {}
    assert account.rows("SELECT value FROM names WHERE value NOT LIKE '[%'") == []
    assert account.rows("SELECT * FROM counters") == []


def test_of_a_shared_device_others_keep_what_is_theirs_and_nobody_inherits(account: Account) -> None:
    account.send(identify(10, "u1", "a1"), page(11, None, "a1"), identify(20, "u2", "a1"), page(21, None, "a1"))
    account.send(page(1, None, "a1"), page(31, None, "a1"))
    erase(account, uid="u1")
    assert set(dump(account)) == {("uid", "u2")}
    assert ids(customer(account, "u2")) == ["customer", "page-21-a1", "page-31-a1"]
    late = [page(2, None, "a1"), page(12, None, "a1"), page(5, "u1"), identify(13, "u1", "a1", name="Ada")]
    account.send(*late, page(22, None, "a1"), page(LATER, None, "a1"))
    assert ids(customer(account, "u2")) == ["customer", "page-21-a1", "page-22-a1", "page-31-a1"] + [
        entry for entry in ids(customer(account, "u2")) if str(float(LATER)) in entry
    ]
    assert refused(account) == {"erased": 4}
    assert leftovers(account) == {}


def test_what_happens_afterwards_starts_afresh_and_is_nobodys_who_was_there_before(account: Account) -> None:
    """The device was u2's, then u1's; with u1 gone it is not u2's again."""
    account.send(identify(10, "u2", "a1"), identify(20, "u1", "a1"), page(21, None, "a1"))
    erase(account, uid="u1")
    assert ids(customer(account, "u2")) == ["customer"]
    account.write([Arrived([page(LATER, None, "a1")], at=ARRIVAL + 48 * 60 * MINUTE)])
    account.process()
    assert set(dump(account)) == {("uid", "u2"), ("anonymousId", "a1")}
    account.write([Arrived([identify(LATER + 1, "u1", "a1", email="new@x")], at=ARRIVAL + 49 * 60 * MINUTE)])
    account.process()
    assert set(dump(account)) == {("uid", "u2"), ("uid", "u1")}
    fresh = customer(account, "u1")
    assert (fresh["email"], len(ids(fresh))) == ("new@x", 2)
    assert leftovers(account) == {}


def test_a_late_login_on_the_device_does_not_reach_over_the_erasure(account: Account) -> None:
    account.send(page(1, None, "a1"))
    erase(account, device="a1")
    account.write([Arrived([page(LATER, None, "a1")], at=ARRIVAL + 48 * 60 * MINUTE)])
    account.send(identify(5, "u5", "a1"), page(2, None, "a1"))
    assert ids(customer(account, "u5")) == ["customer"]
    assert ("anonymousId", "a1") in dump(account)
    assert refused(account) == {"erased": 1}


def test_a_repeat_of_what_was_erased_is_refused_whenever_it_says_that_it_was(account: Account) -> None:
    """Without a timestamp its time is that of its arrival, long after the regulation."""
    item = {"type": "page", "messageId": "m1", "userId": "u1", "name": "Home"}
    account.send(item)
    erase(account, uid="u1")
    account.send(item)
    assert left(account) == {}
    account.send({**item, "messageId": "m2"})
    assert set(dump(account)) == {("uid", "u1")}


def test_orders_lose_the_events_of_who_is_erased(account: Account) -> None:
    account.send(track(0, "Order Completed", "u1", order_id="o1", total=10), identify(0, "u1"))
    account.send(track(1, "Order Updated", "u2", order_id="o1", total=99), identify(1, "u2"))
    account.send(track(2, "Order Completed", "u1", order_id="o2", total=7))
    erase(account, uid="u1")
    shown = customer(account, "u2")
    assert [(order["orderId"], order["total"]) for order in shown["orders"]] == [("o1", "99.00")]
    assert account.rows("SELECT order_id FROM orders") == [("o1",)]


def test_letters_of_who_is_erased_are_refused_as_long_as_the_address_was_theirs(account: Account) -> None:
    account.send(identify(10, "u1", email="a@x"), activity(11, email="a@x"))
    account.send(identify(20, "u2", email="a@x"))
    account.send(activity(12, email="a@x"), activity(22, email="a@x"), source="Channels", door="channel")
    erase(account, uid="u1")
    account.send(activity(13, email="a@x"), activity(23, email="a@x"), source="Channels", door="channel")
    assert ids(customer(account, "u2")) == ["customer", "activity-22", "activity-23"]
    assert refused(account) == {"erased": 1}


def test_somebody_nobody_has_heard_of_is_kept_out_as_well(account: Account) -> None:
    erase(account, uid="u1", device="a1", email="a@x")
    account.send(page(1, "u1"), page(1, None, "a1"))
    account.send(activity(2, email="a@x"), source="Channels", door="channel")
    assert left(account) == {}
    assert refused(account) == {"erased": 3}


def test_a_regulation_holds_by_its_place_in_the_log(account: Account) -> None:
    """Though all of it is read at once."""
    first, second = Arrived([page(0, "u1"), page(1, "u2")]), Arrived([page(LATER, "u1")], at=ARRIVAL + 48 * 60 * MINUTE)
    account.write([first, regulation(account, "DELETE", {"uid": "u1"}), second])
    account.process(1 << 20)
    assert len(ids(customer(account, "u1"))) == 1
    assert account.rows("SELECT count(*) FROM messages") == [(2,)]


def test_what_is_to_be_erased_in_the_log_is_noted(account: Account) -> None:
    account.send(page(0, "u1"), page(1, "u2"), page(2, None, "a1"))
    spans = account.rows("SELECT place, size FROM messages WHERE n <> 2")
    erase(account, uid="u1", device="a1")
    account.send(page(3, "u1"))
    with account.state() as connection:
        owed = erasing.owed(connection)
    assert [(each.place, each.size) for each in owed][:2] == spans
    assert [each.regulation for each in owed] == ["reg_1", "reg_1", "reg_1", None]


def test_a_second_start_after_the_ledger_was_written_ends_in_the_same(account: Account) -> None:
    """A crash between the two transactions: the ledger knows already, the state does not."""
    account.send(identify(0, "u1", "a1", email="a@x"), page(1, None, "a1"), page(2, "u2"))
    account.write([regulation(account, "DELETE", {"uid": "u1"})])
    account.step()

    def state_of() -> Any:
        with account.account_engine.connect() as connection:
            return ledger.tombstones_of(connection, "reg_1"), dump(account), left(account)

    expected = state_of()
    account.empty()
    account.restart()
    account.process()  # The log still has the old bytes.
    tombstones, people, tables = state_of()
    assert (tombstones, people) == expected[:2]
    assert {table: len(rows) for table, rows in tables.items()} == {t: len(rows) for t, rows in expected[2].items()}
    assert leftovers(account) == {}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_persons_of_one_device_leave_nothing_to_each_other(account: Account, order: tuple[int, int]) -> None:
    account.send(identify(10, "u1", "a1"), page(11, None, "a1"), identify(20, "u2", "a1"), page(21, None, "a1"))
    for each in order:
        erase(account, uid=("u1", "u2")[each])
        assert leftovers(account) == {}
    assert left(account) == {}
    account.send(page(12, None, "a1"), page(22, None, "a1"), page(0, None, "a1"))
    assert left(account) == {}


def definitions_of(account: Account) -> bytes:
    """All that the definitions hold: the bytes of their file, or every row as a text."""
    if account.database is None:
        files = ("account.db", "account.db-wal")
        return b"".join(account.directory.path.joinpath(name).read_bytes() for name in files)
    with account.account_engine.connect() as connection:
        tables = fetch(connection, "SELECT tablename FROM pg_tables WHERE schemaname = 'account'")
        assert len(tables) > 10
        rows = [fetch(connection, f'SELECT "{table}"::text FROM "{table}"') for (table,) in tables]
        return repr(rows).encode()


def test_nothing_of_a_receipt_can_be_read(account: Account) -> None:
    account.send(identify(0, "ada-1", "a1", email="ada@shop.test"))
    erase(account, uid="ada-1")
    stored = definitions_of(account)
    assert b"ada-1" not in stored  # Not "ada": hashes are written in hexadecimal digits, which spell it now and then.
    assert b"ada@" not in stored
    assert at(0).encode() not in stored


def test_an_older_state_learns_from_the_ledger_whose_the_device_was(account: Account, tmp_path: Path) -> None:
    """The backup was made while nobody had logged in: its visitor was the person who was erased later."""
    account.send(page(0, None, "a1"), identify(1, "u2", "a2"), page(2, None, "a2"))
    older = account.copy(tmp_path / "older")
    account.send(identify(3, "u1", "a1", email="a@x"), identify(4, "u1", "a2"))
    account.write([regulation(account, "DELETE", {"uid": "u1"}, name="reg_1")])
    account.process()
    record = regulation(account, "DELETE", {"uid": "u1"}, name="reg_1")
    record.at = ARRIVAL + 2_000
    with account.account_engine.connect() as ours, older.account_engine.begin() as connection:
        assert ledger.adopt(connection, ours) == ["reg_1"]
    older.write([record])
    older.process()
    assert dump(older) == dump(account)
    assert set(dump(older)) == {("uid", "u2")}
    assert leftovers(older) == {}
    older.send(page(0.5, None, "a1"), page(5, None, "a2"), page(2.5, None, "a2"))
    assert ids(customer(older, "u2")) == ["customer", "page-2-a2", "page-2.5-a2"]
    older.close()
