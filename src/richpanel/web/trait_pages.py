"""Pages: the computed traits; one of them with who has which value, and where somebody's comes from (row S17)."""

from functools import partial

from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.computations import list_computations
from richpanel.store.members import count_values, list_values
from richpanel.web.access import Viewer
from richpanel.web.audience_definitions import find
from richpanel.web.audience_pages import LIST, STATUS, ComputationQuery, MoveForm, about, explain, move
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.signin import Door
from richpanel.web.stores import Reading
from richpanel.web.trait_looks import why_value_of
from richpanel.web.versions import read_versions


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
    listed = await stores.look_up(lambda conn: read_versions(conn, "trait", wanted))
    explained = await explain(stores, row, uid, why_value_of)

    def build(reading: Reading) -> Context:
        found = {**about(reading, row, asked, explained), "versions": listed}
        if row.live is None:
            return found
        values = partial(list_values, reading.state, reading.account, row.live.number)
        people = answer_bad_values(lambda: values(cursor=asked.cursor, limit=LIST))
        return {**found, "people": people, "size": count_values(reading.state, row.live.number)}

    return await pages.show(viewer, "trait.html", "/traits", build, status=404 if explained.fault else 200)


@post("/traits/{trait_id:str}", include_in_schema=False, status_code=303)
async def move_trait_form(
    viewer: Given[Viewer],
    door: Given[Door],
    trait_id: Identifier,
    data: URLEncodedBody[MoveForm],
) -> Redirect:
    """Pause a computed trait, let it go on, or delete it."""
    return await move(door, "trait", trait_id, data, viewer.login)


trait_pages = [traits_page, trait_page, move_trait_form]
