"""Pages: the audiences, a form that counts before it saves, who is in one, and why (mission rows S15 and B6)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import ClientException, NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.condition_json import condition_json, read
from richpanel.core.faults import wrong
from richpanel.core.membership import Audience
from richpanel.core.money import decode_exact, encode_exact
from richpanel.store import memberships
from richpanel.store.computations import list_computations
from richpanel.store.members import list_members, list_sizes, noted_sizes
from richpanel.web import audience_definitions as definitions
from richpanel.web.access import AnyRequest, Viewer, check_form
from richpanel.web.audience_definitions import Wanted, find, told_by_place
from richpanel.web.audience_looks import AskedPreview, Preview, Why, look_ahead, why_of
from richpanel.web.customers import MovedTo
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query, answer_bad_values
from richpanel.web.paths import decode_id, segment
from richpanel.web.signin import Door
from richpanel.web.stores import Reading

_LIST: Final = 25
_SIZES: Final = 30
EXAMPLE: Final = '{"event": "Order Completed", "within": {"days": 30}}'
_STATUS: Final = {
    "draft": ("quiet", "Draft"),
    "computing": ("accent", "Computing"),
    "live": ("good", "Live"),
    "paused": ("warn", "Paused"),
    "failed": ("bad", "Failed"),
}


class AudiencesQuery(Query, kw_only=True):
    """What the form holds; with `count` it is counted."""

    name: str = ""
    condition: str = ""
    visitors: Literal["1"] | None = None
    count: Literal["1"] | None = None


class AudienceQuery(Query, kw_only=True):
    """Where in the list of members; and whom to explain."""

    cursor: str | None = None
    uid: str = ""


class SaveForm(msgspec.Struct):
    """The form that adds an audience, or defines one anew."""

    condition: str
    name: str = ""
    visitors: str = ""
    csrf: str = ""


class MoveForm(msgspec.Struct):
    """The buttons of one that is there."""

    action: Literal["pause", "live", "delete"]
    csrf: str = ""


@contextmanager
def _of_form() -> Iterator[None]:
    """Tell what is no JSON as what is wrong with a condition is told."""
    with told_by_place():
        try:
            yield
        except msgspec.DecodeError as error:
            raise wrong("condition", f"This is no JSON: {error}.") from None


def _audience(condition: str, visitors: str | None) -> Audience:
    return Audience(read(decode_exact(condition)), bool(visitors))


@get("/audiences", include_in_schema=False)
async def audiences_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[AudiencesQuery]) -> Response[str]:
    """Show the audiences, and how many would be in a new one."""
    stores = pages.stores
    fault: str | None = None
    preview: Preview | None = None
    if asked.count:
        try:
            with _of_form():
                what = AskedPreview(condition=decode_exact(asked.condition), include_visitors=bool(asked.visitors))
                preview = await look_ahead(stores, what)
        except ClientException as error:
            fault = error.detail
    rows = await stores.look_up(lambda conn: list_computations(conn, "audience"))
    sizes = await stores.look_up(noted_sizes)

    def build(_: Reading) -> Context:
        return {
            "rows": rows,
            "sizes": sizes,
            "statuses": _STATUS,
            "form": asked,
            "example": EXAMPLE,
            "fault": fault,
            "preview": preview,
        }

    return await pages.show(viewer, "audiences.html", "/audiences", build, status=400 if fault else 200)


@get("/audiences/{audience_id:str}", include_in_schema=False)
async def audience_page(
    pages: Given[Pages], viewer: Given[Viewer], audience_id: Identifier, asked: Given[AudienceQuery]
) -> Response[str]:
    """Show an audience: what it asks, how it is, who is in, and why somebody is or is not."""
    wanted, stores = decode_id(audience_id), pages.stores
    row = await stores.look_up(lambda conn: find(conn, "audience", wanted))
    noted = await stores.look_up(lambda conn: list_sizes(conn, row.number, _SIZES))
    why: Why | None = None
    fault: str | None = None
    if asked.uid.strip():
        try:
            why = await stores.read(lambda reading: why_of(reading, row, asked.uid.strip()))
        except (NotFoundException, MovedTo) as error:
            fault = error.detail

    def build(reading: Reading) -> Context:
        plan, what = row.live, row.newest.defined.what
        found = None
        if plan is not None:
            found = answer_bad_values(
                lambda: list_members(reading.state, reading.account, plan.number, cursor=asked.cursor, limit=_LIST)
            )
        return {
            "row": row,
            "what": what,
            "condition": encode_exact(condition_json(what.condition)).decode() if isinstance(what, Audience) else "",
            "status": _STATUS[row.status],
            "size": None if plan is None else memberships.count(reading.state, plan.number),
            "members": found,
            "sizes": noted,
            "most": max((size for _, size in noted), default=0),
            "why": why,
            "asked": asked,
            "fault": fault,
        }

    return await pages.show(viewer, "audience.html", "/audiences", build, status=404 if fault else 200)


@post("/audiences", include_in_schema=False, status_code=303)
async def add_form(
    request: AnyRequest, viewer: Given[Viewer], door: Given[Door], data: URLEncodedBody[SaveForm]
) -> Redirect:
    """Add an audience."""
    del viewer
    check_form(request, data.csrf, "session", secure=door.pages.secure_cookies)
    name = data.name.strip()

    def change(conn: Connection) -> str:
        if not name:
            raise wrong("name", "Is required.")
        what = _audience(data.condition, data.visitors)
        made = definitions.add(conn, Wanted(kind="audience", name=name), what, draft=False, now=door.stores.now())
        return made.id

    with _of_form():
        return Redirect(f"/audiences/{segment(await door.stores.define(change))}", status_code=303)


@post("/audiences/{audience_id:str}/condition", include_in_schema=False, status_code=303)
async def redefine_form(
    request: AnyRequest,
    viewer: Given[Viewer],
    door: Given[Door],
    audience_id: Identifier,
    data: URLEncodedBody[SaveForm],
) -> Redirect:
    """Give an audience another condition."""
    del viewer
    check_form(request, data.csrf, "session", secure=door.pages.secure_cookies)
    wanted = decode_id(audience_id)

    def change(conn: Connection) -> None:
        what = _audience(data.condition, data.visitors)
        definitions.change(conn, wanted, Wanted(kind="audience"), what, now=door.stores.now())

    with _of_form():
        await door.stores.define(change)
    return Redirect(f"/audiences/{segment(wanted)}", status_code=303)


@post("/audiences/{audience_id:str}", include_in_schema=False, status_code=303)
async def move_form(
    request: AnyRequest,
    viewer: Given[Viewer],
    door: Given[Door],
    audience_id: Identifier,
    data: URLEncodedBody[MoveForm],
) -> Redirect:
    """Pause an audience, let it go on, or delete it."""
    del viewer
    check_form(request, data.csrf, "session", secure=door.pages.secure_cookies)
    wanted = decode_id(audience_id)

    def change(conn: Connection) -> str:
        now = door.stores.now()
        if data.action == "delete":
            definitions.remove(conn, "audience", wanted, now=now)
            return "/audiences"
        row = find(conn, "audience", wanted)
        definitions.move(conn, row, "live" if data.action == "live" else "paused", now=now)
        return f"/audiences/{segment(wanted)}"

    with _of_form():
        return Redirect(await door.stores.define(change), status_code=303)


audience_pages = [audiences_page, audience_page, add_form, redefine_form, move_form]
