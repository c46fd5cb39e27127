"""Who may come in: API clients by bearer token, people by a session cookie; forms by a token that our pages carry."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from richpanel.core.roles import Role
from richpanel.store.user_sessions import SessionRow, find_session
from richpanel.web.stores import Stores

SESSION_SECONDS: Final = 14 * 86_400
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="richpanel"'}
_REFUSED: Final = {"WWW-Authenticate": 'Bearer realm="richpanel", error="invalid_token"'}
AnyRequest = Request[Any, Any, Any]


class SignInRequired(Exception):
    """The page is for people who have signed in."""


class Viewer(msgspec.Struct, frozen=True):
    """The person who looks at a page. `csrf` goes into each form of the page; `session` is the hash of their cookie.

    `one_time`: their password was made up by somebody else, and is replaced before anything else.
    """

    login: str
    csrf: str
    user: int
    role: Role
    session: bytes
    one_time: bool = False


async def require_token(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Let a request pass that carries a token in force (contract.md, "REST API"); the comparison is constant-time."""
    scheme, _space, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthorizedException("The API takes a bearer token: `Authorization: Bearer TOKEN`.", headers=_CHALLENGE)
    stores: Stores = connection.app.state.stores
    known = await stores.known_token(token.strip())
    if known is None:
        raise NotAuthorizedException("This token is unknown or was revoked.", headers=_REFUSED)
    connection.state.token = known


def asker(request: AnyRequest) -> str:
    """Name who asks: a login, or the name of a token, as the audit log does; empty where nobody has been let in."""
    viewer, token = request.scope["state"].get("viewer"), request.scope["state"].get("token")
    return str(viewer.login if viewer else token.name if token else "")


async def signed_in(request: AnyRequest, stores: Stores, secure_cookies: bool) -> tuple[Viewer, SessionRow]:
    """Give the person whose session the request carries, and that; raises SignInRequired."""
    cookie = request.cookies.get(cookie_name("session", secure_cookies))
    if not cookie:
        raise SignInRequired
    session = await stores.look_up(lambda conn: find_session(conn, cookie, now=stores.now()))
    if session is None:
        raise SignInRequired
    user = session.user
    return Viewer(user.login, csrf_token(cookie), user.id, user.role, session.hash, user.one_time), session


def cookie_name(what: str, secure: bool) -> str:
    """Name a cookie of ours; `__Host-` keeps other hosts of the domain from setting it."""
    return f"__Host-richpanel_{what}" if secure else f"richpanel_{what}"


def make_cookie(what: str, value: str, *, secure: bool, seconds: int | None = None) -> Cookie:
    """Make a cookie that scripts cannot read and other sites' forms do not send."""
    return Cookie(
        key=cookie_name(what, secure),
        value=value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def new_nonce() -> str:
    """Give the value of a visitor's cookie, before there is a session."""
    return secrets.token_urlsafe(24)


def csrf_token(cookie: str) -> str:
    """Derive the token of a form from the cookie that must come with it and that no other site can read."""
    return urlsafe_b64encode(hmac.digest(cookie.encode(), b"form", sha256)[:18]).decode()


def check_form(request: AnyRequest, token: str, what: str, *, secure: bool) -> None:
    """Check that a form is from our page: the browser's own word where it gives it, and the token.

    `what` names the cookie that the token goes with. Asked by the guard alone, of every form; raises
    PermissionDeniedException.
    """
    cookie = request.cookies.get(cookie_name(what, secure), "")
    given, expected = token.encode("utf-8", "surrogatepass"), csrf_token(cookie).encode()
    if _is_foreign(request) or not cookie or not hmac.compare_digest(expected, given):
        raise PermissionDeniedException("This form is out of date or was not sent from our page. Reload and try again.")


def _is_foreign(request: AnyRequest) -> bool:
    """Tell whether the browser says that another site's page sent this; ports are left to proxies."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    return origin is not None and urlsplit(origin).hostname != host
