"""Pages: the Event Tester of a destination (mission row B3): an event to start from, and what came of sending it."""

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import URLEncodedBody

from richpanel.store.destinations import DestinationRow, get_destination
from richpanel.web.access import Viewer
from richpanel.web.destination_forms import faults_of
from richpanel.web.message_pages import source_names
from richpanel.web.messages import MessagesQuery, read_messages, read_traces
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import MAX_LIMIT, Identifier, Query
from richpanel.web.paths import decode_id
from richpanel.web.rendering import pretty
from richpanel.web.signin import Door
from richpanel.web.stores import Reading
from richpanel.web.tester import Tested, Tester

Kind = Literal["identify", "page", "track"]
_TIMES: Final = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
_NOT_AGAIN: Final = ("messageId", "writeKey", *_TIMES)
"""What an event that was sent before has, and a test gets anew."""
_EXAMPLES: Final[dict[Kind, dict[str, Any]]] = {
    "identify": {"userId": "test-user", "traits": {"email": "test@example.com", "name": "Test User"}},
    "page": {
        "userId": "test-user",
        "name": "Mugs",
        "properties": {"title": "Mugs", "path": "/mugs", "url": "https://shop.example/mugs"},
    },
    "track": {
        "userId": "test-user",
        "event": "Product Viewed",
        "properties": {"product_id": "test-1", "name": "Mug, blue", "price": 20, "currency": "USD"},
    },
}


class TesterQuery(Query, kw_only=True):
    """Where to start: at which type, and whether at the example though there is a recent message."""

    type: Kind = "track"
    start: Literal["recent", "example"] = "recent"


class TesterForm(msgspec.Struct):
    """The event to send, and as which source's."""

    type: Kind = "track"
    source: str = ""
    message: str = ""


class Start(msgspec.Struct, frozen=True):
    """The event that the form begins with, and the message that it is of, if it is of one."""

    text: str
    message_id: str | None = None
    source: str | None = None


def _recent(reading: Reading, kind: Kind, sources: Sequence[str]) -> Start | None:
    """Find the newest message of a type that a destination could get, among those that came last."""
    for each in read_messages(reading, MessagesQuery(limit=MAX_LIMIT)).data:
        if each.message_id is None or each.type != kind or each.source not in sources or each.outcome == "discarded":
            continue
        trace = next((one for one in read_traces(reading, each.message_id, each.source) if one.body_kept), None)
        if trace is not None:
            fields = msgspec.json.decode(trace.body, type=dict[str, msgspec.Raw])
            kept = {key: value for key, value in fields.items() if key not in _NOT_AGAIN}
            return Start(pretty(msgspec.Raw(msgspec.json.encode({"type": kind} | kept))), each.message_id, each.source)
    return None


def _example(kind: Kind) -> Start:
    return Start(pretty({"type": kind, **_EXAMPLES[kind]}))


async def _show(
    pages: Pages,
    viewer: Viewer,
    destination_id: str,
    asked: TesterQuery,
    *,
    form: TesterForm | None = None,
    result: Tested | HTTPException | None = None,
) -> Response[str]:
    """Show the tester, with what was filled in and what came of it; raises NotFoundException."""
    row = await pages.stores.look_up(lambda conn: get_destination(conn, destination_id))
    if row is None:
        raise NotFoundException("There is no destination with this id.")
    error = result if isinstance(result, HTTPException) else None

    def build(reading: Reading) -> Context:
        start = Start(form.message, source=form.source) if form else _start(reading, row, asked)
        return {
            "destination": row,
            "asked": asked,
            "kinds": tuple(_EXAMPLES),
            "start": start,
            "source_names": source_names(reading),
            "tested": result if isinstance(result, Tested) else None,
            "faults": faults_of(error),
        }

    status = error.status_code if error else 200
    return await pages.show(viewer, "tester.html", "/destinations", build, status=status)


def _start(reading: Reading, row: DestinationRow, asked: TesterQuery) -> Start:
    recent = _recent(reading, asked.type, row.sources) if asked.start == "recent" else None
    return recent or _example(asked.type)


@get("/destinations/{destination_id:str}/test", include_in_schema=False)
async def tester_page(
    pages: Given[Pages], viewer: Given[Viewer], destination_id: Identifier, asked: Given[TesterQuery]
) -> Response[str]:
    """Show the tester."""
    return await _show(pages, viewer, decode_id(destination_id), asked)


@post("/destinations/{destination_id:str}/test", include_in_schema=False, status_code=200)
async def tester_form(
    viewer: Given[Viewer],
    door: Given[Door],
    *,
    tester: Given[Tester],
    destination_id: Identifier,
    data: URLEncodedBody[TesterForm],
) -> Response[str]:
    """Send the event, and show what came of it."""
    wanted = decode_id(destination_id)
    call = data.message.encode("utf-8", "surrogatepass")
    result: Tested | HTTPException
    try:
        result = await tester.run(wanted, call, data.source or None)
    except NotFoundException:
        raise
    except HTTPException as error:
        result = error
    return await _show(door.pages, viewer, wanted, TesterQuery(type=data.type), form=data, result=result)


tester_pages = [tester_page, tester_form]
