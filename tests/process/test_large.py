"""Large histories: what a message costs follows from what it touches, however long the history is.

What is read is counted, not timed; `make soak` times 200,000 events, here and in `tests/acceptance/test_large.py`.
"""

import time
from collections.abc import Collection
from typing import Any

import pytest
from sqlalchemy import Connection

from richpanel.core.profile import unpack_session
from richpanel.process import pieces
from richpanel.store import bodies as stored_bodies
from richpanel.store import session_rows
from richpanel.store.profiles import CustomerDetail, find_visitor
from tests.process import large, reference
from tests.process.account import MINUTE, T0, Account, Arrived, at, on_sqlite
from tests.process.calls import identify, page
from tests.process.dump import customer, dump
from tests.process.large import DEVICE, SESSION, event, minute
from tests.process.tables import leftovers
from tests.process.test_gone import let_go
from tests.process.test_law import arrivals, differences, small_pieces

EVENTS = 2_000
PIECE = 32
LATER = T0 + round(minute(EVENTS) * MINUTE) + 60 * MINUTE
FEW = 6 * PIECE
"""Bodies that may be read again: the pieces at both ends of what moves, the first batch, and heads of records."""


@pytest.fixture
def bodies(account: Account, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where in the log something is read, to fold it again."""
    read: list[int] = []
    slice_ = account.reader.slice

    def counting(place: int, size: int) -> bytes:
        read.append(place)
        return slice_(place, size)

    monkeypatch.setattr(account.reader, "slice", counting)

    def loading(connection: Connection, places: Collection[int]) -> dict[int, bytes]:
        read.extend(places)
        return load(connection, places)

    load = stored_bodies._load
    monkeypatch.setattr(stored_bodies, "_load", loading)
    return read


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows of sessions that are read."""
    rows: list[Any] = []

    def counting(row: Any) -> Any:
        rows.append(row)
        return unpack_session(row)

    monkeypatch.setattr(session_rows, "unpack_session", counting)
    return rows


def by_event(number: int, call: dict[str, Any], after: float = 0) -> dict[str, Any]:
    """A call so many minutes after the bot's event of this number, with an id of its own."""
    return {**call, "timestamp": at(minute(number) + after), "messageId": f"{call['type']}-{number}-{after}"}


def late(number: int, after: float, **properties: Any) -> dict[str, Any]:
    return by_event(number, page(0, None, DEVICE, **properties), after)


def by_hand(kind: str, device: str = DEVICE) -> Arrived:
    """Somebody links u1's device, or cuts it, after all that the bot did."""
    record = {"messageId": kind, "type": kind, "uid": "u1", "anonymousId": device, "timestamp": at(minute(EVENTS) + 1)}
    return Arrived([record], "Channels", at=LATER + 1000, door="people")


def apply(account: Account, arrived: list[Arrived], *records: Arrived) -> None:
    """Apply more records, one by one."""
    account.write(records)
    account.process(1)
    arrived += records


def assert_same(account: Account, arrived: list[Arrived]) -> None:
    """The state is what all the messages make, and nothing else is left in the tables."""
    assert differences(dump(account), reference.fold(arrivals(account, arrived))) == {}
    assert leftovers(account) == {}


def test_a_late_event_reads_the_sessions_beside_it(account: Account, sessions: list[Any]) -> None:
    arrived = list(large.records(EVENTS))
    large.grow(account, arrived)
    sessions.clear()
    apply(account, arrived, Arrived([late(EVENTS // 2, 10)], at=LATER), Arrived([late(SESSION, 10)], at=LATER))
    assert len(sessions) <= 4
    beginning, explicit = late(0, -100), late(EVENTS // 2, 0, richpanel_session_id="s1")
    identified = by_event(EVENTS // 2, identify(0, None, DEVICE, plan="gold"))
    apply(account, arrived, *(Arrived([item], at=LATER) for item in (beginning, explicit, identified)))
    assert len(sessions) <= 6
    assert_same(account, arrived)


def test_late_events_of_one_batch_join_what_lies_between_them(account: Account) -> None:
    """Events 200 to 209 and 220 to 229 are generated sessions, an hour apart; two late ones make them one."""
    arrived = list(large.records(EVENTS))
    large.grow(account, arrived)
    before = len(customer_of_device(account)["sessions"])
    apply(account, arrived, Arrived([late(209, 25), late(209, 50), late(1209, 25), late(0, -500)], at=LATER))
    assert len(customer_of_device(account)["sessions"]) == before
    assert_same(account, arrived)


def customer_of_device(account: Account) -> dict[str, Any]:
    """The bot while it is a visitor."""
    return dump(account)["anonymousId", DEVICE]


@pytest.fixture
def bot(account: Account, bodies: list[int], monkeypatch: pytest.MonkeyPatch) -> list[Arrived]:
    """A bot whose history is in pieces, and who is u1 since before its first event; u2 is there, too."""
    small_pieces(monkeypatch, PIECE)
    people = [by_event(0, identify(0, "u1", DEVICE, email="bot@x.example"), -10), by_event(0, identify(0, "u2"), -9)]
    arrived = [Arrived(people, at=T0 - 1000), *large.records(EVENTS, each=50)]
    large.grow(account, arrived)
    bodies.clear()
    return arrived


REPEAT = Arrived([event(EVENTS // 2)], at=T0 + round(minute(EVENTS // 2) * MINUTE) - 1000)
LOGIN = Arrived([by_event(EVENTS // 2, identify(0, "u2", DEVICE), 5)], at=LATER)
CHANGES = {
    "a repeat that counts instead": [REPEAT],
    "a late login of another": [LOGIN],
    "a late login in the middle of a session": [
        Arrived([by_event(EVENTS // 2, identify(0, "u2", DEVICE), 0.25)], at=LATER)
    ],
    "a cut by hand": [by_hand("unlink")],
    "a link by hand": [LOGIN, by_hand("link")],
    "a late login, and back": [LOGIN, Arrived([by_event(EVENTS // 4 * 3, identify(0, "u1", DEVICE), 5)], at=LATER)],
}


@pytest.mark.parametrize("restarted", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_moves_or_goes_reads_few_bodies(
    account: Account, bot: list[Arrived], bodies: list[int], name: str, *, restarted: bool
) -> None:
    if restarted:  # What the worker held of the next pieces is read again.
        account.restart()
    for change in CHANGES[name]:
        bodies.clear()
        apply(account, bot, change)
        assert len(set(bodies)) < FEW
    assert_same(account, bot)


def test_what_came_late_is_read_again_once(account: Account, bot: list[Arrived], bodies: list[int]) -> None:
    """A hundred late events, all over the history: pieces that cover all of it are given up where it is cut."""
    apply(account, bot, *(Arrived([late(number, 7)], at=LATER) for number in range(3, EVENTS, EVENTS // 100)))
    bodies.clear()
    apply(account, bot, LOGIN)
    assert len(set(bodies)) < FEW + 200
    bodies.clear()
    apply(account, bot, by_hand("unlink"))
    assert len(set(bodies)) < FEW
    assert_same(account, bot)


def test_a_history_without_pieces_gets_them_when_it_is_read(
    account: Account, bot: list[Arrived], bodies: list[int]
) -> None:
    """As one of an older version has none."""
    account.change("DELETE FROM pieces")
    account.restart()
    apply(account, bot, REPEAT)
    assert len(set(bodies)) > EVENTS
    bodies.clear()
    apply(account, bot, LOGIN)
    assert len(set(bodies)) < FEW
    assert_same(account, bot)


def test_a_piece_that_contradicts_the_history_is_not_believed(account: Account, bot: list[Arrived]) -> None:
    account.change("UPDATE pieces SET identity = (SELECT id FROM identities WHERE value = 'u2')")
    account.change("UPDATE pieces SET high = ?", 1 << 60)
    account.restart()
    apply(account, bot, LOGIN)
    assert_same(account, bot)


@on_sqlite
def test_pieces_tell_what_the_log_does_not_keep(account: Account, bot: list[Arrived]) -> None:
    """Retention lets bodies go; what a piece holds still follows a late login. What is in none stays where it was."""
    let_go(account)
    apply(account, bot, LOGIN)
    one, other = customer(account, "u1"), customer(account, "u2")
    assert one["ordersCount"] + other["ordersCount"] == EVENTS // 100
    assert other["ordersCount"] >= EVENTS // 200 - 2
    assert len(other["sessions"]) >= EVENTS // SESSION // 2 - 2 * PIECE // SESSION


def test_more_of_them_than_there_is_room_for_begin_anew(
    account: Account, bot: list[Arrived], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "_MAX_GROWING", 1)
    crowd = [page(number, None, f"d{number % 3}") for number in range(9)]
    apply(account, bot, *(Arrived([item], at=LATER) for item in crowd))
    apply(account, bot, LOGIN)
    assert_same(account, bot)


@pytest.mark.soak
def test_a_repeat_that_counts_instead_among_200_000_events(account: Account) -> None:
    """Its clock went back, so that it takes the place of the one before; a server that works well has none."""
    large.grow(account, large.records(200_000))
    account.write([Arrived([event(100_000)], at=T0 + round(minute(100_000) * MINUTE) - 1000)])
    started = time.perf_counter()
    assert account.process(1) == 1
    took = time.perf_counter() - started
    print(f"\na repeat that counts instead: folded in {took * 1000:.0f} ms")
    assert took < 1.0
    found = account.read(find_visitor, account.settings, DEVICE)
    assert isinstance(found, CustomerDetail)
    assert found.orders_count == 2_000
