"""Pages: the live debugger of a source: what arrives now, as it came, with what was refused at the door."""

from litestar import Response, get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.response import Stream

from richpanel.store.bodies import bodies_of
from richpanel.store.recent import came_last
from richpanel.store.sources import SourceRow
from richpanel.store.status import processed
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.channels import TooBusy
from richpanel.web.following import Follower, seen
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

_FIRST = 50
"""So many are there at once, before anything arrives."""


class EventsQuery(Query, kw_only=True):
    """From which position of the log on; a browser that comes again says so itself (Last-Event-ID)."""

    after: str = ""


def _source(reading: Reading, source_id: str) -> SourceRow:
    source = next((row for row in reading.sources.values() if row.id == source_id and row.deleted_at is None), None)
    if source is None:
        raise NotFoundException("There is no source with this id.")
    return source


def _debugger(reading: Reading, source_id: str) -> Context:
    source = _source(reading, source_id)
    came = came_last(reading.state, bodies_of(reading.state, reading.bodies), source.number, _FIRST)
    # What is applied above the low-water mark comes once more; the page knows it by its place.
    return {"source": source, "seen": [seen(each) for each in came], "after": processed(reading.state).position}


@get("/sources/{source_id:str}/debugger", include_in_schema=False)
async def debugger_page(pages: Given[Pages], viewer: Given[Viewer], source_id: Identifier) -> Response[str]:
    """Show what came last of a source; what arrives from then on, the page asks for itself."""
    wanted = decode_id(source_id)
    return await pages.show(viewer, "debugger.html", "/sources", lambda reading: _debugger(reading, wanted))


@get("/sources/{source_id:str}/debugger/events", include_in_schema=False)
async def debugger_events(
    request: AnyRequest,
    viewer: Given[Viewer],
    stores: Given[Stores],
    *,
    follower: Given[Follower],
    source_id: Identifier,
    asked: Given[EventsQuery],
) -> Stream:
    """Stream what arrives of a source, as server-sent events."""
    del viewer
    wanted = decode_id(source_id)
    source = await stores.read(lambda reading: _source(reading, wanted))
    if follower.is_full:
        raise TooBusy("Too many debuggers are open; close one.", headers={"Retry-After": "5"})
    after = request.headers.get("last-event-id") or asked.after
    position = int(after) if after.isascii() and after.isdigit() and len(after) < 20 else -1
    return Stream(
        follower.stream(source.id, position),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # nginx would keep it until it is worth sending.
    )


debugger_pages = [debugger_page, debugger_events]
