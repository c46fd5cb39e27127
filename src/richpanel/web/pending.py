"""Messages that are safe in the log and not yet in the state: they can be looked up at once, as `pending`."""

from collections.abc import Iterator
from typing import Final

import msgspec

from richpanel.core import record
from richpanel.core.record import Item, Meta
from richpanel.core.timestamps import iso
from richpanel.log.age import what_waits
from richpanel.store.messages import Trace
from richpanel.store.status import processed
from richpanel.web.stores import Reading

_TAIL_BYTES: Final = 8 << 20
"""How far ahead of the state a look-up reads; a message further on is found once the state has come nearer."""


class _Known(msgspec.Struct):
    messageId: str | int | None = None
    type: str | None = None
    event: str | None = None


_decode_known = msgspec.json.Decoder(_Known).decode


def pending_traces(reading: Reading, message_id: str, source: str | None) -> list[Trace]:
    """Give the traces of the messages with this id that wait to be processed."""
    return [
        Trace(
            message_id=message_id,
            source=meta.source,
            type=meta.type or ("channel" if meta.channel else known.type),
            event=known.event,
            received_at=iso(meta.at),
            timestamp=None,
            outcome="pending",
            body=_without_key(item.body),
        )
        for meta, item, known in _waiting(reading, message_id)
        if source in (None, meta.source)
    ]


def _waiting(reading: Reading, message_id: str) -> Iterator[tuple[Meta, Item, _Known]]:
    named = message_id.encode()
    for entry in what_waits(reading.log, processed(reading.state).position, _TAIL_BYTES):
        if named not in entry.payload:
            continue
        meta, items, _ = record.decode(entry.payload)
        for number, item in enumerate(items):
            if record.is_erased(item.body):
                continue
            known = _decode_known(item.body)
            if message_id in (meta.ids.get(number), str(known.messageId)):
                yield meta, item, known


def _without_key(body: bytes) -> msgspec.Raw:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("writeKey", None)
    return msgspec.Raw(msgspec.json.encode(fields))
