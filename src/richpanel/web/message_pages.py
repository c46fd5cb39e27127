"""Pages: the list of messages, and what became of each."""

from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency as Given
from litestar.response import Redirect

from richpanel.core.manual import MANUAL_TYPES
from richpanel.core.message import TYPES
from richpanel.store.messages import Trace
from richpanel.store.sources import SourceRow
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.messages import MessagesQuery, TraceQuery, read_messages, read_traces
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query
from richpanel.web.paths import decode_id, segment
from richpanel.web.rendering import flat, pretty
from richpanel.web.snippets import curl
from richpanel.web.stores import Reading

_OUTCOMES: Final = ("kept", "discarded", "unsupported", "filtered", "failed", "told", "duplicate")


class FindQuery(Query, kw_only=True):
    """The id that somebody typed."""

    id: str = ""


def source_names(reading: Reading) -> dict[str, str]:
    """Name each source by its id; deleted ones keep their name."""
    return {source.id: source.name for source in reading.sources.values()}


def first_source(reading: Reading, origin: str) -> Context | None:
    """Choose the source that a first call is shown for."""
    usable = [row for row in reading.sources.values() if row.write_keys and row.enabled and row.deleted_at is None]
    chosen: SourceRow | None = min(usable, key=lambda row: (row.type != "web", row.number), default=None)
    if chosen is None:
        return None
    return {"id": chosen.id, "name": chosen.name, "curl": curl(origin, chosen.write_keys[0])}


def _list(reading: Reading, asked: MessagesQuery, origin: str) -> Context:
    filters = {"source": asked.source, "type": asked.type, "outcome": asked.outcome, "uid": asked.uid}
    names = source_names(reading)
    return {
        "messages": read_messages(reading, asked),
        "chosen": asked,
        "filters": filters,
        "filtered": any(filters.values()),
        "cursor": asked.cursor,
        "source_names": names,
        "source_choices": [(row.id, row.name) for row in reading.sources.values() if row.deleted_at is None],
        "type_choices": [(kind, kind.capitalize()) for kind in (*TYPES, "channel", *MANUAL_TYPES)],
        "outcome_choices": [(outcome, outcome.capitalize()) for outcome in _OUTCOMES],
        "first_source": first_source(reading, origin),
        "origin": origin,
    }


def _change_row(change: dict[str, Any]) -> tuple[str, str]:
    """Show one change: what, and its new value."""
    what = str(change.get("what", ""))
    if what == "trait":
        value = change.get("value")
        return str(change.get("key")), "removed" if value is None else flat(value)
    rest = ", ".join(f"{key} {flat(value)}" for key, value in change.items() if key != "what")
    return what.replace("_", " ").capitalize(), rest or "yes"


def _trace(reading: Reading, message_id: str, source: str | None) -> Context:
    traces: list[Trace] = read_traces(reading, message_id, source)
    shown = [msgspec.json.decode(msgspec.json.encode(each.changes)) for each in traces]
    return {
        "message_id": message_id,
        "traces": traces,
        "changes": [[_change_row(change) for change in changes] for changes in shown],
        "bodies": [pretty(each.body) for each in traces],
        "source_names": source_names(reading),
        "destination_names": reading.known.destinations,
    }


@get("/messages", include_in_schema=False)
async def messages_page(
    request: AnyRequest,
    pages: Given[Pages],
    viewer: Given[Viewer],
    asked: Given[MessagesQuery],
) -> Response[str]:
    """Show the messages."""
    origin = pages.origin(request.scope)
    return await pages.show(viewer, "messages.html", "/messages", lambda reading: _list(reading, asked, origin))


@get("/messages/find", include_in_schema=False)
async def find_message(viewer: Given[Viewer], asked: Given[FindQuery]) -> Redirect:
    """Go to the message whose id somebody typed."""
    del viewer
    wanted = asked.id.strip()
    return Redirect(f"/messages/{segment(wanted)}" if wanted else "/messages", status_code=303)


@get("/messages/{message_id:str}", include_in_schema=False)
async def message_page(
    pages: Given[Pages],
    viewer: Given[Viewer],
    message_id: Identifier,
    asked: Given[TraceQuery],
) -> Response[str]:
    """Show what became of a message."""
    wanted = decode_id(message_id)
    return await pages.show(viewer, "message.html", "/messages", lambda reading: _trace(reading, wanted, asked.source))


message_pages = [messages_page, find_message, message_page]
