"""What was erased in the log is passed over when records are read: no message, no discard, and no index moves."""

import json

from richpanel.core.codes import Code
from richpanel.core.record import Discard, Meta, encode, erase
from richpanel.log.contract import HEADER_SIZE, Entry
from richpanel.process.definitions import Watch
from richpanel.process.incoming import Opened, open_batch
from tests.process.account import ARRIVAL, Account
from tests.process.calls import page

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
