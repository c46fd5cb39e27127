"""Pages: who may sign in, and what they may do; owners add people, give roles, disable, and reset passwords."""

from typing import Final, Literal, assert_never

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from richpanel.core.roles import ROLES, Role
from richpanel.store.definitions import random_text
from richpanel.store.second_step import remove
from richpanel.store.user_sessions import last_seen
from richpanel.store.users import (
    LastOwner,
    UserRow,
    add_user,
    disable_user,
    enable_user,
    get_user,
    list_users,
    set_password,
    set_role,
)
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.pages import Pages
from richpanel.web.paging import Identifier
from richpanel.web.settings_tabs import settings_page
from richpanel.web.stores import Stores

PEOPLE: Final = "/settings/people"
ROLE_TEXTS: Final[dict[Role, str]] = {
    "owner": "Everything, people and the audit log included",
    "engineer": "Connections, messages, deliveries, replays, keys, privacy",
    "marketer": "Customers, audiences, computed traits, exports",
    "agent": "Customers, their timelines and messages",
}
_LONGEST: Final = 100
_PASSWORD: Final = 16


class AddForm(msgspec.Struct):
    """The form that adds somebody."""

    login: str = ""
    role: Role = "agent"


class PersonForm(msgspec.Struct):
    """The forms that change somebody."""

    action: Literal["role", "disable", "enable", "password", "factor"]
    role: Role = "agent"


class Issued(msgspec.Struct, frozen=True):
    """A one-time password, shown this once."""

    login: str
    password: str
    fresh: bool


async def _page(
    pages: Pages, viewer: Viewer, stores: Stores, issued: Issued | None = None, failure: str | None = None
) -> Response[str]:
    people = await stores.look_up(list_users)
    seen = await stores.look_up(lambda conn: last_seen(conn, now=stores.now()))
    context = {
        "people": people,
        "seen": seen,
        "roles": ROLES,
        "role_texts": ROLE_TEXTS,
        "issued": issued,
        "failure": failure,
        "me": viewer.user,
    }
    return settings_page(pages, viewer, "people.html", PEOPLE, context, status=400 if failure else 200)


@get(PEOPLE, include_in_schema=False)
async def people_page(pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores]) -> Response[str]:
    """Show who may sign in."""
    return await _page(pages, viewer, stores)


@post(PEOPLE, include_in_schema=False, status_code=200)
async def add_person(
    pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores], data: URLEncodedBody[AddForm]
) -> Response[str]:
    """Add somebody, and show the password that they sign in with once."""
    login, password = data.login.strip(), random_text(_PASSWORD)
    if not 0 < len(login) <= _LONGEST or not login.isprintable():
        return await _page(pages, viewer, stores, failure=f"A login has 1 to {_LONGEST} characters.")
    now = stores.now()
    try:
        await stores.define(lambda conn: add_user(conn, login, password, now=now, role=data.role, one_time=True))
    except IntegrityError:
        return await _page(pages, viewer, stores, failure=f"There is a login {login} already.")
    return await _page(pages, viewer, stores, Issued(login, password, fresh=True))


def _change(conn: Connection, user: UserRow, form: PersonForm, password: str, now: int) -> None:
    match form.action:
        case "role":
            set_role(conn, user.login, form.role)
        case "disable":
            disable_user(conn, user.id, now=now)
        case "enable":
            enable_user(conn, user.id)
        case "password":
            set_password(conn, user.login, password, one_time=True)
        case "factor":
            remove(conn, user.id)
        case _:
            assert_never(form.action)


@post(PEOPLE + "/{user_id:str}", include_in_schema=False, status_code=200)
async def change_person(
    pages: Given[Pages],
    viewer: Given[Viewer],
    stores: Given[Stores],
    user_id: Identifier,
    *,
    request: AnyRequest,
    data: URLEncodedBody[PersonForm],
) -> Response[str] | Redirect:
    """Give somebody a role, disable or enable them, reset their password, or take their second step away."""
    number = int(user_id) if user_id.isascii() and user_id.isdigit() and len(user_id) < 10 else 0
    user = await stores.look_up(lambda conn: get_user(conn, number))
    if user is None:
        raise NotFoundException("There is nobody with this number.")
    request.state.object = user.login  # The audit log says whom.
    if user.id == viewer.user and data.action in ("disable", "password"):
        return await _page(pages, viewer, stores, failure="That is you: another owner can do it.")
    password, now = random_text(_PASSWORD), stores.now()
    try:
        await stores.define(lambda conn: _change(conn, user, data, password, now))
    except LastOwner as error:
        return await _page(pages, viewer, stores, failure=f"{str(error)[:1].upper()}{str(error)[1:]}.")
    if data.action == "password":
        return await _page(pages, viewer, stores, Issued(user.login, password, fresh=False))
    return Redirect(PEOPLE, status_code=303)


people_pages = [people_page, add_person, change_person]
