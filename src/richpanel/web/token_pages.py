"""Pages: the API's tokens, and the sources' write keys: listed, made, and revoked."""

from typing import Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.roles import ROLES, Role, covers
from richpanel.store.sources import (
    ADDABLE_TYPES,
    add_write_key,
    get_source,
    list_sources,
    revoke_write_key,
    rotate_write_key,
)
from richpanel.store.tokens import TokenRow, add_token, list_tokens, revoke_tokens
from richpanel.web.access import Viewer
from richpanel.web.integration_pages import OVERLAPS
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id
from richpanel.web.settings_tabs import settings_page
from richpanel.web.source_pages import TYPE_ICONS
from richpanel.web.stores import Stores

TOKENS: Final = "/settings/tokens"
_LONGEST: Final = 100


class TokenForm(msgspec.Struct):
    """The form that makes a token."""

    name: str = ""
    role: Role | Literal[""] = ""


class RevokeForm(msgspec.Struct):
    """The button that ends a token."""

    action: Literal["revoke"] = "revoke"


class KeyForm(msgspec.Struct):
    """The buttons at a source's write keys; `overlap` is in seconds."""

    action: Literal["add", "rotate", "revoke"]
    key: str = ""
    overlap: Literal["0", "3600", "86400", "604800"] = "86400"


async def _page(
    pages: Pages,
    viewer: Viewer,
    stores: Stores,
    issued: tuple[TokenRow, str] | None = None,
    failure: str | None = None,
) -> Response[str]:
    def read(conn: Connection) -> Context:
        return {
            "tokens": list_tokens(conn),
            "sources": [row for row in list_sources(conn) if row.type in ADDABLE_TYPES],
        }

    context = await stores.look_up(read)
    context |= {"issued": issued, "failure": failure, "icons": TYPE_ICONS, "overlaps": OVERLAPS, "now": stores.now()}
    context |= {"roles": [role for role in ROLES if covers(viewer.role, role)], "full": covers(viewer.role, None)}
    return settings_page(pages, viewer, "tokens.html", TOKENS, context, status=400 if failure else 200)


@get(TOKENS, include_in_schema=False)
async def tokens_page(pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores]) -> Response[str]:
    """Show tokens and write keys."""
    return await _page(pages, viewer, stores)


@post(TOKENS, include_in_schema=False, status_code=200)
async def make_token(
    pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores], data: URLEncodedBody[TokenForm]
) -> Response[str]:
    """Make a token, and show it once."""
    name = data.name.strip()
    if not 0 < len(name) <= _LONGEST or not name.isprintable():
        return await _page(pages, viewer, stores, failure=f"A token needs a name of at most {_LONGEST} characters.")
    role: Role | None = data.role or None
    if not covers(viewer.role, role):
        return await _page(pages, viewer, stores, failure="A token may do no more than who makes it.")
    made = await stores.define(lambda conn: add_token(conn, name, now=stores.now(), role=role))
    return await _page(pages, viewer, stores, made)


@post(TOKENS + "/{token_id:str}", include_in_schema=False, status_code=303)
async def end_token(stores: Given[Stores], token_id: Identifier, data: URLEncodedBody[RevokeForm]) -> Redirect:
    """End a token."""
    del data
    wanted = decode_id(token_id)

    def end(conn: Connection) -> bool:
        known = any(row.id == wanted for row in list_tokens(conn))
        return known and revoke_tokens(conn, wanted, now=stores.now()) > 0

    if not await stores.define(end):
        raise NotFoundException("There is no token with this id.")
    return Redirect(TOKENS, status_code=303)


def _change_keys(conn: Connection, source_id: str, form: KeyForm, now: int) -> str | None:
    """Add, rotate or end a write key of a source; says what stands against it."""
    source = get_source(conn, source_id)
    if source is None or source.type not in ADDABLE_TYPES:
        raise NotFoundException("There is no source with this id and write keys.")
    if form.action == "add":
        add_write_key(conn, source.number, now=now)
        return None
    if form.action == "rotate":
        until = now + int(form.overlap) * 1_000 if form.overlap != "0" else None
        if rotate_write_key(conn, source.number, form.key, keep_until=until, now=now) is None:
            raise NotFoundException("This source has no such write key.")
        return None
    if form.key not in (*source.write_keys, *(old.key for old in source.retired)):
        raise NotFoundException("This source has no such write key.")
    if source.write_keys == (form.key,):
        return "A source keeps one write key: rotate this one, or disable the source."
    revoke_write_key(conn, form.key, now=now)
    return None


@post("/settings/keys/{source_id:str}", include_in_schema=False, status_code=303)
async def change_keys(
    pages: Given[Pages],
    viewer: Given[Viewer],
    stores: Given[Stores],
    source_id: Identifier,
    data: URLEncodedBody[KeyForm],
) -> Response[str] | Redirect:
    """Add a write key beside those in force, rotate one, or revoke one."""
    wanted = decode_id(source_id)
    failure = await stores.define(lambda conn: _change_keys(conn, wanted, data, stores.now()))
    if failure:
        return await _page(pages, viewer, stores, failure=failure)
    return Redirect(f"{TOKENS}#keys", status_code=303)


token_pages = [tokens_page, make_token, end_token, change_keys]
