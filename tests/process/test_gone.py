"""Retention has let bodies go: what was folded stays, what is shown says so, and processing goes on."""

import asyncio
from math import inf
from typing import Any

from richpanel.core.codes import Code
from richpanel.core.record import Discard
from richpanel.log.segments import SegmentWriter
from richpanel.store.messages import list_messages
from richpanel.store.timeline import list_timeline
from tests.process.account import Account, Arrived, on_sqlite
from tests.process.calls import activity, identify, page, track
from tests.process.dump import customer, dump, plain
from tests.process.test_repeats import traced

pytestmark = on_sqlite
"""PostgreSQL keeps bodies itself, whatever a stream lets go."""


def let_go(account: Account) -> None:
    """Drop all that is in the log by now, as retention does it: archived, applied, and old."""
    account.process()

    async def drop() -> None:
        writer = SegmentWriter.open(account.directory.log, segment_bytes=1)
        await writer.append(account._payload(Arrived([page(900, None, "somebody else")])))
        end = writer.durable
        while await writer.archive(end, inf) is not None:
            pass
        assert await writer.retain(end, inf)
        await writer.close()

    asyncio.run(drop())
    account.process()


def timeline(account: Account, uid: str, limit: int = 100) -> list[dict[str, Any]]:
    """All pages of a timeline."""
    with account.state() as connection:
        numbers = connection.exec_driver_sql("SELECT id FROM identities WHERE value = ?", (uid,)).all()
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            shown = list_timeline(
                connection, account.reader.slice, account.settings, account.sources, numbers[0][0],
                cursor=cursor, limit=limit,
            )  # fmt: skip
            found += plain(shown.data)
            cursor = shown.next
            if cursor is None:
                return found


def test_what_is_gone_is_shown_as_gone(account: Account) -> None:
    account.send(identify(0, "u1", email="a@x"), page(1, "u1"), track(2, "Order Completed", "u1", order_id="o1"))
    account.write([Arrived([activity(3, uid="u1")], "Channels", door="channel", meta={"channel": "email"})])
    account.write([Arrived([], discards=[(Discard(Code.INVALID_JSON, 1, "bad"), b'{"messageId":"bad"}')])])
    account.process()
    before = customer(account, "u1")
    let_go(account)
    account.send(page(1000, "u1"))
    shown = timeline(account, "u1")
    assert [(each["id"], each["type"], each["event"], each["bodyKept"]) for each in shown] == [
        ("page-1000-u1", "page", "Home", True),
        (None, "channel", "email", False),
        (None, "track", "Order Completed", False),
        (None, "page", "Home", False),
        ("identify-0-u1", "became_customer", "Became a customer", True),
    ]
    assert shown[2]["sessionId"] == shown[3]["sessionId"] == before["timeline"][1]["sessionId"]
    after = customer(account, "u1")
    assert (after["email"], after["ordersCount"], after["orders"]) == ("a@x", 1, before["orders"])
    (found,) = traced(account, "page-1-u1")
    assert (found["outcome"], found["body"], found["bodyKept"], found["messageId"]) == (
        "kept",
        None,
        False,
        "page-1-u1",
    )
    (discard,) = traced(account, "bad")
    assert (discard["outcome"], discard["body"], discard["bodyKept"]) == ("discarded", None, False)
    assert traced(account, "never sent") == []
    assert traced(account, "page-1000-u1")[0]["bodyKept"] is True
    listed = account.read(
        list_messages, account.reader.slice, account.settings, account.sources,
        source=None, type=None, uid=None, outcome=None, cursor=None, limit=50,
    )  # fmt: skip
    ids = [row.message_id for row in listed.data]
    assert ids == ["page-1000-u1", "page-900-somebody else", None, None, None, None, None]


def test_pages_of_what_is_gone_are_the_whole_list(account: Account) -> None:
    account.send(*({**page(number // 5, "u1"), "messageId": f"m{number}"} for number in range(23)))
    let_go(account)
    account.send(*({**page(4, "u1"), "messageId": f"late-{number}"} for number in range(4)))
    whole = timeline(account, "u1")
    assert (len(whole), sum(each["id"] is None for each in whole)) == (27, 23)
    for limit in (1, 2, 3, 7):
        assert timeline(account, "u1", limit) == whole


def test_a_repeat_of_what_is_gone_is_a_repeat(account: Account) -> None:
    account.send(page(0, "u1"))
    let_go(account)
    account.send(page(0, "u1"), {**page(0, "u1"), "messageId": "other"})
    assert len(timeline(account, "u1")) == 2
    (found,) = traced(account, "page-0-u1")
    assert [(each["conflict"]) for each in found["duplicates"]] == [False]


def test_folding_afresh_takes_nothing_from_a_customer(account: Account) -> None:
    account.send(identify(0, "u1", "a1", email="a@x", plan="gold"), page(10, None, "a1"), page(100, None, "a1"))
    account.send(track(101, "Order Completed", None, "a1", order_id="o1", total=10))
    before = customer(account, "u1")
    let_go(account)
    account.send(page(1010, None, "a1"))
    account.send(identify(5, "u2", "a1", email="b@x"))  # Late: what the device did since then is another's.
    one, two = customer(account, "u1"), customer(account, "u2")
    for field in ("email", "traits", "customerSince", "createdAt", "landingPageUrl", "source"):
        assert one[field] == before[field], field
    assert (two["email"], two["customerSince"]) == ("b@x", "2025-10-09T08:58:20.000Z")
    assert [each["id"] for each in timeline(account, "u2")] == ["page-1010-a1", None, None, None, "identify-5-u2-a1"]
    assert [each["id"] for each in timeline(account, "u1")] == ["identify-0-u1-a1"]
    assert one["orders"][0]["orderId"] == "o1", "whose it was when it could still be read"
    assert len(two["sessions"]) == 1
    account.send(page(1011, None, "a1"), identify(1020, "u1", plan="silver"))
    assert customer(account, "u1")["traits"]["plan"] == "silver"
    assert set(dump(account)) == {("uid", "u1"), ("uid", "u2"), ("anonymousId", "somebody else")}


def test_a_late_link_asks_for_the_stamp_of_what_is_gone(account: Account) -> None:
    account.send(identify(0, "u1", "a1"), page(50, "u1", "a1"), page(60, None, "a1"))
    let_go(account)
    account.send(identify(20, "u2", "a1"))
    assert [each["id"] for each in timeline(account, "u2")] == ["identify-20-u2-a1"]
    assert len(timeline(account, "u1")) == 3
