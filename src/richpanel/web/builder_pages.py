"""Pages: an audience or computed trait in a form: built, tried on everybody, and saved (mission rows S15 to S17, B6).

The form is rendered here after each button, so that it works without scripts; with them the parts that have changed are
exchanged in place (`static/builder.js`).
"""

from collections.abc import Sequence
from typing import Final

from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.announcing import Class
from richpanel.core.comparing import OPERATORS, ORDER
from richpanel.core.computed import KINDS, Computation
from richpanel.core.condition_json import condition_json
from richpanel.core.faults import Fault, FaultyError
from richpanel.core.membership import Audience
from richpanel.core.money import decode_exact, encode_exact
from richpanel.core.windows import UNITS
from richpanel.store.computations import ComputationRow
from richpanel.store.seen import NOTHING_SEEN, list_seen
from richpanel.web import audience_definitions as definitions
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.audience_definitions import Wanted, find
from richpanel.web.audience_looks import AskedPreview, Preview, look_ahead
from richpanel.web.builder import (
    DefinitionForm,
    Made,
    empty_form,
    form_of,
    from_json,
    make,
    read_form,
    shown_faults,
    text_of,
)
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id, segment
from richpanel.web.signin import Door
from richpanel.web.stores import Reading
from richpanel.web.trait_looks import TraitPreview, look_ahead_at

_MAX_NAME: Final = 100
_WORDS: Final = {
    "=": "is",
    "!=": "is not",
    ">": "is more than",
    ">=": "is at least",
    "<": "is less than",
    "<=": "is at most",
    "in": "is one of",
    "exists": "is there",
    "not_exists": "is not there",
    "not_contains": "does not contain",
    "before": "is before",
    "after": "is after",
    "within_last": "is within the last",
    "within_next": "is within the next",
}
_OFTEN: Final = {">=": "at least", "<=": "at most", "=": "exactly", "!=": "not", ">": "more than", "<": "fewer than"}
_FIGURES: Final = {
    "count": "Number",
    "sum": "Sum",
    "average": "Average",
    "minimum": "Least",
    "maximum": "Greatest",
    "first": "First value",
    "last": "Last value",
    "most_frequent": "Most frequent value",
    "unique_list": "All values, once each",
    "unique_count": "Number of different values",
}
_CHOICES: Final = {
    "operators": [(each, _WORDS.get(each, each.replace("_", " "))) for each in OPERATORS],
    "often": [(each, _OFTEN[each]) for each in (">=", "<=", "=", "!=", ">", "<") if each in ORDER],
    "figures": [(each, _FIGURES[each]) for each in KINDS],
    "units": list(UNITS),
}
Looked = Preview | TraitPreview | None


async def _show(
    pages: Pages,
    viewer: Viewer,
    form: DefinitionForm,
    row: ComputationRow | None,
    *,
    faults: Sequence[Fault] = (),
    count: bool = False,
    failed: bool = False,
) -> Response[str]:
    """Show the form, with what it makes; where it is to `count`, with who would be in."""
    stores = pages.stores
    made: Made = await stores.look_up(lambda conn: make(conn, form))
    wrong = [*faults, *(made.faults if form.tried else ())]
    looked = await _look(pages, form, made) if count else None

    def build(reading: Reading) -> Context:
        known = reading.known
        return {
            "form": form,
            "row": row,
            "faults": shown_faults(form, wrong),
            "faulty": bool(made.faults),
            "text": text_of(made.what),
            "json": form.json if any(each.field == "json" for each in faults) else made.json,
            "counted": count,
            "looked": looked,
            "seen": NOTHING_SEEN if form.live else list_seen(reading.state, reading.bodies),
            "audiences": [(each.key, each.name) for each in known.computations if each.kind == "audience"],
            "traits": [(each.key, each.name) for each in known.computations if each.kind == "trait"],
            "destinations": [(each.id, each.name) for each in known.destination_rows],
            "choices": _CHOICES,
        }

    where = "/audiences" if form.kind == "audience" else "/traits"
    return await pages.show(viewer, "builder.html", where, build, status=400 if failed else 200)


async def _look(pages: Pages, form: DefinitionForm, made: Made) -> Looked:
    if isinstance(made.what, Computation):
        return await look_ahead_at(pages.stores, made.what)
    if not isinstance(made.what, Audience):
        return None
    condition = decode_exact(encode_exact(condition_json(made.what.condition)))
    asked = AskedPreview(condition=condition, include_visitors=form.visitors, key=form.key)
    return await look_ahead(pages.stores, asked)


