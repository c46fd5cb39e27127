"""What was erased in the log is passed over: records are read as if it had never come, and rows that point at it (a
power cut has taken the state back) as if retention had let it go."""

import asyncio
import json

from richpanel.core.codes import Code
from richpanel.core.record import Discard, Meta, encode, erase
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.log.segments import SegmentWriter
from richpanel.process.definitions import Watch
from richpanel.process.incoming import Opened, open_batch
from tests.process.account import ARRIVAL, Account, on_sqlite
from tests.process.calls import identify, page
from tests.process.dump import customer
from tests.process.test_discards import listed
from tests.process.test_gone import timeline
from tests.process.test_rebuilding import rebuilt
from tests.process.test_repeats import traced

BAD = b'{"type":"page","messageId":"bad","anonymousId":7.5}'


def opened(account: Account, payload: bytes) -> Opened:
    return open_batch([Entry(0, HEADER_SIZE + len(payload), payload)], Watch(account.account_engine).current())


def test_what_was_erased_is_no_message_and_no_discard(account: Account) -> None:
    items = [json.dumps(page(minute, f"u{minute}")).encode() for minute in range(3)]
    meta = Meta(ARRIVAL, account.source().id, [], ids={0: "first", 2: "third"}, discards=[Discard(Code.TOO_DEEP, 51)])
    payload = b"".join(encode(meta, [*items, BAD]))
    whole = opened(account, payload)
    lead = [each.lead for each in whole.arrived]
    assert [each.message_id for each in whole.arrived] == ["first", "page-1-u1", "third"]

    some = opened(account, erase(payload, [(lead[0], len(items[0])), (whole.refused[0].lead, len(BAD))]))
    assert [(each.message_id, each.item, each.place) for each in some.arrived] == [
        (each.message_id, each.item, each.place) for each in whole.arrived[1:]
    ]
    assert some.refused == []

    bodies = [(each.lead, each.size) for each in whole.arrived] + [(each.lead, each.size) for each in whole.refused]
    nothing = opened(account, erase(payload, bodies))
    assert (nothing.arrived, nothing.refused) == ([], [])
    assert (nothing.end, nothing.received_at) == (whole.end, ARRIVAL)


@on_sqlite
def test_rows_whose_bodies_were_erased_stop_nothing(account: Account) -> None:
    account.send(identify(0, "u1", email="a@x"), page(1, "u1"), page(2, None, "a1"))
    spans = account.rows("SELECT place, size FROM messages ORDER BY n")

    async def erase() -> None:
        writer = SegmentWriter.open(account.directory.log)
        assert await writer.erase([(place, size) for place, size in spans[1:]]) == 1
        await writer.close()

    asyncio.run(erase())
    assert [(each.difference, each.who) for each in rebuilt(account)["messages"].examples] == [
        ("onlyOld", "u1: message number 2"),
        ("onlyOld", "anonymousId a1: message number 3"),
    ]
    assert [(row["id"], row["bodyKept"]) for row in timeline(account, "u1") if row["type"] == "page"] == [(None, False)]
    assert (traced(account, "page-1-u1")[0]["body"], len(listed(account))) == (None, 3)
    account.restart()
    account.send(identify(3, "u1", "a1", firstName="A"))  # The visitor's page moves: both are folded afresh.
    assert customer(account, "u1")["firstName"] == "A"
    account.send(page(1, "u1"), {**page(2, None, "a1"), "context": {"other": 1}})
    assert [found["outcome"] for found in traced(account, "page-1-u1")] == ["kept"]
