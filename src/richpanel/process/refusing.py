"""Refusing: what belongs to somebody who was erased, or who is kept out, does not get in (`semantics.md` 10).

Nothing is kept of it but a count; its bytes in the log are erased.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from richpanel.core.codes import Code
from richpanel.core.identity import ANONYMOUS, EMAIL, PHONE, UID
from richpanel.core.ids import clean_id, email_address, phone_address
from richpanel.core.timestamps import event_time
from richpanel.process.definitions import Definitions
from richpanel.process.incoming import Incoming, Opened, Private, Refused, named
from richpanel.process.tombstones import Tombstones
from richpanel.store.account import AccountSettings
from richpanel.store.bodies import Slice
from richpanel.store.identities import Key
from richpanel.store.ledger import HOUR_MS
from richpanel.store.message_rows import kept

ErasedAmong = Callable[[list[int]], set[int]]
"""Tells which hashes of (source, messageId) are of messages that were erased."""


def sift(opened: Opened, definitions: Definitions, log: Slice, erased_among: ErasedAmong) -> Opened:
    """Take out of a batch what belongs to what was erased."""
    stones, account = definitions.tombstones, definitions.account
    if not stones:
        return opened
    hashes = [message.hash for message in opened.arrived]
    known = erased_among([*hashes, *(each.hash for each in opened.refused if each.hash is not None)])

    def is_theirs(message: Incoming) -> bool:
        return message.hash in known or _belongs(message, stones, account)

    def is_theirs_too(discard: Refused) -> bool:
        return discard.hash in known or _tells_of(discard, stones, account, log)

    private = [Private(m.source.id, m.received, Code.ERASED, m.place, m.size) for m in opened.arrived if is_theirs(m)]
    gone = {each.place for each in private}
    private += [Private(d.source.id, d.at, Code.ERASED, d.place, d.size) for d in opened.refused if is_theirs_too(d)]
    if not private:
        return opened
    gone.update(each.place for each in private)
    return opened._replace(
        arrived=[message for message in opened.arrived if message.place not in gone],
        refused=[discard for discard in opened.refused if discard.place not in gone],
        private=[*opened.private, *private],
    )


def _belongs(message: Incoming, stones: Tombstones, account: AccountSettings) -> bool:
    """Tell whether a message belongs to what was erased: by its uid, else by the first id that was theirs."""
    if message.activity is not None:
        return _any_of([key for key in named(message.activity, account) if key is not None], message.t, stones)
    if message.uid is not None:
        return stones.covers(UID, message.uid, message.t)
    return message.anonymous is not None and stones.covers(ANONYMOUS, message.anonymous, message.t)


def _tells_of(discard: Refused, stones: Tombstones, account: AccountSettings, log: Slice) -> bool:
    """Tell the same of a bad item, as far as it can be read."""
    payload = kept(log, discard.place, discard.size)
    if payload is None:
        return False
    found, timestamp = read_ids(payload, account)
    return _any_of(found, event_time(discard.at, timestamp).t, stones)


def _any_of(keys: list[Key], t: int, stones: Tombstones) -> bool:
    if keys and keys[0][0] == UID:  # Whoever names a uid is that one.
        return stones.covers(*keys[0], t)
    return any(stones.covers(*key, t) for key in keys)


class _Payload(msgspec.Struct):
    userId: Any = None
    anonymousId: Any = None
    previousId: Any = None
    traits: Any = None
    properties: Any = None
    timestamp: Any = None


_decode: Final = msgspec.json.Decoder(_Payload).decode
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_ids(payload: bytes, account: AccountSettings) -> tuple[list[Key], object]:
    """Give the ids and addresses that a bad item names, its uid first, and its timestamp; none if it is unreadable."""
    try:
        read = _decode(payload)
    except _UNREADABLE:
        return [], None
    found: list[tuple[int, str | None]] = [
        (UID, clean_id(read.userId, account.blocked_ids)),
        (ANONYMOUS, clean_id(read.anonymousId, account.blocked_ids)),
        (ANONYMOUS, clean_id(read.previousId, account.blocked_ids)),
    ]
    for part in (read.traits, read.properties):
        if isinstance(part, dict):
            found.append((EMAIL, email_address(part.get("email"))))
            found.append((PHONE, phone_address(part.get("phone"), account.phone_country)))
    return [(kind, value) for kind, value in found if value is not None], read.timestamp


def by_source_and_hour(private: Iterable[Private]) -> dict[tuple[str, int, Code], int]:
    """Count what was refused, by source, hour (its beginning, ms UTC) and code."""
    counts: dict[tuple[str, int, Code], int] = {}
    for each in private:
        key = (each.source, each.at - each.at % HOUR_MS, each.code)
        counts[key] = counts.get(key, 0) + 1
    return counts
