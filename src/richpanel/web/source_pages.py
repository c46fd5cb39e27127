"""Pages: the sources, how to connect each, and their settings."""

from typing import Final, Literal, assert_never

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.store.sources import (
    ADDABLE_TYPES,
    SourceChanges,
    SourceRow,
    add_source,
    delete_source,
    get_source,
    update_source,
)
from richpanel.store.status import source_counts
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query, bad_field
from richpanel.web.paths import decode_id, segment
from richpanel.web.signin import Door
from richpanel.web.snippets import channel_call, snippets
from richpanel.web.stores import Reading

TYPE_NAMES: Final = {
    "web": "Web",
    "mobile": "Mobile app",
    "server": "Server",
    "segment": "Segment connector",
    "channel": "Channels",
    "engage": "Engage",
}
TYPE_ICONS: Final = {
    **{"web": "globe", "mobile": "mobile", "server": "server"},
    **{"segment": "plug", "channel": "chat", "engage": "people"},
}
_NAME_LENGTH: Final = 100


class SourceQuery(Query, kw_only=True):
    """Which SDK's snippet is shown."""

    sdk: str | None = None


class AddForm(msgspec.Struct):
    """The form that adds a source."""

    name: str = ""
    type: Literal["web", "mobile", "server"] = "web"


class ChangeForm(msgspec.Struct):
    """The forms that change a source."""

    action: Literal["rename", "enable", "disable", "delete"]
    name: str = ""


Adding = URLEncodedBody[AddForm]
Changing = URLEncodedBody[ChangeForm]


def calls_of(counts: dict[str, int]) -> int:
    """Count what arrived, discards too."""
    return sum(counts.values())


def _list(reading: Reading) -> Context:
    counts = source_counts(reading.state)
    return {
        "sources": [row for row in reading.sources.values() if row.deleted_at is None],
        "counts": {number: calls_of(each) for number, each in counts.items()},
        "type_icons": TYPE_ICONS,
        "type_names": TYPE_NAMES,
    }


def _one(reading: Reading, source_id: str, sdk: str | None, origin: str) -> Context:
    source = next((row for row in reading.sources.values() if row.id == source_id and row.deleted_at is None), None)
    if source is None:
        raise NotFoundException("There is no source with this id.")
    counts = source_counts(reading.state).get(source.number, {})
    ways = snippets(origin, source.write_keys[0], source.type) if source.write_keys else []
    return {
        "source": source,
        "snippets": ways,
        "chosen": next((way for way in ways if way.key == sdk), ways[0] if ways else None),
        "channel_snippet": channel_call(origin),
        "origin": origin,
        "total": calls_of(counts),
        "counts": [(_outcome_name(what), number) for what, number in sorted(counts.items())],
        "deletable": source.type in ADDABLE_TYPES,
        "type_icons": TYPE_ICONS,
        "type_names": TYPE_NAMES,
    }


def _outcome_name(what: str) -> str:
    """Name a counter for people: `discarded:invalid_json` as "Discarded: invalid json"."""
    return what.replace("_", " ").replace(":", ": ").capitalize()


def _name(form: AddForm | ChangeForm) -> str:
    name = form.name.strip()
    if not 0 < len(name) <= _NAME_LENGTH:
        raise bad_field("name", f"A source needs a name of at most {_NAME_LENGTH} characters.")
    return name


@get("/sources", include_in_schema=False)
async def sources_page(pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the sources."""
    return await pages.show(viewer, "sources.html", "/sources", _list)


@get("/sources/{source_id:str}", include_in_schema=False)
async def source_page(
    request: AnyRequest,
    pages: Given[Pages],
    viewer: Given[Viewer],
    source_id: Identifier,
    asked: Given[SourceQuery],
) -> Response[str]:
    """Show a source, with snippets for the SDKs."""
    wanted, origin = decode_id(source_id), pages.origin(request.scope)
    return await pages.show(viewer, "source.html", "/sources", lambda reading: _one(reading, wanted, asked.sdk, origin))


@post("/sources", include_in_schema=False, status_code=303)
async def add_source_form(viewer: Given[Viewer], door: Given[Door], data: Adding) -> Redirect:
    """Add a source and go to its snippets."""
    del viewer
    name = _name(data)
    row = await door.stores.define(lambda conn: add_source(conn, name, data.type, now=door.stores.now()))
    return Redirect(f"/sources/{segment(row.id)}", status_code=303)


def _apply(conn: Connection, source: SourceRow, form: ChangeForm, now: int) -> str:
    """Change a source as a form asks; gives the page to go on to."""
    match form.action:
        case "rename":
            update_source(conn, source.id, SourceChanges(name=_name(form)))
        case "enable" | "disable":
            update_source(conn, source.id, SourceChanges(enabled=form.action == "enable"))
        case "delete":
            if source.type in ADDABLE_TYPES:
                delete_source(conn, source.id, now=now)
            return "/sources"
        case _:
            assert_never(form.action)
    return f"/sources/{segment(source.id)}"


@post("/sources/{source_id:str}", include_in_schema=False, status_code=303)
async def change_source_form(
    viewer: Given[Viewer], door: Given[Door], source_id: Identifier, data: Changing
) -> Redirect:
    """Rename, enable, disable or delete a source."""
    del viewer
    wanted = decode_id(source_id)

    def change(conn: Connection) -> str:
        source = get_source(conn, wanted)
        if source is None:
            raise NotFoundException("There is no source with this id.")
        return _apply(conn, source, data, door.stores.now())

    return Redirect(await door.stores.define(change), status_code=303)


source_pages = [sources_page, source_page, add_source_form, change_source_form]
