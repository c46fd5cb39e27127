"""Traffic: counted by when calls arrived, once, whatever they are and in whichever batches; old steps go."""

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.store import traffic
from richpanel.store.bulk import fetch
from richpanel.store.traffic import HOUR_MS, MINUTE_MS, Bar
from tests.process.account import ARRIVAL, Account, Arrived
from tests.process.calls import page

BAD = (Discard(Code.INVALID_JSON, 1), b"{")
NOW = ARRIVAL + 30 * MINUTE_MS
MINUTE = ARRIVAL - ARRIVAL % MINUTE_MS


def tell(account: Account, max_bytes: int) -> None:
    account.write(
        [
            Arrived([page(0, "u1"), page(1, "u1")], at=MINUTE, discards=[BAD]),
            Arrived([page(0, "u1"), {**page(2, "u1"), "integrations": {"All": False}}], at=MINUTE + 59_999),
            Arrived([page(3, "u1")], "App", at=MINUTE + 5 * MINUTE_MS),
        ]
    )
    account.process(max_bytes)


def test_calls_are_counted_by_their_arrival(account: Account) -> None:
    tell(account, 1)
    web, app = account.source().number, account.source("App").number
    with account.state() as connection:
        hour = traffic.bars(connection, NOW - HOUR_MS, NOW, 60)
        assert len(hour) == 60
        assert [each for each in hour if any(each[1:])] == [
            Bar(MINUTE, kept=2, other=1, discarded=1, repeated=1),
            Bar(MINUTE + 5 * MINUTE_MS, kept=1),
        ]
        assert hour[0].at <= NOW - HOUR_MS + MINUTE_MS
        assert hour[-1].at <= NOW < hour[-1].at + MINUTE_MS
        for span, parts in ((24 * HOUR_MS, 96), (30 * 24 * HOUR_MS, 60)):
            bars = traffic.bars(connection, NOW - span, NOW, parts)
            sums = tuple(map(sum, zip(*(each[1:] for each in bars), strict=True)))
            assert (len(bars), *sums) == (parts, 3, 1, 1, 1)
        of_app = traffic.bars(connection, NOW - HOUR_MS, NOW, 60, source=app)
        assert [each for each in of_app if any(each[1:])] == [Bar(MINUTE + 5 * MINUTE_MS, kept=1)]
        assert traffic.since_then(connection, NOW - HOUR_MS)[web]["repeated"] == 1
        assert traffic.last_arrivals(connection, NOW - HOUR_MS) == {web: MINUTE, app: MINUTE + 5 * MINUTE_MS}
        assert traffic.last_arrivals(connection, MINUTE + MINUTE_MS) == {app: MINUTE + 5 * MINUTE_MS}


def test_old_minutes_and_hours_go(account: Account) -> None:
    tell(account, 1 << 20)
    account.write([Arrived([page(9, "u1")], at=MINUTE + 26 * HOUR_MS)])
    account.process()
    with account.state() as connection:
        assert fetch(connection, "SELECT DISTINCT at FROM traffic WHERE step = ?", MINUTE_MS) == [
            (MINUTE + 26 * HOUR_MS,)
        ]
        assert len(fetch(connection, "SELECT DISTINCT at FROM traffic WHERE step = ?", HOUR_MS)) == 2
    account.write([Arrived([page(10, "u1")], at=MINUTE + 40 * 24 * HOUR_MS)])
    account.process()
    with account.state() as connection:
        assert fetch(connection, "SELECT sum(count) FROM traffic")[0][0] == 2
