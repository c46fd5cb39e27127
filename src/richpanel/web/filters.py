"""REST: a destination's filters, checked when they are saved and tried on a message before (contract.md, "Bodies")."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import JSONBody
from msgspec import Meta

from richpanel.core.cut import Cut
from richpanel.core.filters import Fault, Filter, Filters, check, check_one
from richpanel.core.fql import FqlError, compile_fql
from richpanel.core.message import DELIVERED_TYPES
from richpanel.core.routing import decide, decision
from richpanel.store.destinations import DestinationRow, get_destination
from richpanel.store.messages import Trace
from richpanel.web.messages import MessagesQuery, read_messages, read_traces
from richpanel.web.paging import MAX_LIMIT, Identifier
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

_PAGES: Final = 4
"""How many pages of the newest messages a try looks through for one that the destination could get."""


class FilterTrial(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A filter to try, and on which message: else on the newest that came to the destination."""

    filter: Filter
    message_id: Annotated[str, Meta(min_length=1)] | None = None
    source: str | None = None


class FilterTried(msgspec.Struct, rename="camel", kw_only=True):
    """What a filter alone would do to a message, on or off: `matches` is null where it cannot be evaluated.

    `before` is the message as it came, `after` what the destination would get of it; null where that is nothing.
    """

    message_id: str
    source: str
    matches: bool | None
    outcome: Literal["kept", "unsupported", "filtered", "failed"]
    code: str | None = None
    reason: str | None = None
    cut: Cut | None = None
    before: msgspec.Raw
    after: msgspec.Raw | None


def checked(filters: Sequence[Filter]) -> list[dict[str, Any]]:
    """Give filters as they are stored; raises ValidationException where they cannot be saved."""
    _refuse("The filters cannot be saved", check(filters))
    return [msgspec.to_builtins(each) for each in filters]


def _refuse(why: str, faults: Sequence[Fault]) -> None:
    if faults:
        errors = []
        for fault in faults:
            line, column = fault.place or (None, None)
            errors.append({"message": fault.text, "key": fault.field, "source": "body", "line": line, "column": column})
        raise ValidationException(f"{why}: {faults[0].field}: {faults[0].text}", extra=errors)


@post("/{destination_id:str}/filters/try", operation_id="tryFilter", status_code=200, raises=[NotFoundException])
async def try_filter(stores: Given[Stores], destination_id: Identifier, data: JSONBody[FilterTrial]) -> FilterTried:
    """Tell what a filter would do to a message that came, before it is saved; nothing is changed.

    The filter is tried alone, whatever others the destination has. A filter without a title is taken, too.
    """
    return await run_trial(stores, decode_id(destination_id), data)


async def run_trial(stores: Stores, wanted: str, data: FilterTrial) -> FilterTried:
    """Try a filter at the destination with this id; raises ValidationException and NotFoundException."""
    row = await stores.look_up(lambda conn: get_destination(conn, wanted))
    if row is None:
        raise NotFoundException("There is no destination with this id.")
    filter_ = msgspec.structs.replace(data.filter, title=data.filter.title.strip() or "(untitled)", enabled=True)
    _refuse("The filter cannot be tried", check_one(filter_, "filter"))
    return await stores.read(lambda reading: _tried(filter_, _message(reading, row, data)))


def _message(reading: Reading, row: DestinationRow, asked: FilterTrial) -> Trace:
    if asked.message_id is not None:
        traces = read_traces(reading, asked.message_id, asked.source)
        found = next((each for each in traces if each.source in row.sources), traces[0])
    else:
        found = _newest(reading, row, asked.source)
    if not found.body_kept:
        raise NotFoundException("The body of this message is not kept any more, so nothing can be tried on it.")
    if not isinstance(msgspec.json.decode(found.body), dict) or found.outcome == "discarded":
        raise NotFoundException("What came under this id was discarded, so no destination gets it.")
    return found


def _newest(reading: Reading, row: DestinationRow, source: str | None) -> Trace:
    """Find the newest message that the destination could get; raises NotFoundException."""
    cursor = None
    for _ in range(_PAGES):
        page = read_messages(reading, MessagesQuery(limit=MAX_LIMIT, cursor=cursor, source=source))
        for each in page.data:
            if each.message_id is not None and each.type in DELIVERED_TYPES and each.source in row.sources:
                found = [one for one in read_traces(reading, each.message_id, each.source) if one.body_kept]
                if found and found[0].outcome != "discarded":
                    return found[0]
        cursor = page.next
        if cursor is None:
            break
    raise NotFoundException("No message came lately that this destination could get: send one, or name a messageId.")


def _tried(filter_: Filter, trace: Trace) -> FilterTried:
    message = {**msgspec.json.decode(trace.body), "messageId": trace.message_id}
    parts = msgspec.json.decode(trace.body, type=dict[str, msgspec.Raw])
    nothing = msgspec.Raw()
    matches = None
    with suppress(FqlError):
        matches = compile_fql(filter_.condition)(message)
    ruling = decide(
        trace.type or "",
        parts.get("integrations", nothing),
        parts.get("context", nothing),
        key_valid=True,
        judge=lambda: Filters([filter_]).judge(message),
    )
    made = decision("", ruling)
    left = parts if made.cut is None else made.cut.apply(parts)
    return FilterTried(
        message_id=trace.message_id,
        source=trace.source,
        matches=matches,
        outcome=made.outcome,
        code=made.code,
        reason=made.reason,
        cut=made.cut,
        before=trace.body,
        after=msgspec.Raw(msgspec.json.encode(left)) if made.outcome == "kept" else None,
    )
