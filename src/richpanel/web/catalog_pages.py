"""Pages: the catalog, Richpanel's card in it, and connecting it to sources (mission rows S1 and S2)."""

from typing import Final

from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.connectors import list_connectors
from richpanel.store.destinations import list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.web.access import Viewer
from richpanel.web.catalog import CatalogEntry, CatalogQuery, found
from richpanel.web.destination_forms import SettingsForm, choices, told
from richpanel.web.destinations import EndpointPolicy, enter
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id, segment
from richpanel.web.problems import REASONS
from richpanel.web.signin import Door
from richpanel.web.stores import Reading, Stores

_MODE_NAMES: Final = {"web": "Web", "mobile": "Mobile", "server": "Server"}


def _entry(catalog_id: str) -> CatalogEntry:
    entry = next((each for each in found(None) if each.id == catalog_id), None)
    if entry is None:
        raise NotFoundException("The catalog has no entry with this id.")
    return entry


async def _frame(stores: Stores) -> Context:
    """Give what both pages show: what is connected already."""
    connected = await stores.look_up(list_destinations)
    return {"connected": connected, "mode_names": _MODE_NAMES, "device_reason": REASONS["mode"]}


@get("/catalog", include_in_schema=False)
async def catalog_page(
    pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores], asked: Given[CatalogQuery]
) -> Response[str]:
    """Show what of the catalog holds the words that were searched for."""
    context = await _frame(stores) | {"entries": found(asked.q), "q": asked.q or ""}
    return await pages.show(viewer, "catalog.html", "/catalog", lambda _: context)


async def _connect_page(
    pages: Pages,
    viewer: Viewer,
    stores: Stores,
    form: SettingsForm | None = None,
    error: ValidationException | None = None,
) -> Response[str]:
    """Show an entry's card with the form that connects it; after an error with what was filled in."""
    connectors = await stores.look_up(list_connectors)
    context = await _frame(stores) | {"entry": _entry("richpanel"), "connectors": connectors}
    name = "Richpanel" if not context["connected"] else ""

    def build(reading: Reading) -> Context:
        return context | choices(reading, form or SettingsForm(name=name), error)

    return await pages.show(viewer, "catalog_entry.html", "/catalog", build, status=400 if error else 200)


@get("/catalog/{catalog_id:str}", include_in_schema=False)
async def entry_page(
    pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores], catalog_id: Identifier
) -> Response[str]:
    """Show an entry of the catalog."""
    _entry(decode_id(catalog_id))
    return await _connect_page(pages, viewer, stores)


@post("/catalog/{catalog_id:str}", include_in_schema=False, status_code=303)
async def connect_form(
    viewer: Given[Viewer],
    door: Given[Door],
    *,
    secrets: Given[SecretBox],
    policy: Given[EndpointPolicy],
    catalog_id: Identifier,
    data: URLEncodedBody[SettingsForm],
) -> Response[str] | Redirect:
    """Connect it to the chosen sources: a destination is added."""
    _entry(decode_id(catalog_id))
    try:
        row = await enter(door.stores, secrets, policy, told(data))
    except ValidationException as error:
        return await _connect_page(door.pages, viewer, door.stores, data, error)
    return Redirect(f"/destinations/{segment(row.id)}", status_code=303)


catalog_pages = [catalog_page, entry_page, connect_form]
