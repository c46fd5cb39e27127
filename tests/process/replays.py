"""Replays as the job puts them into the log."""

import json
from collections.abc import Iterable, Sequence

from richpanel.core.ids import hash64
from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.replaying import again, encode_again
from richpanel.store.destinations import list_destinations
from tests.process.account import Account, Arrived


def hashes(account: Account, records: Iterable[Arrived]) -> list[int]:
    """By what the calls among the records are named."""
    secret = account.settings.hash_key
    calls = [(each.source, item) for each in records for item in each.items if isinstance(item, dict)]
    return [
        hash64(secret, account.source(source).id, item["messageId"])
        for source, item in calls
        if "channel" not in item and item.get("type") not in MANUAL_TYPES
    ]


def replay_of(account: Account, records: Sequence[Arrived], number: int = 0, *, destination: int = 1) -> Arrived:
    """A record that replays all calls among these records for a destination."""
    with account.account_engine.connect() as connection:
        row = list_destinations(connection)[destination - 1]
    made = again("rpl_1", row.id, number, hashes(account, records))
    return Arrived([json.loads(encode_again(made))], "Channels", door="replay")
