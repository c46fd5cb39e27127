"""Pages: one's own account: the password, where one is signed in, and the second step of the sign-in."""

from io import BytesIO
from typing import Final, Literal

import msgspec
import pyotp
import segno
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.device import browser_and_os
from richpanel.store import second_step
from richpanel.store.secrets import SecretBox
from richpanel.store.user_sessions import list_sessions, revoke_sessions
from richpanel.store.users import UserRow, get_user, set_password
from richpanel.web.access import Viewer
from richpanel.web.pages import Context
from richpanel.web.settings_tabs import settings_home, settings_page
from richpanel.web.signin import Door
from richpanel.web.stores import Stores

ACCOUNT: Final = "/settings/account"
ISSUER: Final = "Richpanel destination"
_SHORTEST: Final = 8
_LONGEST: Final = 200


class PasswordForm(msgspec.Struct):
    """The form that changes one's password."""

    old: str = ""
    new: str = ""
    again: str = ""


class SessionForm(msgspec.Struct):
    """The forms that end sessions: one, by its hash in hexadecimal, or all but this one."""

    action: Literal["one", "others"]
    session: str = ""


class StepForm(msgspec.Struct):
    """The forms of the second step: begin, confirm by a code; and by the password: stop, new recovery codes."""

    action: Literal["begin", "confirm", "cancel", "stop", "codes"]
    code: str = ""
    password: str = ""


async def _page(
    door: Door,
    viewer: Viewer,
    box: SecretBox,
    *,
    failure: tuple[str, str] | None = None,
    codes: list[str] | None = None,
    status: int = 400,
) -> Response[str]:
    """Show the account; `failure` is (card, what is wrong), `codes` are new recovery codes, shown this once."""
    now = door.stores.now()

    def read(conn: Connection) -> Context:
        user = get_user(conn, viewer.user)
        return {
            "user": user,
            "sessions": [
                (row, row.hash.hex(), " on ".join(filter(None, browser_and_os(row.agent))) or "Unknown device")
                for row in list_sessions(conn, viewer.user, now=now)
            ],
            "secret": second_step.pending(conn, box, viewer.user),
            "codes_left": second_step.count_codes(conn, viewer.user),
        }

    context = await door.stores.look_up(read)
    context |= {"here": viewer.session.hex(), "failure": failure or ("", ""), "codes": codes, "shortest": _SHORTEST}
    return settings_page(door.pages, viewer, "account.html", ACCOUNT, context, status=status if failure else 200)


@get(ACCOUNT, include_in_schema=False)
async def account_page(door: Given[Door], viewer: Given[Viewer], secrets: Given[SecretBox]) -> Response[str]:
    """Show one's own account."""
    return await _page(door, viewer, secrets)


def _fault(form: PasswordForm) -> str | None:
    if not _SHORTEST <= len(form.new) <= _LONGEST:
        return f"A password needs {_SHORTEST} characters or more."
    if form.new != form.again:
        return "The new password is not the same both times."
    return "The new password is the old one." if form.new == form.old else None


async def _prove(door: Door, viewer: Viewer, password: str) -> tuple[str, int] | None:
    """See that it is them who ask, by their password; tries are limited as at the sign-in. Gives what is wrong."""
    key = f"login {viewer.login[:200].lower()}"
    if wait := await door.may_try(key):
        return f"Too many tries. Wait {wait} seconds and try again.", 429
    if await door.check(viewer.login, password) is None:
        return "That is not your password.", 400
    await door.was_right(key)
    return None


@post(f"{ACCOUNT}/password", include_in_schema=False, status_code=303)
async def change_password(
    door: Given[Door], viewer: Given[Viewer], secrets: Given[SecretBox], data: URLEncodedBody[PasswordForm]
) -> Response[str] | Redirect:
    """Change one's password; all other sessions end."""
    if fault := _fault(data):
        return await _page(door, viewer, secrets, failure=("password", fault))
    if wrong := await _prove(door, viewer, data.old):
        return await _page(door, viewer, secrets, failure=("password", wrong[0]), status=wrong[1])
    await door.stores.define(lambda conn: set_password(conn, viewer.login, data.new, keep=viewer.session))
    return Redirect(ACCOUNT, status_code=303)