async def _answer(
    request: AnyRequest, viewer: Viewer, door: Door, kind: Class, row: ComputationRow | None
) -> Response[str] | Redirect:
    """Do what a button of the form says."""
    form = read_form(kind, await request.body())
    if row is not None and row.newest.status != "draft":
        form.key = row.key
    match form.action:
        case "json":
            return await _show(door.pages, viewer, form, row, faults=from_json(form))
        case "count":
            form.tried = True
            return await _show(door.pages, viewer, form, row, count=True)
        case "save" | "draft":
            form.tried = True
        case _:
            return await _show(door.pages, viewer, form, row)
    try:
        id_ = await door.stores.define(lambda conn: _save(conn, form, row, door.stores.now(), viewer.login))
    except FaultyError as error:
        return await _show(door.pages, viewer, form, row, faults=_own(error), failed=True)
    return Redirect(f"/{kind}s/{segment(id_)}", status_code=303)


def _own(error: FaultyError) -> list[Fault]:
    """Give the faults that are of the form's head: those of the tree are found again when it is shown."""
    return [each for each in error.faults if each.field in ("name", "key") or each.field.startswith("destinations")]


def _save(conn: Connection, form: DefinitionForm, row: ComputationRow | None, now: int, by: str) -> str:
    made = make(conn, form)
    faults = [*made.faults]
    if not form.name:
        faults.append(Fault("name", "Is required."))
    if len(form.name) > _MAX_NAME:
        faults.append(Fault("name", f"May have {_MAX_NAME} characters."))
    if made.what is None or faults:
        raise FaultyError(*faults)
    wanted = Wanted(
        kind=form.kind,
        name=form.name,
        key=form.key or None,
        destinations=form.destinations or None,
        track_calls=form.tracks,
    )
    if row is None:
        return definitions.add(conn, wanted, made.what, draft=form.action == "draft", now=now, by=by).id
    return definitions.change(conn, row.id, wanted, made.what, now=now, by=by).id


@get("/audiences/new", include_in_schema=False)
async def new_audience_page(pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the form of a new audience."""
    return await _show(pages, viewer, empty_form("audience"), None)


@post("/audiences/new", include_in_schema=False, status_code=200)
async def new_audience_form(request: AnyRequest, viewer: Given[Viewer], door: Given[Door]) -> Response[str] | Redirect:
    """Build a new audience, or save it."""
    return await _answer(request, viewer, door, "audience", None)


@get("/audiences/{audience_id:str}/edit", include_in_schema=False)
async def audience_edit_page(pages: Given[Pages], viewer: Given[Viewer], audience_id: Identifier) -> Response[str]:
    """Show the form of an audience."""
    wanted = decode_id(audience_id)
    row = await pages.stores.look_up(lambda conn: find(conn, "audience", wanted))
    return await _show(pages, viewer, form_of(row), row)


@post("/audiences/{audience_id:str}/edit", include_in_schema=False, status_code=200)
async def audience_edit_form(
    request: AnyRequest, viewer: Given[Viewer], door: Given[Door], audience_id: Identifier
) -> Response[str] | Redirect:
    """Change an audience."""
    wanted = decode_id(audience_id)
    row = await door.stores.look_up(lambda conn: find(conn, "audience", wanted))
    return await _answer(request, viewer, door, "audience", row)


@get("/traits/new", include_in_schema=False)
async def new_trait_page(pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the form of a new computed trait."""
    return await _show(pages, viewer, empty_form("trait"), None)


@post("/traits/new", include_in_schema=False, status_code=200)
async def new_trait_form(request: AnyRequest, viewer: Given[Viewer], door: Given[Door]) -> Response[str] | Redirect:
    """Build a new computed trait, or save it."""
    return await _answer(request, viewer, door, "trait", None)


@get("/traits/{trait_id:str}/edit", include_in_schema=False)
async def trait_edit_page(pages: Given[Pages], viewer: Given[Viewer], trait_id: Identifier) -> Response[str]:
    """Show the form of a computed trait."""
    wanted = decode_id(trait_id)
    row = await pages.stores.look_up(lambda conn: find(conn, "trait", wanted))
    return await _show(pages, viewer, form_of(row), row)


@post("/traits/{trait_id:str}/edit", include_in_schema=False, status_code=200)
async def trait_edit_form(
    request: AnyRequest, viewer: Given[Viewer], door: Given[Door], trait_id: Identifier
) -> Response[str] | Redirect:
    """Change a computed trait."""
    wanted = decode_id(trait_id)
    row = await door.stores.look_up(lambda conn: find(conn, "trait", wanted))
    return await _answer(request, viewer, door, "trait", row)


builder_pages = [
    *(new_audience_page, new_audience_form, audience_edit_page, audience_edit_form),
    *(new_trait_page, new_trait_form, trait_edit_page, trait_edit_form),
]
