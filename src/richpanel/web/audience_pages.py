"""Pages: the audiences; one of them with who is in it, and why somebody is or is not (mission rows S15 and B6)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.announcing import Class
from richpanel.store import memberships
from richpanel.store.computations import ComputationRow, list_computations
from richpanel.store.members import list_members, list_sizes, noted_sizes
from richpanel.web import audience_definitions as definitions
from richpanel.web.access import Viewer
from richpanel.web.audience_definitions import find, told_by_place
from richpanel.web.audience_looks import Why, why_of
from richpanel.web.audiences import next_version
from richpanel.web.customers import MovedTo
from richpanel.web.membership_history import Change, history_of
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query, answer_bad_values
from richpanel.web.paths import decode_id, segment
from richpanel.web.plots import curve
from richpanel.web.signin import Door
from richpanel.web.stores import Reading, Stores
from richpanel.web.trait_looks import WhyValue
from richpanel.web.versions import read_versions

LIST: Final = 25
_SIZES: Final = 10_000
STATUS: Final = {
    "draft": ("quiet", "Draft"),
    "computing": ("accent", "Computing"),
    "live": ("good", "Live"),
    "paused": ("warn", "Paused"),
    "failed": ("bad", "Failed"),
}


class ComputationQuery(Query, kw_only=True):
    """Where in the list of people; and whom to explain."""

    cursor: str | None = None
    uid: str = ""


class Explained(NamedTuple):
    """Why somebody is where they are, and what was told of them; or why that cannot be said."""

    why: Why | WhyValue | None = None
    changes: Sequence[Change] = ()
    fault: str | None = None


class MoveForm(msgspec.Struct):
    """The buttons of one that is there."""

    action: Literal["pause", "live", "delete"]


@get("/audiences", include_in_schema=False)
async def audiences_page(pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the audiences."""
    rows = await pages.stores.look_up(lambda conn: list_computations(conn, "audience"))
    sizes = await pages.stores.look_up(noted_sizes)

    def build(_: Reading) -> Context:
        return {"kind": "audience", "rows": rows, "sizes": sizes, "statuses": STATUS}

    return await pages.show(viewer, "audiences.html", "/audiences", build)


@get("/audiences/{audience_id:str}", include_in_schema=False)
async def audience_page(
    pages: Given[Pages], viewer: Given[Viewer], audience_id: Identifier, asked: Given[ComputationQuery]
) -> Response[str]:
    """Show an audience: what it asks, how it is, who is in, and why somebody is or is not."""
    wanted, stores, uid = decode_id(audience_id), pages.stores, asked.uid.strip()
    row = await stores.look_up(lambda conn: find(conn, "audience", wanted))
    listed = await stores.look_up(lambda conn: read_versions(conn, "audience", wanted))
    noted = await stores.look_up(lambda conn: list_sizes(conn, row.number, _SIZES))
    explained = await explain(stores, row, uid, why_of)

    def build(reading: Reading) -> Context:
        found = {**about(reading, row, asked, explained), "versions": listed}
        if row.live is None:
            return {**found, "curve": curve(noted, reading.now)}
        size = memberships.count(reading.state, row.live.number)
        until_now = [*noted, (reading.now, size)] if noted else noted  # Sizes are noted once a minute.
        members = partial(list_members, reading.state, reading.account, row.live.number)
        people = answer_bad_values(lambda: members(cursor=asked.cursor, limit=LIST))
        return {**found, "people": people, "size": size, "curve": curve(until_now, reading.now)}

    return await pages.show(viewer, "audience.html", "/audiences", build, status=404 if explained.fault else 200)


async def explain(
    stores: Stores, row: ComputationRow, uid: str, why_of: Callable[[Reading, ComputationRow, str], Why | WhyValue]
) -> Explained:
    """Explain why somebody is where they are, and what was told of them when; nothing where nobody is asked for."""
    if not uid:
        return Explained()
    try:
        why = await stores.read(lambda reading: why_of(reading, row, uid))
        return Explained(why, await stores.read(lambda reading: history_of(reading, row, uid)))
    except (NotFoundException, MovedTo) as error:
        return Explained(fault=error.detail)


def about(reading: Reading, row: ComputationRow, asked: ComputationQuery, explained: Explained) -> Context:
    """Give what the pages of audiences and computed traits show alike; of people, none: nothing is in force."""
    return {
        "row": row,
        "next": next_version(row.next),
        "status": STATUS[row.status],
        "people": None,
        "size": None,
        "why": explained.why,
        "changes": explained.changes,
        "fault": explained.fault,
        "destinations": reading.known.destinations,
        "asked": asked,
    }


async def move(door: Door, kind: Class, id: str, data: MoveForm, by: str) -> Redirect:
    """Do what a button of the page of an audience or computed trait says; `by` is whose login pressed it."""
    wanted = decode_id(id)

    def change(conn: Connection) -> str:
        now = door.stores.now()
        if data.action == "delete":
            definitions.remove(conn, kind, wanted, now=now)
            return f"/{kind}s"
        row = find(conn, kind, wanted)
        definitions.move(conn, row, "live" if data.action == "live" else "paused", now=now, by=by)
        return f"/{kind}s/{segment(wanted)}"

    with told_by_place():
        return Redirect(await door.stores.define(change), status_code=303)


@post("/audiences/{audience_id:str}", include_in_schema=False, status_code=303)
async def move_form(
    viewer: Given[Viewer],
    door: Given[Door],
    audience_id: Identifier,
    data: URLEncodedBody[MoveForm],
) -> Redirect:
    """Pause an audience, let it go on, or delete it."""
    return await move(door, "audience", audience_id, data, viewer.login)


audience_pages = [audiences_page, audience_page, move_form]
