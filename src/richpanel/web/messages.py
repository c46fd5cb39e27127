"""REST: `/messages`, the debugger: every message and discard, and the trace of each (contract.md, "Bodies")."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Annotated, Literal

from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from msgspec import Meta

from richpanel.store.database import reading as snapshot
from richpanel.store.delivery_reading import DeliveryView, deliveries_at
from richpanel.store.messages import MessageRow, Trace, list_messages, trace
from richpanel.store.paging import Page
from richpanel.web.paging import Identifier, Listed, Paged, Query, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.pending import pending_traces
from richpanel.web.stores import Reading, Stores

Type = Literal["identify", "track", "page", "screen", "group", "alias", "channel", "link", "unlink", "undo"]
Outcome = Literal["kept", "discarded", "unsupported", "filtered", "failed", "told", "duplicate", "pending"]
SourceId = Annotated[str, Meta(description="The id of a source.")]


class MessagesQuery(Paged, kw_only=True):
    """Which messages."""

    source: SourceId | None = None
    type: Type | None = None
    uid: Annotated[str, Meta(description="The uid of the customer whose history they are in.")] | None = None
    outcome: Outcome | None = None


class TraceQuery(Query, kw_only=True):
    """Whose message of this id, where several sources sent it."""

    source: SourceId | None = None


def read_messages(reading: Reading, asked: MessagesQuery) -> Page[MessageRow]:
    """Read a page of the list."""
    return answer_bad_values(
        lambda: list_messages(
            reading.state,
            reading.bodies,
            reading.account,
            reading.sources,
            source=asked.source,
            type=asked.type,
            uid=asked.uid,
            outcome=asked.outcome,
            cursor=asked.cursor,
            limit=asked.limit,
        )
    )


def delivered_at(reading: Reading, places: Sequence[int]) -> Mapping[int, list[DeliveryView]]:
    """Give the deliveries of messages, by their places in the log."""
    with snapshot(reading.deliveries) as connection:
        return deliveries_at(connection, reading.known.destination_ids, places)


def read_traces(reading: Reading, message_id: str, source: str | None) -> list[Trace]:
    """Read the traces of a message, one per source that sent the id; raises NotFoundException."""
    found = trace(
        reading.state,
        reading.bodies,
        reading.account,
        reading.sources,
        message_id,
        source=source,
        delivered=partial(delivered_at, reading),
    )
    found = found or pending_traces(reading, message_id, source)
    if not found:
        raise NotFoundException("No message with this id is known.")
    return found


@get("/messages", operation_id="listMessages", tags=["Messages"])
async def messages(stores: Given[Stores], asked: Given[MessagesQuery]) -> Page[MessageRow]:
    """List the messages and discards, newest first."""
    return await stores.read(lambda reading: read_messages(reading, asked))


@get("/messages/{message_id:str}", operation_id="getMessage", tags=["Messages"], raises=[NotFoundException])
async def message(stores: Given[Stores], message_id: Identifier, asked: Given[TraceQuery]) -> Listed[Trace]:
    """Get the trace of a message: what was received, decided, changed and sent; one per source that sent the id."""
    wanted = decode_id(message_id)
    return Listed(await stores.read(lambda reading: read_traces(reading, wanted, asked.source)))


messages_api = [messages, message]
