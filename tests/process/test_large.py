"""Large histories: what a message costs follows from what it touches, however long the history is.

Nothing is timed here, but what is read is counted.
"""

from typing import Any

import pytest

from richpanel.core.profile import unpack_session
from richpanel.store import session_rows
from tests.process import large, reference
from tests.process.account import MINUTE, T0, Account, Arrived, at
from tests.process.calls import identify, page
from tests.process.dump import dump
from tests.process.large import DEVICE, SESSION, minute
from tests.process.tables import leftovers
from tests.process.test_law import arrivals, differences

EVENTS = 2_000
LATER = T0 + round(minute(EVENTS) * MINUTE) + 60 * MINUTE


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
