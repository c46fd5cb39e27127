"""REST: channel activity comes in like any message, through the log (`semantics.md` 3; contract.md, "REST API")."""

from typing import Annotated, Final
from uuid import uuid4

import msgspec
from litestar import post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, PermissionDeniedException, ServiceUnavailableException
from litestar.params import JSONBody, SkipValidation
from msgspec import Meta

from richpanel.core.channel import (
    CHANNELS,
    HANDLED,
    MAX_ATTACHMENTS,
    MAX_TEXT_BYTES,
    Activity,
    Attachment,
    Sender,
    encode_activity,
    handle_id,
    wa_number,
)
from richpanel.core.ids import clean_id, email_address, phone_address
from richpanel.core.message import MAX_MESSAGE_ID
from richpanel.core.record import Meta as RecordMeta
from richpanel.core.record import encode
from richpanel.log.contract import LogFull, LogWriter
from richpanel.store.account import AccountSettings
from richpanel.web.paging import Identifier, bad_field
from richpanel.web.paths import decode_id
from richpanel.web.stores import Stores

MAX_BODY: Final = MAX_TEXT_BYTES
Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Identity = Text | int


class From(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Who wrote or called: at least one of uid, email, phone, anonymousId and, on facebook and instagram, handle."""

    uid: Identity | None = None
    email: Text | None = None
    phone: Identity | None = None
    anonymous_id: Identity | None = None
    handle: Identity | None = None
    name: Text | None = None


class AttachedFile(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A file that came with a message: it is listed, never stored. `size` is in bytes."""

    name: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    content_type: Annotated[str, Meta(max_length=127)] | None = None
    size: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None


class ChannelMessage(msgspec.Struct, rename={"sender": "from"}, forbid_unknown_fields=True):
    """One message of a channel. A repeat of an `id` counts once; `timestamp` is ISO 8601 or epoch, else now."""

    sender: From
    body: str
    subject: str | None = None
    timestamp: str | int | float | None = None
    id: Annotated[str, Meta(min_length=1, max_length=MAX_MESSAGE_ID)] | int | None = None
    attachments: Annotated[list[AttachedFile], Meta(max_length=MAX_ATTACHMENTS)] = []


class Accepted(msgspec.Struct, rename="camel"):
    """The message is in the log, and will be on the timeline within a moment."""

    message_id: str
    accepted: bool = True


class NoWriter(ServiceUnavailableException):
    """This process does not own the log."""


class TooBusy(ServiceUnavailableException):
    """The log takes nothing more for the moment."""

    status_code = 429


def _sender(channel: str, given: From, account: AccountSettings) -> Sender:
    """Keep what can tell a person; a request that names nobody is refused."""
    uid, anonymous = (clean_id(value, account.blocked_ids) for value in (given.uid, given.anonymous_id))
    if given.handle is not None:
        anonymous = _by_handle(channel, given, account)
    email = email_address(given.email)
    phone = None if given.phone is None else str(given.phone)
    if phone is not None and channel == "whatsapp":
        phone = wa_number(phone)
    if uid is None and anonymous is None and email is None and phone_address(phone, account.phone_country) is None:
        least = "a uid, an email, a phone number, " + ("a handle or" if channel in HANDLED else "or")
        raise bad_field("from", f"`from` needs {least} an anonymousId that can be used.")
    return Sender(uid=uid, email=given.email if email else None, phone=phone, anonymousId=anonymous, name=given.name)


def _by_handle(channel: str, given: From, account: AccountSettings) -> str | None:
    """Give the anonymousId that a handle stands for."""
    if channel not in HANDLED:
        raise bad_field("from.handle", f"Handles are for {' and '.join(HANDLED)}; {channel} knows people otherwise.")
    if given.anonymous_id is not None:
        raise bad_field("from.handle", "A handle counts as an anonymousId: give one of the two.")
    handle = clean_id(str(given.handle).strip().removeprefix("@"), account.blocked_ids)
    return None if handle is None else handle_id(channel, handle)


@post(
    "/channels/{channel:str}/messages",
    operation_id="addChannelMessage",
    tags=["Channels"],
    status_code=202,
    request_max_body_size=MAX_BODY,
    raises=[NotFoundException, PermissionDeniedException, TooBusy, NoWriter],
)
async def add_channel_message(
    stores: Given[Stores],
    log_writer: Given[SkipValidation[LogWriter | None]],
    channel: Identifier,
    data: JSONBody[ChannelMessage],
) -> Accepted:
    """Take in a message that came by email, chat, sms, phone, facebook, instagram or whatsapp.

    It makes its sender a customer, and is answered once it is safe in the log. On sms, phone and whatsapp (there
    without its plus, too) a phone number tells who that is, on facebook and instagram a `handle`.
    """
    name = decode_id(channel)
    if name not in CHANNELS:
        raise NotFoundException(f"There is no such channel; the channels are {', '.join(CHANNELS)}.")
    if log_writer is None:
        raise NoWriter("This process does not take messages in; ask the one that does.")
    known = await stores.definitions()
    source = next((row for row in known.sources.values() if row.type == "channel" and row.deleted_at is None), None)
    if source is None or not source.enabled:
        raise PermissionDeniedException("The source for channel messages is disabled.")
    message_id = str(uuid4()) if data.id is None else str(data.id)
    activity = Activity(
        message_id,
        name,
        _sender(name, data.sender, known.account),
        data.subject,
        data.body,
        data.timestamp,
        [Attachment(each.name, each.content_type, each.size) for each in data.attachments],
    )
    record = RecordMeta(at=stores.now(), source=source.id, sizes=[], door="channel", channel=name)
    try:
        await log_writer.append(encode(record, [encode_activity(activity)]))
    except LogFull:
        raise TooBusy("The log cannot take more now. Nothing was kept.", headers={"Retry-After": "1"}) from None
    return Accepted(message_id)
