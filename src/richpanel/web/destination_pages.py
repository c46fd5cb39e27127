"""Pages: the destinations, and one with its settings (mission row S6)."""

from typing import Final, Literal, NamedTuple

from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.connectors import list_connectors
from richpanel.store.destinations import (
    TooManyInstancesError,
    copy_destination,
    delete_destination,
    get_destination,
    list_destinations,
)
from richpanel.store.secrets import SecretBox
from richpanel.web.access import Viewer
from richpanel.web.destination_forms import SettingsForm, choices, form_of, key_state, told_of_change
from richpanel.web.destinations import DestinationPatch, EndpointPolicy, amend
from richpanel.web.filter_forms import Edited, shown_filters
from richpanel.web.message_pages import source_names
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, bad_field
from richpanel.web.paths import decode_id, segment
from richpanel.web.signin import Door
from richpanel.web.stores import Reading, Stores

_MISSING: Final = "There is no destination with this id."
_NAME_LENGTH: Final = 100


class ChangeForm(SettingsForm, kw_only=True):
    """The forms of a destination's page. `target` is the source that the settings are copied for."""

    action: Literal["save", "enable", "disable", "copy", "delete"]
    target: str = ""


class Filled(NamedTuple):
    """What a form held that could not be taken, and why."""

    form: SettingsForm
    error: ValidationException


@get("/destinations", include_in_schema=False)
async def destinations_page(pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores]) -> Response[str]:
    """Show the destinations."""
    rows = await stores.look_up(list_destinations)
    connectors = await stores.look_up(list_connectors)
    states = {row.id: key_state(row, connectors, stores.now()) for row in rows}

    def build(reading: Reading) -> Context:
        return {"destinations": rows, "states": states, "source_names": source_names(reading)}

    return await pages.show(viewer, "destinations.html", "/destinations", build)


async def show_destination(
    pages: Pages, viewer: Viewer, destination_id: str, filled: Filled | None = None, edited: Edited | None = None
) -> Response[str]:
    """Show a destination, with what was filled in and could not be taken; raises NotFoundException."""
    stores = pages.stores
    row = await stores.look_up(lambda conn: get_destination(conn, destination_id))
    if row is None:
        raise NotFoundException(_MISSING)
    connectors = await stores.look_up(list_connectors)
    form, error = filled or (form_of(row), None)
    context = {
        "destination": row,
        "key": key_state(row, connectors, stores.now()),
        "connectors": connectors,
        "filters": shown_filters(row.filters, edited),
        "edited": edited,
    }
    failed = error is not None or (edited is not None and bool(edited.faults))

    def build(reading: Reading) -> Context:
        return context | {"source_names": source_names(reading)} | choices(reading, form, error)

    return await pages.show(viewer, "destination.html", "/destinations", build, status=400 if failed else 200)


@get("/destinations/{destination_id:str}", include_in_schema=False)
async def destination_page(pages: Given[Pages], viewer: Given[Viewer], destination_id: Identifier) -> Response[str]:
    """Show a destination."""
    return await show_destination(pages, viewer, decode_id(destination_id))


@post("/destinations/{destination_id:str}", include_in_schema=False, status_code=303)
async def change_destination_form(
    viewer: Given[Viewer],
    door: Given[Door],
    *,
    secrets: Given[SecretBox],
    policy: Given[EndpointPolicy],
    destination_id: Identifier,
    data: URLEncodedBody[ChangeForm],
) -> Response[str] | Redirect:
    """Save a destination's settings, turn it on or off, copy it for another source, or delete it."""
    wanted = decode_id(destination_id)
    try:
        there = await _apply(door.stores, secrets, policy, wanted, data)
    except ValidationException as error:
        filled = await _filled(door.stores, wanted, data)
        return await show_destination(door.pages, viewer, wanted, Filled(filled, error))
    return Redirect(there, status_code=303)


async def _filled(stores: Stores, wanted: str, data: ChangeForm) -> SettingsForm:
    """Give the settings as they were typed, or, where the form was another, as they are."""
    row = await stores.look_up(lambda conn: get_destination(conn, wanted))
    return data if data.action == "save" or row is None else form_of(row)


async def _apply(stores: Stores, secrets: SecretBox, policy: EndpointPolicy, wanted: str, data: ChangeForm) -> str:
    """Do what a form asks; gives the page to go on to. Raises ValidationException, NotFoundException."""
    match data.action:
        case "save":
            await amend(stores, secrets, policy, wanted, told_of_change(data))
        case "enable" | "disable":
            await amend(stores, secrets, policy, wanted, DestinationPatch(enabled=data.action == "enable"))
        case "copy":
            return f"/destinations/{segment(await _copy(stores, wanted, data.target))}"
        case "delete":
            if not await stores.define(lambda conn: delete_destination(conn, wanted, now=stores.now())):
                raise NotFoundException(_MISSING)
            return "/destinations"
    return f"/destinations/{segment(wanted)}"


async def _copy(stores: Stores, wanted: str, target: str) -> str:
    """Copy a destination for a source, under its name with the source's; gives the id of the new one."""
    known = await stores.definitions()
    source = next((row for row in known.sources.values() if row.id == target and row.deleted_at is None), None)
    if source is None:
        raise bad_field("target", "Choose the source to copy the settings for.")
    name = f"{known.destinations.get(wanted, 'Richpanel')} – {source.name}"[:_NAME_LENGTH]
    try:
        row = await stores.define(lambda conn: copy_destination(conn, wanted, name, [source.id], now=stores.now()))
    except TooManyInstancesError as error:
        raise bad_field("target", str(error)) from None
    if row is None:
        raise NotFoundException(_MISSING)
    return row.id


destination_pages = [destinations_page, destination_page, change_destination_form]
