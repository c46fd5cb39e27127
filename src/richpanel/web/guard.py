"""The guard of every route: it tells who asks, and holds them to what their role may (`web.permissions`)."""

from typing import Any, Final

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from richpanel.core.roles import TEXTS, May, Role, allows, who_may
from richpanel.store.user_sessions import SEEN_MS, saw
from richpanel.store.users import list_owners
from richpanel.web.access import AnyRequest, SignInRequired, Viewer, check_form, require_token, signed_in
from richpanel.web.audit import FIELDS
from richpanel.web.pages import Pages
from richpanel.web.permissions import API, home, needed
from richpanel.web.problems import NotAllowed, SentOn
from richpanel.web.stores import Stores

_WITH_ONE_TIME_PASSWORD: Final = ("/settings/account", "/settings/account/password", "/sign-out")
_READING: Final = ("GET", "HEAD", "OPTIONS")
_AnyConnection = ASGIConnection[Any, Any, Any, Any]


async def guard(connection: _AnyConnection, handler: BaseRouteHandler) -> None:
    """Let a request pass that its sender may make; raises what `web.pages.answer_error` answers."""
    request: AnyRequest = Request(connection.scope, connection.receive, connection.send)
    path, method = request.scope["path_template"], request.method
    needs = needed(method, path)
    if path.startswith(API):
        await _let_token_in(connection, handler, needs)
        return
    if needs != "everybody":
        await _let_in(request, needs)
    if method not in _READING:
        pages: Pages = request.app.state.pages
        cookie = "visit" if needs == "everybody" else "session"
        form = await request.form()
        check_form(request, str(form.get("csrf", "")), cookie, secure=pages.secure_cookies)
        request.state.form = {name: str(form[name]) for name in FIELDS if name in form}  # For the audit log.


async def _let_token_in(connection: _AnyConnection, handler: BaseRouteHandler, needs: May | str) -> None:
    """See whose token it is, and whether that may; one without a role may do everything."""
    if needs == "everybody":
        return
    await require_token(connection, handler)
    role = connection.state.token.role
    if role is not None and isinstance(needs, May) and not allows(role, needs):
        raise PermissionDeniedException(f"{lacking(role, needs)} This token is for the role {role}.")


async def _let_in(request: AnyRequest, needs: May | str) -> None:
    """Find who asks, whom handlers are given as `viewer`, and see whether they may."""
    stores: Stores = request.app.state.stores
    pages: Pages = request.app.state.pages
    at_door = request.scope["path_template"] == "/"
    try:
        viewer, session = await signed_in(request, stores, pages.secure_cookies)
    except SignInRequired:
        if at_door:
            return  # It shows the sign-in.
        raise
    request.state.viewer = viewer
    now, address = stores.now(), request.app.state.client(request.scope)
    if now - session.seen_at >= SEEN_MS:
        await stores.define(lambda conn: saw(conn, session.hash, address, now=now), beside=True)
    if viewer.one_time and request.scope["path_template"] not in _WITH_ONE_TIME_PASSWORD:
        raise SentOn("/settings/account")
    if isinstance(needs, May) and not allows(viewer.role, needs):
        if at_door:
            raise SentOn(home(viewer.role))
        raise await _not_allowed(stores, viewer, needs)


async def _not_allowed(stores: Stores, viewer: Viewer, needs: May) -> NotAllowed:
    """Say what is missing, and who can give it."""
    error = NotAllowed(lacking(viewer.role, needs))
    error.ask = await stores.look_up(list_owners)
    return error


def lacking(role: Role, needs: May) -> str:
    """Say what a role may not do, and which may."""
    *others, last = who_may(needs)
    those = f"{', '.join(others)} and {last}" if others else last
    return f"The role {role} may not {TEXTS[needs]}. These roles may: {those}."
