"""Removal: whatever is taken away, and whenever, what is left is the fold of the rest (semantics.md 1)."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from richpanel.process.batch import apply
from richpanel.process.definitions import Watch
from richpanel.process.incoming import Opened
from richpanel.process.memory import Memory
from richpanel.store import message_rows, progress
from richpanel.store.bodies import bodies_of
from richpanel.store.bulk import fetch
from tests.process.account import Account, Arrived, Template, copy_of, on_postgres, on_sqlite
from tests.process.calls import activity, identify, page, track
from tests.process.dump import customer, dump, ids
from tests.process.histories import histories, plans
from tests.process.test_law import arrivals, assert_law, brief, process

Key = tuple[str, str]
"""Message id and source."""


def stored(account: Account) -> dict[Key, int]:
    """The numbers of the stored messages."""
    with account.state() as connection:
        numbers = [row[0] for row in fetch(connection, "SELECT n FROM messages")]
        rows = message_rows.load(connection, numbers).values()
        read = bodies_of(connection, account.reader.slice)
        return {(message_rows.message_id(read, row), account.sources[row.source].id): row.n for row in rows}


def take_away(account: Account, keys: set[Key]) -> None:
    """Take messages out of the state, in a batch that holds nothing else."""
    known = stored(account)
    definitions = Watch(account.account_engine).current()
    with account.state_engine.begin() as connection:
        memory = Memory(connection, definitions.account.hash_key)
        nothing = Opened(definitions.version, progress.read(connection).position, [], [], 0)
        apply(connection, memory, definitions, nothing, account.reader.slice, without=[known[key] for key in keys])
    account.restart()


def take_away_ids(account: Account, *message_ids: str) -> None:
    take_away(account, {key for key in stored(account) if key[0] in message_ids})


chosen_numbers = {"cut": st.integers(1, 12), "chosen": st.integers(1, (1 << 20) - 1)}


@on_sqlite
@brief(150)
@given(records=histories, plan=plans, **chosen_numbers)
def test_what_is_left_is_the_fold_of_the_rest(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]], cut: int, chosen: int
) -> None:
    """What comes later counts afresh, under an id that was taken away too."""
    check(template, records, plan, cut=cut, chosen=chosen)


@on_postgres
@brief(20)
@given(records=histories, plan=plans, **chosen_numbers)
def test_it_is_so_on_postgresql(
    template: Template, records: list[Arrived], plan: list[tuple[int, bool]], cut: int, chosen: int
) -> None:
    check(template, records, plan, cut=cut, chosen=chosen)


def check(template: Template, records: list[Arrived], plan: list[tuple[int, bool]], *, cut: int, chosen: int) -> None:
    with TemporaryDirectory() as folder:
        account = copy_of(template, Path(folder) / "data")
        try:
            account.write(records[:cut])
            process(account, plan)
            gone = {key for at, key in enumerate(sorted(stored(account))) if chosen >> at % 20 & 1}
            take_away(account, gone)
            arrived = arrivals(account, records[:cut])
            rest = [each for each in arrived if (each.item["messageId"], each.source) not in gone]
            assert_law(account, rest)
            account.write(records[cut:])
            process(account, plan)
            assert_law(account, rest + arrivals(account, records[cut:]))
        finally:
            account.close()


def test_nothing_is_left_of_a_person_all_of_whose_messages_go(account: Account) -> None:
    account.send(
        identify(0, "u1", "a1", email="a@x", phone="+14155550101"), page(1, None, "a1", richpanel_session_id="s")
    )
    account.send(track(2, "Order Completed", "u1", order_id="o1", total=5), page(200, "u1"), page(400, "u1"))
    account.send(activity(3, email="a@x"), source="Channels", door="channel")
    take_away(account, set(stored(account)))
    assert dump(account) == {}
    for table in ("messages", "history", "profiles", "search", "sessions", "orders", "addresses", "channel_activity"):
        assert account.rows(f"SELECT * FROM {table}") == []


def test_a_link_that_goes_gives_its_messages_back_to_the_visitor(account: Account) -> None:
    account.send(page(0, None, "a1"), identify(1, "u1", "a1"), page(2, None, "a1"))
    take_away_ids(account, "identify-1-u1-a1")
    (found,) = dump(account).values()
    assert (found["anonymousId"], found["customerSince"]) == ("a1", None)
    assert ids(found) == ["page-0-a1", "page-2-a1"]


def test_a_link_that_goes_leaves_the_next_one_of_its_uid(account: Account) -> None:
    account.send(identify(0, "u2", "a1"), identify(1, "u1", "a1"), page(2, None, "a1"), page(3, "u1", "a1"))
    account.send(page(4, None, "a1"))
    take_away_ids(account, "identify-1-u1-a1")
    shown = dump(account)
    assert ids(shown["uid", "u2"]) == ["customer", "page-2-a1"]
    assert ids(shown["uid", "u1"]) == ["page-3-u1-a1", "page-4-a1"]


def test_an_order_gets_back_what_the_event_had_replaced(account: Account) -> None:
    """From whoever sent it: the order spans two people."""
    account.send(track(0, "Order Completed", "u1", order_id="o1", total=10), identify(0, "u1"))
    account.send(track(1, "Order Updated", "u2", order_id="o1", total=99, order_status="paid"))
    account.send(track(2, "Order Refunded", "u1", order_id="o1", total=4, order_status="partly refunded"))
    take_away_ids(account, "track-1-u2")
    shown = customer(account, "u1")
    assert [(order["total"], order["net"]) for order in shown["orders"]] == [("10.00", "6.00")]
    assert shown["ltv"] == "6.00"
    assert set(dump(account)) == {("uid", "u1")}


def test_an_address_that_goes_ends_what_it_linked(account: Account) -> None:
    account.send(identify(0, "u1", email="a@x"), page(0, "u1"))
    account.send(activity(1, email="a@x"), source="Channels", door="channel")
    assert set(dump(account)) == {("uid", "u1")}
    take_away_ids(account, "identify-0-u1")
    assert set(dump(account)) == {("uid", "u1"), ("email", "a@x")}


@pytest.mark.parametrize("count", [3, 700])
def test_the_next_link_is_found_however_many_there_are_at_one_instant(account: Account, count: int) -> None:
    """Timestamps may be dates: then a day's messages are of one instant."""
    links = [{**page(1, "u1", "a1"), "messageId": f"m{n:04}"} for n in range(count)]
    account.write([Arrived(links), Arrived([page(2, None, "a1")])])
    account.process()
    middle = {**identify(1, "u2", "a1"), "messageId": f"m{count - 2:04}-"}
    account.send(middle)
    assert "page-2-a1" in ids(customer(account, "u1"))
