"""REST: `/connectors`, the account's Data Sources > Integrations: they issue API Keys and Secrets (mission row S5)."""

from typing import Annotated, Final

import msgspec
from litestar import Router, delete, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import Meta

from richpanel.core.timestamps import iso
from richpanel.store.connectors import (
    ConnectorRow,
    add_connector,
    delete_connector,
    list_connectors,
    rotate_connector,
)
from richpanel.store.secrets import SecretBox
from richpanel.web.paging import Identifier, Listed, Query
from richpanel.web.paths import decode_id
from richpanel.web.sources import Name
from richpanel.web.stores import Stores

MAX_OVERLAP: Final = 30 * 86_400


class RetiredKeyView(msgspec.Struct, rename="camel"):
    """An API Key of before, and until when it works."""

    api_key: str
    ends_at: str


class ConnectorView(msgspec.Struct, rename="camel"):
    """A connector; `source` is the source that its partner-endpoint messages count for.

    `retired` has the keys of before a rotation that still work.
    """

    id: str
    name: str
    api_key: str
    source: str
    created_at: str
    retired: list[RetiredKeyView]


class IssuedConnector(ConnectorView, rename="camel"):
    """A connector as its secret is issued: the only time that it is shown."""

    api_secret: str


class NewConnector(msgspec.Struct, forbid_unknown_fields=True):
    """A connector to add."""

    name: Name


class RotateQuery(Query, kw_only=True):
    """How long the old pair works beside the new one."""

    overlap: Annotated[
        int, Meta(ge=0, le=MAX_OVERLAP, description="For so many seconds the old API Key and API Secret work, too.")
    ] = 0


def _view(row: ConnectorRow, now: int) -> ConnectorView:
    retired = [RetiredKeyView(old.api_key, iso(old.ends_at)) for old in row.retired if old.ends_at > now]
    return ConnectorView(row.id, row.name, row.api_key, row.source, iso(row.created_at), retired)


def _issued(row: ConnectorRow, secret: str, now: int) -> IssuedConnector:
    return IssuedConnector(**msgspec.structs.asdict(_view(row, now)), api_secret=secret)


@get("/", operation_id="listConnectors")
async def list_all(stores: Given[Stores]) -> Listed[ConnectorView]:
    """List the connectors."""
    rows = await stores.look_up(list_connectors)
    return Listed([_view(row, stores.now()) for row in rows])


@post("/", operation_id="addConnector")
async def add(stores: Given[Stores], secrets: Given[SecretBox], data: JSONBody[NewConnector]) -> IssuedConnector:
    """Add a connector, with its own source and a destination that holds its API Key."""
    now = stores.now()
    return _issued(*await stores.define(lambda conn: add_connector(conn, secrets, data.name, now=now)), now)


@post("/{connector_id:str}/rotate", operation_id="rotateConnector", status_code=200, raises=[NotFoundException])
async def rotate(
    stores: Given[Stores], secrets: Given[SecretBox], connector_id: Identifier, asked: Given[RotateQuery]
) -> IssuedConnector:
    """Issue a new API Key and API Secret.

    The old ones work for `overlap` seconds more, also in destinations that hold them, or stop at once.
    """
    wanted, now = decode_id(connector_id), stores.now()
    until = now + asked.overlap * 1_000 if asked.overlap else None
    rotated = await stores.define(lambda conn: rotate_connector(conn, secrets, wanted, keep_until=until))
    if rotated is None:
        raise NotFoundException("There is no connector with this id.")
    return _issued(*rotated, now)


@delete("/{connector_id:str}", operation_id="deleteConnector", raises=[NotFoundException])
async def remove(stores: Given[Stores], connector_id: Identifier) -> None:
    """Uninstall a connector: its API Key and API Secret stop at once, and so does its source."""
    wanted = decode_id(connector_id)
    if not await stores.define(lambda conn: delete_connector(conn, wanted, now=stores.now())):
        raise NotFoundException("There is no connector with this id.")


connectors_api = Router("/connectors", route_handlers=[list_all, add, rotate, remove], tags=["Connectors"])
