"""Ids, names and keys may be as long as a message: an index has no room for that, and need not."""

from random import Random
from typing import Any

import pytest

from tests.process.account import Account
from tests.process.calls import identify, page, track
from tests.process.dump import customer, dump, people

LONG = 6_000
"""Characters: no compression helps, and an entry of an index has 2,700 bytes on PostgreSQL."""
ODD = "\0\1é\U0001f600'\\"


def text(seed: int) -> str:
    """A long text of no pattern."""
    made = Random(seed)
    return "long " + "".join(chr(made.randrange(0x4E00, 0x9FA6)) for _ in range(LONG)) + ODD


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_everything_that_may_be_long(account: Account, size: int) -> None:
    uid, device, key, order, name, event = map(text, range(6))
    calls: list[dict[str, Any]] = [
        page(0, None, device, richpanel_session_id=key),
        identify(1, uid, device, name=name, email=f"{text(7)}@example.com"),
        page(2, uid, richpanel_session_id=key + "x"),
        page(500, uid),
        page(3, uid, richpanel_session_id=key),
        track(4, "Order Completed", uid, order_id=order, total=10),
        track(5, "Order Refunded", uid, order_id=order, total=4),
        track(6, "Order Completed", uid, order_id=order + "x", total=20),
        track(7, event, uid),
        identify(0, "other", name=name + "x"),
    ]
    for number, call in enumerate(calls):  # The door lets message ids of a hundred characters in.
        account.send({**call, "messageId": f"m{number}"})
    account.restart()
    account.send({**page(3.5, uid, richpanel_session_id=key), "messageId": "last"})
    account.process(size)
    found = customer(account, uid)
    assert (found["name"], found["anonymousId"], found["ltv"]) == (name, None, "20.00")
    assert {("uid", uid), ("anonymousId", device)} <= {each[:2] for each in found["identities"]}
    assert sorted(order["orderId"] for order in found["orders"]) == [order, order + "x"]
    explicit = {each["sessionId"]: each["events"] for each in found["sessions"] if not each["generated"]}
    assert explicit == {key: 3, key + "x": 1}
    assert event[:500] in {str(entry["event"])[:500] for entry in found["timeline"]}
    named = [one.name for one in people(account, customers=True, sort="name")]
    assert set(named) == {name, name + "x"}
    assert {one.uid for one in people(account, customers=True, q=name)} == {uid, "other"}


def test_texts_that_postgresql_cannot_hold_as_they_are(account: Account) -> None:
    account.send(identify(0, f"u{ODD}", f"a{ODD}", name=f"Ada{ODD}"), page(1, None, f"a{ODD}", title=ODD))
    assert set(dump(account)) == {("uid", f"u{ODD}")}
    assert customer(account, f"u{ODD}")["name"] == f"Ada{ODD}"
    assert [one.uid for one in people(account, customers=True, q="ada")] == [f"u{ODD}"]
