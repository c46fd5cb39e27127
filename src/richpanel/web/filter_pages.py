"""Pages: a destination's filters, edited one by one, and tried on a recent message before they are saved."""

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import HTTPException, NotFoundException, ValidationException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.core.filters import Filter
from richpanel.store.destinations import get_destination
from richpanel.store.secrets import SecretBox
from richpanel.web.access import Viewer
from richpanel.web.destination_forms import faults_of
from richpanel.web.destination_pages import show_destination
from richpanel.web.destinations import DestinationPatch, EndpointPolicy, amend
from richpanel.web.filter_forms import Edited, FilterForm, filter_of
from richpanel.web.filters import FilterTrial, run_trial
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id, segment
from richpanel.web.problems import Fault
from richpanel.web.signin import Door
from richpanel.web.stores import Stores


@post("/destinations/{destination_id:str}/filters", include_in_schema=False, status_code=303)
async def filter_form(
    viewer: Given[Viewer],
    door: Given[Door],
    *,
    secrets: Given[SecretBox],
    policy: Given[EndpointPolicy],
    destination_id: Identifier,
    data: URLEncodedBody[FilterForm],
) -> Response[str] | Redirect:
    """Save a filter, delete it, or try it and show what it would do."""
    wanted = decode_id(destination_id)
    filters = await _filters(door.stores, wanted)
    at = next((number for number, each in enumerate(filters) if each.title == data.was), None) if data.was else None
    made = filter_of(data, None if at is None else filters[at])
    try:
        if data.action == "try":
            tried = await run_trial(
                door.stores, wanted, FilterTrial(filter=made, message_id=data.message.strip() or None)
            )
            return await show_destination(door.pages, viewer, wanted, edited=Edited(data, tried=tried))
        await amend(door.stores, secrets, policy, wanted, DestinationPatch(filters=_with(filters, at, data, made)))
    except (ValidationException, NotFoundException) as error:
        return await show_destination(door.pages, viewer, wanted, edited=Edited(data, _by_field(error)))
    return Redirect(f"/destinations/{segment(wanted)}#filters", status_code=303)


async def _filters(stores: Stores, wanted: str) -> list[Filter]:
    row = await stores.look_up(lambda conn: get_destination(conn, wanted))
    if row is None:
        raise NotFoundException("There is no destination with this id.")
    return msgspec.convert(row.filters, list[Filter])


def _with(filters: list[Filter], at: int | None, form: FilterForm, made: Filter) -> list[Filter]:
    """Put a filter in its place, at the end where it is new, or take it out."""
    if form.action == "delete":
        return [each for number, each in enumerate(filters) if number != at]
    if at is None:
        return [*filters, made]
    return [made if number == at else each for number, each in enumerate(filters)]


def _by_field(error: HTTPException) -> dict[str, Fault]:
    """Give what is wrong by the form's own fields: `filters[2].actions[0].percent` is its `percent`."""
    return {field.rpartition(".")[2]: fault for field, fault in faults_of(error).items()}


filter_pages = [filter_form]
