"""Pages: saving a list of people as it is shown under a name, and letting such a view go."""

from typing import Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from litestar import post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, ValidationException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.profiles import read_sort
from richpanel.store.views import MOST_VIEWS, People, TooManyViews, add_view, new_view, remove_view
from richpanel.web.access import Viewer
from richpanel.web.customer_pages import ListQuery
from richpanel.web.pages import Pages
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id
from richpanel.web.rendering import query

_LONGEST_NAME: Final = 80


class ViewForm(msgspec.Struct):
    """The form: `query` is the query of the list's page, `people` whose list."""

    name: str = ""
    shared: str = ""
    people: People = "customers"
    query: str = ""


SaveForm = URLEncodedBody[ViewForm]


def _kept(people: People, given: str) -> dict[str, str]:
    """Read what a view is to hold: the list's own parameters. Raises ValidationException."""
    values = {name: value for name, value in parse_qsl(given) if name not in ("cursor", "limit")}
    try:
        asked = msgspec.convert(values, ListQuery, strict=False)
        read_sort(asked.sort, customers=people == "customers")
    except ValueError as error:
        raise ValidationException(f"This is no view of the list: {error}") from None
    return {name: str(value) for name, value in asked.values.items()}


@post("/views", include_in_schema=False)
async def save_view(pages: Given[Pages], viewer: Given[Viewer], data: SaveForm) -> Redirect:
    """Save a view, and show it."""
    name, values = " ".join(data.name.split()), _kept(data.people, data.query)
    if not 0 < len(name) <= _LONGEST_NAME:
        raise ValidationException(f"A view needs a name of up to {_LONGEST_NAME} characters.")
    view = new_view(name, viewer.login, data.people, urlencode(values), shared=data.shared == "yes")
    now = pages.stores.now()
    try:
        await pages.stores.define(lambda conn: add_view(conn, view, now))
    except TooManyViews:
        raise ValidationException(f"There are {MOST_VIEWS} views of yours; delete one first.") from None
    return Redirect(query(f"/{data.people}", **values), status_code=303)


@post("/views/{view_id:str}/delete", include_in_schema=False)
async def delete_view(pages: Given[Pages], viewer: Given[Viewer], view_id: Identifier) -> Redirect:
    """Let go of a view of one's own."""
    login, wanted = viewer.login, decode_id(view_id)
    people = await pages.stores.define(lambda conn: remove_view(conn, login, wanted))
    if people is None:
        raise NotFoundException("There is no view of yours with this id.")
    return Redirect(f"/{people}", status_code=303)


view_pages = [save_view, delete_view]
