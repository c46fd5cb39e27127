"""REST: link a visitor to a customer by hand, cut a link, take one of both back (`core.manual`; `semantics.md` 3)."""

from typing import Annotated
from uuid import uuid4

import msgspec
from litestar import post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.params import JSONBody, SkipValidation
from msgspec import Meta

from richpanel.core.ids import clean_id
from richpanel.core.manual import DOOR, Manual, ManualType, encode_manual
from richpanel.core.message import MAX_MESSAGE_ID
from richpanel.core.record import Meta as RecordMeta
from richpanel.core.record import encode
from richpanel.log.contract import LogFull, LogWriter
from richpanel.store.sources import SourceRow
from richpanel.web.channels import Accepted, Identity, NoWriter, TooBusy
from richpanel.web.customers import MovedTo, find_person
from richpanel.web.messages import read_traces
from richpanel.web.paging import Identifier, bad_field
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

_RAISES = [NotFoundException, PermissionDeniedException, TooBusy, NoWriter]


class ManualLink(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Which visitor. A repeat of an `id` counts once; `timestamp` is ISO 8601 or epoch, else now."""

    anonymous_id: Identity
    timestamp: str | int | float | None = None
    id: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_ID)] | int | None = None


def _owned(writer: LogWriter | None) -> LogWriter:
    """Give the log's writer where this process has it."""
    if writer is None:
        raise NoWriter("This process does not take messages in; ask the one that does.")
    return writer


async def _append(stores: Stores, writer: LogWriter, source: SourceRow, manual: Manual) -> Accepted:
    """Put a record into the log."""
    record = RecordMeta(at=stores.now(), source=source.id, sizes=[], door=DOOR)
    try:
        await writer.append(encode(record, [encode_manual(manual)]))
    except LogFull:
        raise TooBusy("The log cannot take more now. Nothing was kept.", headers={"Retry-After": "1"}) from None
    return Accepted(manual.messageId)


async def _source(stores: Stores) -> SourceRow:
    """Give the source by which people's own records enter: that of the channels."""
    known = await stores.definitions()
    source = next((row for row in known.sources.values() if row.type == "channel" and row.deleted_at is None), None)
    if source is None or not source.enabled:
        raise PermissionDeniedException("The source for channel messages and manual links is disabled.")
    return source


async def _about(stores: Stores, writer: LogWriter, kind: ManualType, raw_uid: str, data: ManualLink) -> Accepted:
    """Append a link or an unlink of a customer and an anonymousId."""
    uid = decode_id(raw_uid)
    account = (await stores.definitions()).account
    anonymous = clean_id(data.anonymous_id, account.blocked_ids)
    if anonymous is None:
        raise bad_field("anonymousId", "This anonymousId stands for nobody.")

    def look(reading: Reading) -> str:
        person = find_person(reading, "customers", uid, f"/api/v1/%s/%s/{kind}s")
        known_by = person.identities[0]
        if known_by.type != "uid":
            raise NotFoundException("This customer has no uid yet: nothing can be linked to an address.")
        return known_by.value

    linked = await stores.read(look)
    message_id = str(uuid4()) if data.id is None else str(data.id)
    manual = Manual(message_id, kind, linked, anonymous, timestamp=data.timestamp)
    return await _append(stores, writer, await _source(stores), manual)


@post(
    "/customers/{uid:str}/links",
    operation_id="linkVisitor",
    tags=["Customers"],
    status_code=202,
    raises=[*_RAISES, MovedTo],
)
async def link_visitor(
    stores: Given[Stores],
    log_writer: Given[SkipValidation[LogWriter | None]],
    uid: Identifier,
    data: JSONBody[ManualLink],
) -> Accepted:
    """Link a visitor to a customer: what they do from now on is the customer's, and what they did while nobody's."""
    return await _about(stores, _owned(log_writer), "link", uid, data)


@post(
    "/customers/{uid:str}/unlinks",
    operation_id="unlinkVisitor",
    tags=["Customers"],
    status_code=202,
    raises=[*_RAISES, MovedTo],
)
async def unlink_visitor(
    stores: Given[Stores],
    log_writer: Given[SkipValidation[LogWriter | None]],
    uid: Identifier,
    data: JSONBody[ManualLink],
) -> Accepted:
    """Cut every link so far between a customer and an anonymousId. Calls that carry the uid themselves stay."""
    return await _about(stores, _owned(log_writer), "unlink", uid, data)


@post("/messages/{message_id:str}/undo", operation_id="undoLink", tags=["Messages"], status_code=202, raises=_RAISES)
async def undo_link(
    stores: Given[Stores], log_writer: Given[SkipValidation[LogWriter | None]], message_id: Identifier
) -> Accepted:
    """Take a link or an unlink back, as if it had never been made; the id is the one it was answered with."""
    writer, wanted = _owned(log_writer), decode_id(message_id)
    source = await _source(stores)
    found = await stores.read(lambda reading: read_traces(reading, wanted, source.id))
    if not any(trace.type in ("link", "unlink") for trace in found):
        raise NotFoundException("No link or unlink with this id is known.")
    return await _append(stores, writer, source, Manual(str(uuid4()), "undo", undoes=wanted))


manual_links_api = [link_visitor, unlink_visitor, undo_link]
