"""Signing in and out: a form, a limit on tries, a cookie."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency as Given
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from litestar.types import Scope

from richpanel.store.users import check_login, close_session, open_session
from richpanel.web.access import AnyRequest, Viewer, check_form, csrf_token, make_cookie, new_nonce
from richpanel.web.attempts import Attempts
from richpanel.web.pages import Pages
from richpanel.web.stores import Stores

_WRONG: Final = "That user name and password do not go together."
_VISIT_SECONDS: Final = 3_600


@dataclass(frozen=True)
class Door:
    """What the sign-in needs. `client` tells the address that a request comes from."""

    pages: Pages
    stores: Stores
    session_seconds: int
    client: Callable[[Scope], str]
    attempts: Attempts
    one_at_a_time: asyncio.Semaphore  # A password check takes a core for 50 ms: a queue of them must not take both.


class SignIn(msgspec.Struct):
    """The form."""

    csrf: str = ""
    username: str = ""
    password: str = ""
    next: str = ""


class CsrfForm(msgspec.Struct):
    """A form that is a button."""

    csrf: str = ""


SignInForm = URLEncodedBody[SignIn]
ButtonForm = URLEncodedBody[CsrfForm]


def safe_path(path: str) -> str:
    """Give a path of ours to go on to; what could lead to another site becomes the overview."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if ours else "/"


def signin_page(door: Door, form: SignIn, failure: str | None = None, status: int = 200) -> Response[str]:
    """Answer the form, with a fresh cookie that it must come back with."""
    nonce = new_nonce()
    context = {"csrf": csrf_token(nonce), "next": safe_path(form.next), "username": form.username, "failure": failure}
    answer = door.pages.plain("signin.html", context, status=status)
    secure = door.pages.secure_cookies
    answer.set_cookie(make_cookie("visit", nonce, secure=secure, seconds=_VISIT_SECONDS))
    return answer


@post("/sign-in", include_in_schema=False, status_code=303)
async def sign_in(request: Request[Any, Any, Any], door: Given[Door], data: SignInForm) -> Response[Any]:
    """Check a login; five failures of a login or an address, and the next try must wait."""
    secure, now = door.pages.secure_cookies, door.stores.now()
    check_form(request, data.csrf, "visit", secure=secure)
    keys = (f"login {data.username[:200].lower()}", f"client {door.client(request.scope)}")
    wait = door.attempts.wait(*keys, now=now)
    if wait:
        return signin_page(door, data, f"Too many tries. Wait {wait} seconds and try again.", 429)
    async with door.one_at_a_time:
        user = await door.stores.look_up(lambda conn: check_login(conn, data.username, data.password))
    if user is None:
        door.attempts.fail(*keys, now=now)
        return signin_page(door, data, _WRONG, 401)
    door.attempts.succeed(*keys)
    number, seconds = user.id, door.session_seconds
    cookie = await door.stores.define(lambda conn: open_session(conn, number, now=now, seconds=seconds))
    answer = Redirect(safe_path(data.next), status_code=303)
    answer.set_cookie(make_cookie("session", cookie, secure=secure, seconds=seconds))
    return answer


@post("/sign-out", include_in_schema=False, status_code=303)
async def sign_out(request: AnyRequest, viewer: Given[Viewer], door: Given[Door], data: ButtonForm) -> Redirect:
    """End the session, on the server too."""
    del viewer  # Only somebody who is signed in can sign out.
    secure = door.pages.secure_cookies
    cookie = check_form(request, data.csrf, "session", secure=secure)
    await door.stores.define(lambda conn: close_session(conn, cookie))
    answer = Redirect("/", status_code=303)
    answer.set_cookie(make_cookie("session", "", secure=secure, seconds=0))
    return answer


@get("/sign-in", include_in_schema=False)
async def sign_in_page() -> Redirect:
    """Send who asks for the form by name to where it stands."""
    return Redirect("/", status_code=303)
