"""A person's page as it changes: server-sent events with the pieces of it that are to be shown anew.

Each stream looks once a second whether the person's row has changed, and writes nothing while it has not. It is bounded
as those of the debugger are (`web.following`): so many at a time, a beat every two seconds, five minutes at the most.
"""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from time import monotonic
from typing import Annotated, Final, NamedTuple

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.response import Stream
from msgspec import Meta

from richpanel.store.profiles import mark_of
from richpanel.store.views import People
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.channels import TooBusy
from richpanel.web.customers import MovedTo, find_number, find_person
from richpanel.web.following import BEAT
from richpanel.web.pages import Pages
from richpanel.web.paging import Identifier, Query
from richpanel.web.paths import decode_id
from richpanel.web.person_pages import head_of
from richpanel.web.person_tabs import PersonQuery, Sort, timeline_tab
from richpanel.web.stores import Reading

STREAMS: Final = 24
"""So many people may be watched at a time; each holds one of the connections to the pages' process."""
_SECONDS: Final = 1.0
_BEAT_SECONDS: Final = 2.0
_LONGEST_SECONDS: Final = 300.0
_GONE: Final = "gone"


class LiveQuery(Query, kw_only=True):
    """What the page shows of the timeline, and the mark of the person that it was made from."""

    kind: Sort | None = None
    event: Annotated[str, Meta(max_length=200)] | None = None
    mark: str = ""


class _Look(NamedTuple):
    """A look at a person: their mark now, and what of the page is to be shown anew."""

    mark: str
    data: bytes | None = None


class Watcher:
    """Lets streams watch people. Nothing runs while nobody looks."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._streams = 0

    @property
    def is_full(self) -> bool:
        """Whether there are as many streams as there may be."""
        return self._streams >= STREAMS

    async def stream(self, kind: People, identifier: str, asked: LiveQuery, mark: str) -> AsyncGenerator[bytes, None]:
        """Give an event for each change of a person since their mark; `gone` where they are nobody, or another, now."""
        self._streams += 1
        try:
            yield b"retry: 2000\n\n"
            begun = spoken = monotonic()
            while (now := monotonic()) < begun + _LONGEST_SECONDS:
                look = await self._pages.stores.read(
                    partial(self._look, kind=kind, identifier=identifier, asked=asked, known=mark)
                )
                mark = look.mark
                if mark == _GONE:
                    yield b"event: gone\ndata: {}\n\n"
                    return
                if look.data is not None:
                    yield b"id: %s\nevent: changed\ndata: %s\n\n" % (mark.encode(), look.data)
                    spoken = now
                elif now >= spoken + _BEAT_SECONDS:
                    yield BEAT
                    spoken = now
                await asyncio.sleep(_SECONDS)
        finally:
            self._streams -= 1

    def _look(self, reading: Reading, *, kind: People, identifier: str, asked: LiveQuery, known: str) -> _Look:
        try:
            mark = mark_of(reading.state, find_number(reading, kind, identifier, "/%s/%s"))
            if mark == known:
                return _Look(mark)
            person = find_person(reading, kind, identifier, "/%s/%s")
        except (NotFoundException, MovedTo):
            return _Look(_GONE)
        newest = timeline_tab(reading, person, PersonQuery(kind=asked.kind, event=asked.event))
        head = head_of(reading, kind, identifier, person)
        pieces = {
            "head": self._pages.piece("person_head.html", head),
            "timeline": self._pages.piece("timeline_groups.html", newest),
        }
        return _Look(mark, msgspec.json.encode(pieces))


def _answer(request: AnyRequest, watcher: Watcher, kind: People, raw_id: str, asked: LiveQuery) -> Stream:
    if watcher.is_full:
        raise TooBusy("Too many people are being watched; this page shows what was when it was opened.")
    mark = request.headers.get("last-event-id") or asked.mark
    return Stream(
        watcher.stream(kind, decode_id(raw_id), asked, mark),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # nginx would keep it until it is worth sending.
    )


@get("/customers/{uid:str}/live", include_in_schema=False)
async def customer_live(
    request: AnyRequest, viewer: Given[Viewer], watcher: Given[Watcher], uid: Identifier, asked: Given[LiveQuery]
) -> Stream:
    """Stream what changes of a customer's page."""
    del viewer
    return _answer(request, watcher, "customers", uid, asked)


@get("/visitors/{visitor_id:str}/live", include_in_schema=False)
async def visitor_live(
    request: AnyRequest,
    viewer: Given[Viewer],
    watcher: Given[Watcher],
    visitor_id: Identifier,
    asked: Given[LiveQuery],
) -> Stream:
    """Stream what changes of a visitor's page."""
    del viewer
    return _answer(request, watcher, "visitors", visitor_id, asked)


live_pages = [customer_live, visitor_live]
