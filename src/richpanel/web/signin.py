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

from richpanel.store.second_step import check_code
from richpanel.store.secrets import SecretBox, SecretKeyError
from richpanel.store.sign_in_tries import begin_try, wait_of, was_right
from richpanel.store.user_sessions import Client, close_session, open_session
from richpanel.store.users import UserRow, check_login
from richpanel.web.access import AnyRequest, Viewer, cookie_name, csrf_token, make_cookie, new_nonce
from richpanel.web.pages import Pages
from richpanel.web.stores import Stores

_WRONG: Final = "That user name and password do not go together."
_VISIT_SECONDS: Final = 3_600
_TICKET_MS: Final = 300_000
"""How long one may look for the device."""


@dataclass(frozen=True)
class Door:
    """What the sign-in needs. `client` tells the address that a request comes from."""

    pages: Pages
    stores: Stores
    session_seconds: int
    client: Callable[[Scope], str]
    one_at_a_time: asyncio.Semaphore  # A password check takes a core for 50 ms: a queue of them must not take both.

    async def check(self, login: str, password: str) -> UserRow | None:
        """Tell who has this login and password."""
        async with self.one_at_a_time:
            return await self.stores.look_up(lambda conn: check_login(conn, login, password))

    async def may_try(self, *keys: str) -> int:
        """Note a try of a password or code, and give 0; or give the seconds until one may be made with these keys."""
        now = self.stores.now()
        wait = await self.stores.look_up(lambda conn: wait_of(conn, keys, now=now))
        return wait or await self.stores.define(lambda conn: begin_try(conn, keys, now=now), beside=True)

    async def was_right(self, *keys: str) -> None:
        """Forget the tries of these keys."""
        await self.stores.define(lambda conn: was_right(conn, keys), beside=True)


class SignIn(msgspec.Struct):
    """The form."""

    username: str = ""
    password: str = ""
    next: str = ""


class CodeForm(msgspec.Struct):
    """The form of the second step."""

    ticket: str = ""
    code: str = ""
    next: str = ""


SignInForm = URLEncodedBody[SignIn]


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
async def sign_in(
    request: Request[Any, Any, Any], door: Given[Door], secrets: Given[SecretBox], data: SignInForm
) -> Response[Any]:
    """Check a login; five failures of a login or an address, and the next try must wait."""
    now = door.stores.now()
    keys = (f"login {data.username[:200].lower()}", f"client {door.client(request.scope)}")
    if wait := await door.may_try(*keys):
        return signin_page(door, data, f"Too many tries. Wait {wait} seconds and try again.", 429)
    user = await door.check(data.username, data.password)
    if user is None:
        return signin_page(door, data, _WRONG, 401)
    await door.was_right(*keys)
    request.state.login = user.login
    if user.factor:
        return code_page(door, CodeForm(ticket=secrets.seal(f"{user.id} {now} {user.login}"), next=data.next))
    return await _let_in(request, door, user.id, data.next)


def code_page(door: Door, form: CodeForm, failure: str | None = None, status: int = 200) -> Response[str]:
    """Ask for the second step, with a fresh cookie, too."""
    nonce = new_nonce()
    context = {"csrf": csrf_token(nonce), "next": safe_path(form.next), "ticket": form.ticket, "failure": failure}
    answer = door.pages.plain("signin_code.html", context, status=status)
    answer.set_cookie(make_cookie("visit", nonce, secure=door.pages.secure_cookies, seconds=_VISIT_SECONDS))
    return answer


@post("/sign-in/code", include_in_schema=False, status_code=303)
async def sign_in_code(
    request: AnyRequest, door: Given[Door], secrets: Given[SecretBox], data: URLEncodedBody[CodeForm]
) -> Response[Any]:
    """Check the second step of somebody whose password was right a moment ago; tries are limited as passwords are."""
    now = door.stores.now()
    user, login = _holder(secrets, data.ticket, now)
    request.state.login = login
    if not user:
        return signin_page(door, SignIn(next=data.next), "That took too long. Sign in again.", 401)
    key = f"code {user}"
    if wait := await door.may_try(key):
        return code_page(door, data, f"Too many tries. Wait {wait} seconds and try again.", 429)
    if not await door.stores.define(
        lambda conn: check_code(conn, secrets, user, data.code[:100], now=now), beside=True
    ):
        return code_page(
            door, data, "That code is not right, or was used already. The next one comes in a moment.", 401
        )
    await door.was_right(key)
    return await _let_in(request, door, user, data.next)


def _holder(secrets: SecretBox, ticket: str, now: int) -> tuple[int, str]:
    """Tell whose password was right, by the ticket that was sealed then: number and login, 0 where it is too old."""
    try:
        user, at, login = secrets.open(ticket).split(" ", 2)
    except (SecretKeyError, UnicodeError):
        return 0, ""
    return int(user) if now - int(at) < _TICKET_MS else 0, login


async def _let_in(request: AnyRequest, door: Door, user: int, path: str) -> Response[Any]:
    """Begin a session and go on."""
    seconds, now = door.session_seconds, door.stores.now()
    client = Client(door.client(request.scope), request.headers.get("user-agent", ""))
    cookie = await door.stores.define(
        lambda conn: open_session(conn, user, now=now, seconds=seconds, client=client), beside=True
    )
    answer = Redirect(safe_path(path), status_code=303)
    answer.set_cookie(make_cookie("session", cookie, secure=door.pages.secure_cookies, seconds=seconds))
    return answer


@post("/sign-out", include_in_schema=False, status_code=303)
async def sign_out(request: AnyRequest, viewer: Given[Viewer], door: Given[Door]) -> Redirect:
    """End the session, on the server too."""
    del viewer  # Only somebody who is signed in can sign out.
    secure = door.pages.secure_cookies
    cookie = request.cookies[cookie_name("session", secure)]
    await door.stores.define(lambda conn: close_session(conn, cookie))
    answer = Redirect("/", status_code=303)
    answer.set_cookie(make_cookie("session", "", secure=secure, seconds=0))
    return answer


@get("/sign-in", include_in_schema=False)
async def sign_in_page() -> Redirect:
    """Send who asks for the form by name to where it stands."""
    return Redirect("/", status_code=303)
