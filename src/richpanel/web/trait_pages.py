"""Pages: the computed traits; one of them with who has which value, and where somebody's comes from (row S17)."""

from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.computations import list_computations
from richpanel.store.members import count_values, list_values
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.audience_definitions import find
from richpanel.web.audience_pages import LIST, STATUS, ComputationQuery, MoveForm, move
from richpanel.web.audiences import next_version
from richpanel.web.customers import MovedTo
from richpanel.web.membership_history import Change, history_of
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.signin import Door
from richpanel.web.stores import Reading
from richpanel.web.trait_looks import WhyValue, why_value_of


@get("/traits", include_in_schema=False)
async def traits_page(pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the computed traits."""
    rows = await pages.stores.look_up(lambda conn: list_computations(conn, "trait"))

    def build(_: Reading) -> Context:
        return {"kind": "trait", "rows": rows, "sizes": {}, "statuses": STATUS}

    return await pages.show(viewer, "audiences.html", "/traits", build)


@get("/traits/{trait_id:str}", include_in_schema=False)
async def trait_page(
    pages: Given[Pages], viewer: Given[Viewer], trait_id: Identifier, asked: Given[ComputationQuery]
) -> Response[str]:
    """Show a computed trait: what it computes, how it is, who has which value, and where somebody's comes from."""
    wanted, stores, uid = decode_id(trait_id), pages.stores, asked.uid.strip()
    row = await stores.look_up(lambda conn: find(conn, "trait", wanted))
    why: WhyValue | None = None
    changes: list[Change] = []
    fault: str | None = None
    if uid:
        try:
            why = await stores.read(lambda reading: why_value_of(reading, row, uid))
            changes = await stores.read(lambda reading: history_of(reading, row, uid))
        except (NotFoundException, MovedTo) as error:
            fault = error.detail

    def build(reading: Reading) -> Context:
        plan = row.live
        found = None
        if plan is not None:
            found = answer_bad_values(
                lambda: list_values(reading.state, reading.account, plan.number, cursor=asked.cursor, limit=LIST)
            )
        return {
            "row": row,
            "next": next_version(row.next),
            "status": STATUS[row.status],
            "size": None if plan is None else count_values(reading.state, plan.number),
            "people": found,
            "why": why,
            "changes": changes,
            "destinations": reading.known.destinations,
            "asked": asked,
            "fault": fault,
        }

    return await pages.show(viewer, "trait.html", "/traits", build, status=404 if fault else 200)


@post("/traits/{trait_id:str}", include_in_schema=False, status_code=303)
async def move_trait_form(
    request: AnyRequest,
    viewer: Given[Viewer],
    door: Given[Door],
    trait_id: Identifier,
    data: URLEncodedBody[MoveForm],
) -> Redirect:
    """Pause a computed trait, let it go on, or delete it."""
    del viewer
    return await move(request, door, "trait", trait_id, data)


trait_pages = [traits_page, trait_page, move_trait_form]
