"""REST: `/connectors`, the account's Data Sources > Integrations: they issue API Keys and Secrets (mission row S5)."""

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody

from richpanel.core.timestamps import iso
from richpanel.store.connectors import ConnectorRow, add_connector, list_connectors, rotate_connector
from richpanel.store.secrets import SecretBox
from richpanel.web.paging import Identifier, Listed
from richpanel.web.paths import decode_id
from richpanel.web.sources import Name
from richpanel.web.stores import Stores


class ConnectorView(msgspec.Struct, rename="camel"):
    """A connector; `source` is the source that its partner-endpoint messages count for."""

    id: str
    name: str
    api_key: str
    source: str
    created_at: str


class IssuedConnector(ConnectorView, rename="camel"):
    """A connector as its secret is issued: the only time that it is shown."""

    api_secret: str


class NewConnector(msgspec.Struct, forbid_unknown_fields=True):
    """A connector to add."""

    name: Name


def _issued(row: ConnectorRow, secret: str) -> IssuedConnector:
    return IssuedConnector(row.id, row.name, row.api_key, row.source, iso(row.created_at), secret)


@get("/", operation_id="listConnectors")
async def list_all(stores: Given[Stores]) -> Listed[ConnectorView]:
    """List the connectors."""
    rows = await stores.look_up(list_connectors)
    return Listed([ConnectorView(row.id, row.name, row.api_key, row.source, iso(row.created_at)) for row in rows])


@post("/", operation_id="addConnector")
async def add(stores: Given[Stores], secrets: Given[SecretBox], data: JSONBody[NewConnector]) -> IssuedConnector:
    """Add a connector, with its own source and a destination that holds its API Key."""
    return _issued(*await stores.define(lambda conn: add_connector(conn, secrets, data.name, now=stores.now())))


@post("/{connector_id:str}/rotate", operation_id="rotateConnector", status_code=200, raises=[NotFoundException])
async def rotate(stores: Given[Stores], secrets: Given[SecretBox], connector_id: Identifier) -> IssuedConnector:
    """Issue a new API Key and API Secret; the old ones stop at once, also in destinations that hold them."""
    wanted = decode_id(connector_id)
    rotated = await stores.define(lambda conn: rotate_connector(conn, secrets, wanted))
    if rotated is None:
        raise NotFoundException("There is no connector with this id.")
    return _issued(*rotated)


connectors_api = Router("/connectors", route_handlers=[list_all, add, rotate], tags=["Connectors"])