@post(f"{ACCOUNT}/sessions", include_in_schema=False, status_code=303)
async def end_sessions(viewer: Given[Viewer], stores: Given[Stores], data: URLEncodedBody[SessionForm]) -> Redirect:
    """End one session, or all but this one."""
    try:
        only = bytes.fromhex(data.session) if data.action == "one" else None
    except ValueError:
        raise NotFoundException("There is no session with this id.") from None
    await stores.define(lambda conn: revoke_sessions(conn, viewer.user, only=only, keep=viewer.session), beside=True)
    return Redirect(ACCOUNT, status_code=303)


@post(f"{ACCOUNT}/second-step", include_in_schema=False, status_code=200)
async def change_second_step(
    door: Given[Door], viewer: Given[Viewer], secrets: Given[SecretBox], data: URLEncodedBody[StepForm]
) -> Response[str] | Redirect:
    """Begin, confirm or stop the second step, or renew its recovery codes."""
    stores, user = door.stores, viewer.user
    if data.action == "begin":
        await stores.define(lambda conn: second_step.begin(conn, secrets, user))
    elif data.action == "cancel":
        await stores.define(lambda conn: _cancel(conn, get_user(conn, user)))
    elif data.action == "confirm":
        return await _confirm(door, viewer, secrets, data.code)
    else:
        if wrong := await _prove(door, viewer, data.password):
            return await _page(door, viewer, secrets, failure=("step", wrong[0]), status=wrong[1])
        if data.action == "codes":
            made = await stores.define(lambda conn: second_step.renew_codes(conn, user))
            return await _page(door, viewer, secrets, codes=made)
        await stores.define(lambda conn: second_step.remove(conn, user))
    return Redirect(f"{ACCOUNT}#second-step", status_code=303)


def _cancel(conn: Connection, user: UserRow | None) -> None:
    """Give up what was begun; a second step in force stays."""
    if user is not None and not user.factor:
        second_step.remove(conn, user.id)


async def _confirm(door: Door, viewer: Viewer, box: SecretBox, code: str) -> Response[str]:
    key, now = f"code {viewer.user}", door.stores.now()
    if wait := await door.may_try(key):
        text = f"Too many tries. Wait {wait} seconds and try again."
        return await _page(door, viewer, box, failure=("step", text), status=429)
    plain = "".join(code.split())
    made = await door.stores.define(lambda conn: second_step.confirm(conn, box, viewer.user, plain, now=now))
    if made is None:
        text = "That code is not right. See that the clock of your device is."
        return await _page(door, viewer, box, failure=("step", text))
    await door.was_right(key)
    return await _page(door, viewer, box, codes=made)


@get(f"{ACCOUNT}/second-step.svg", include_in_schema=False)
async def picture(viewer: Given[Viewer], secrets: Given[SecretBox], stores: Given[Stores]) -> Response[bytes]:
    """Draw what an authenticator app reads, while the second step is being set up."""
    secret = await stores.look_up(lambda conn: second_step.pending(conn, secrets, viewer.user))
    if secret is None:
        raise NotFoundException("Nothing is being set up.")
    uri = pyotp.TOTP(secret).provisioning_uri(name=viewer.login, issuer_name=ISSUER)
    drawn = BytesIO()
    segno.make(uri, error="m").save(drawn, kind="svg", scale=5, border=3, dark="#000", light="#fff", nl=False)
    return Response(drawn.getvalue(), media_type="image/svg+xml")


account_pages = [settings_home, account_page, change_password, end_sessions, change_second_step, picture]
