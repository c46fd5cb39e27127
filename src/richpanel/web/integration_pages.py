"""Pages: the account's Data Sources > Integrations, where the Segment connector is installed (mission row S5)."""

from typing import Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.connectors import ConnectorRow, add_connector, delete_connector, list_connectors, rotate_connector
from richpanel.store.destinations import ACCOUNT, list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.store.status import source_counts
from richpanel.web.access import Viewer
from richpanel.web.destination_forms import faults_of
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, bad_field
from richpanel.web.paths import decode_id
from richpanel.web.signin import Door
from richpanel.web.source_pages import calls_of
from richpanel.web.stores import Reading, Stores

OVERLAPS: Final = {"0": "Stop at once", "3600": "1 hour", "86400": "1 day", "604800": "7 days"}
_NAME_LENGTH: Final = 100


class InstallForm(msgspec.Struct):
    """The form that installs a connector."""

    name: str = ""


class ConnectorForm(msgspec.Struct):
    """The forms that change a connector; `overlap` is in seconds."""

    action: Literal["rotate", "uninstall"]
    overlap: Literal["0", "3600", "86400", "604800"] = "0"


class Issued(msgspec.Struct, frozen=True):
    """A pair of keys, shown this once. `until` is when the pair of before stops (ms UTC), None where it has."""

    connector: ConnectorRow
    secret: str
    rotated: bool = False
    until: int | None = None


async def _page(
    pages: Pages,
    viewer: Viewer,
    stores: Stores,
    issued: Issued | None = None,
    error: ValidationException | None = None,
) -> Response[str]:
    connectors = await stores.look_up(list_connectors)
    destinations = await stores.look_up(list_destinations)
    now = stores.now()

    def build(reading: Reading) -> Context:
        counts = source_counts(reading.state)
        return {
            "connectors": connectors,
            "users": {
                row.number: [
                    each
                    for each in destinations
                    if each.endpoint == ACCOUNT and each.api_key in {row.api_key, *(old.api_key for old in row.retired)}
                ]
                for row in connectors
            },
            "old_keys": {row.number: [old for old in row.retired if old.ends_at > now] for row in connectors},
            "calls": {row.number: calls_of(counts.get(row.source_number, {})) for row in connectors},
            "overlaps": OVERLAPS,
            "issued": issued,
            "faults": faults_of(error),
        }

    return await pages.show(viewer, "integrations.html", "/integrations", build, status=400 if error else 200)


@get("/integrations", include_in_schema=False)
async def integrations_page(pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores]) -> Response[str]:
    """Show the connectors."""
    return await _page(pages, viewer, stores)


@post("/integrations", include_in_schema=False, status_code=200)
async def install_form(
    viewer: Given[Viewer],
    door: Given[Door],
    secrets: Given[SecretBox],
    data: URLEncodedBody[InstallForm],
) -> Response[str]:
    """Install a connector, and show its keys."""
    stores, name = door.stores, data.name.strip()
    if not 0 < len(name) <= _NAME_LENGTH:
        error = bad_field("name", f"A connector needs a name of at most {_NAME_LENGTH} characters.")
        return await _page(door.pages, viewer, stores, error=error)
    row, secret = await stores.define(lambda conn: add_connector(conn, secrets, name, now=stores.now()))
    return await _page(door.pages, viewer, stores, Issued(row, secret))


@post("/integrations/{connector_id:str}", include_in_schema=False, status_code=200)
async def change_form(
    viewer: Given[Viewer],
    door: Given[Door],
    secrets: Given[SecretBox],
    connector_id: Identifier,
    *,
    data: URLEncodedBody[ConnectorForm],
) -> Response[str] | Redirect:
    """Rotate a connector's keys and show the new ones, or uninstall it."""
    stores, wanted = door.stores, decode_id(connector_id)
    now, overlap = stores.now(), int(data.overlap)
    if data.action == "uninstall":
        if not await stores.define(lambda conn: delete_connector(conn, wanted, now=now)):
            raise NotFoundException("There is no connector with this id.")
        return Redirect("/integrations", status_code=303)
    until = now + overlap * 1_000 if overlap else None
    rotated = await stores.define(lambda conn: rotate_connector(conn, secrets, wanted, keep_until=until))
    if rotated is None:
        raise NotFoundException("There is no connector with this id.")
    return await _page(door.pages, viewer, stores, Issued(*rotated, rotated=True, until=until))


integration_pages = [integrations_page, install_form, change_form]
