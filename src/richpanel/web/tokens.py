"""REST: `/tokens`, the API's own keys. A token is answered once; only its hash is kept."""

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException, PermissionDeniedException
from litestar.params import JSONBody

from richpanel.core.roles import Role, covers
from richpanel.core.timestamps import iso
from richpanel.store.tokens import TokenRow, add_token, list_tokens, revoke_tokens
from richpanel.web.access import AnyRequest
from richpanel.web.paging import Identifier, Listed
from richpanel.web.paths import decode_id
from richpanel.web.sources import Name
from richpanel.web.stores import Stores


class TokenView(msgspec.Struct, rename="camel"):
    """A token, without its text. With a `role` it may do what that may; without, everything."""

    id: str
    name: str
    created_at: str
    role: Role | None


class IssuedToken(TokenView, rename="camel"):
    """A token as it is made: the only time that its text is shown."""

    token: str


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """A token to make."""

    name: Name
    role: Role | None = None


def _view(row: TokenRow) -> TokenView:
    return TokenView(row.id, row.name, iso(row.created_at), row.role)


@get("/", operation_id="listTokens")
async def list_all(stores: Given[Stores]) -> Listed[TokenView]:
    """List the tokens in force."""
    return Listed([_view(row) for row in await stores.look_up(list_tokens)])


@post("/", operation_id="addToken")
async def add(request: AnyRequest, stores: Given[Stores], data: JSONBody[NewToken]) -> IssuedToken:
    """Make a token."""
    maker: TokenRow = request.state.token
    if not covers(maker.role, data.role):
        raise PermissionDeniedException("A token may make no token that may do more than it.")
    row, text = await stores.define(lambda conn: add_token(conn, data.name, now=stores.now(), role=data.role))
    return IssuedToken(row.id, row.name, iso(row.created_at), row.role, text)


@delete("/{token_id:str}", operation_id="revokeToken", raises=[NotFoundException])
async def revoke(stores: Given[Stores], token_id: Identifier) -> None:
    """End a token, by its id; also the one that this request carries."""
    wanted = decode_id(token_id)
    known = await stores.look_up(lambda conn: any(row.id == wanted for row in list_tokens(conn)))
    if not known:
        raise NotFoundException("There is no token with this id.")
    await stores.define(lambda conn: revoke_tokens(conn, wanted, now=stores.now()))


tokens_api = Router("/tokens", route_handlers=[list_all, add, revoke], tags=["Tokens"])
