"""The first page: the sign-in to guests, else figures, the newest messages and the sources."""

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency as Given

from richpanel.store.delivery_trouble import COUNTED
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.delivery_pages import find_trouble
from richpanel.web.message_pages import first_source, source_names
from richpanel.web.messages import MessagesQuery, read_messages
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Query
from richpanel.web.signin import Door, SignIn, signin_page
from richpanel.web.status import read_status
from richpanel.web.stores import Reading

_LATEST: Final = 10


class OverviewQuery(Query, kw_only=True):
    """Where a guest wanted to go."""

    next: str = "/"


def _figures(counts: dict[str, int]) -> dict[str, int]:
    """Sum a source's counters up as people ask: kept, not for Richpanel, discarded, repeats."""
    discarded = sum(number for what, number in counts.items() if what.startswith("discarded"))
    other = sum(counts.get(what, 0) for what in ("unsupported", "filtered", "failed"))
    return {
        "kept": counts.get("kept", 0),
        "other": other,
        "discarded": discarded,
        "duplicate": counts.get("duplicate", 0),
    }


def _overview(reading: Reading, origin: str) -> Context:
    status = read_status(reading)
    present = [row for row in reading.sources.values() if row.deleted_at is None]
    return {
        "customers": reading.count(True),
        "visitors": reading.count(False),
        "status": status,
        "troubles": find_trouble(reading),
        "most_waiting": COUNTED,
        "messages": read_messages(reading, MessagesQuery(limit=_LATEST)),
        "sources": [(row, _figures(status.outcomes.get(row.id, {}))) for row in present],
        "source_names": source_names(reading),
        "first_source": first_source(reading, origin),
        "origin": origin,
    }


@get("/", include_in_schema=False)
async def overview(
    request: AnyRequest,
    pages: Given[Pages],
    door: Given[Door],
    guest: Given[Viewer | None],
    asked: Given[OverviewQuery],
) -> Response[str]:
    """Show the sign-in or the overview."""
    if guest is None:
        return signin_page(door, SignIn(next=asked.next))
    origin = pages.origin(request.scope)
    return await pages.show(guest, "overview.html", "/", lambda reading: _overview(reading, origin))
