"""Connectors: the account's Data Sources > Integrations, each issuing an API Key and an API Secret (mission row S5)."""

import hmac
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from richpanel.store import definitions
from richpanel.store.definitions import changed, new_id, random_text
from richpanel.store.destinations import CATALOG_ID, DestinationChanges, add_destination, list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import add_source, delete_source


class ConnectorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connector without its secret. `source` is the id of the source that its `POST /segment` messages count for."""

    number: int
    id: str
    name: str
    api_key: str
    source: str
    source_number: int
    created_at: int


def _row(row: Row[Any]) -> ConnectorRow:
    return ConnectorRow(
        number=row.number,
        id=row.id,
        name=row.name,
        api_key=row.api_key,
        source=row.source_id,
        source_number=row.source,
        created_at=row.created_at,
    )


def _select(conn: Connection, *conditions: Any) -> list[ConnectorRow]:
    connectors, sources = definitions.connectors, definitions.sources
    query = select(connectors, sources.c.id.label("source_id")).join(sources, sources.c.number == connectors.c.source)
    rows = conn.execute(query.where(connectors.c.deleted_at.is_(None), *conditions).order_by(connectors.c.number))
    return [_row(row) for row in rows]


def _one(conn: Connection, connector_id: str) -> ConnectorRow | None:
    found = _select(conn, definitions.connectors.c.id == connector_id)
    return found[0] if found else None


def list_connectors(conn: Connection) -> list[ConnectorRow]:
    """List the connectors by number."""
    return _select(conn)


def get_connector(conn: Connection, connector_id: str) -> ConnectorRow | None:
    """Find a connector by its id."""
    return _one(conn, connector_id)


def find_connector(conn: Connection, api_key: str) -> ConnectorRow | None:
    """Find the connector whose API Key this is; the comparison takes the same time whichever byte differs."""
    key = api_key.encode("utf-8", "surrogatepass")
    found = [row for row in _select(conn) if hmac.compare_digest(row.api_key.encode(), key)]
    return found[0] if found else None


def add_connector(conn: Connection, box: SecretBox, name: str, *, now: int) -> tuple[ConnectorRow, str]:
    """Add a connector; gives it and its API Secret, which the API shows only now.

    It comes with a source of its own, through which arrives what real Segment, or Richpanel's plugins, post with its
    API Key, and with a destination at the built-in account that holds this API Key, so that those messages are kept.
    """
    source = add_source(conn, name, "segment", now=now, connect=False)
    secret = random_text(48)
    api_key = random_text(32)
    values = {"name": name, "api_key": api_key, "api_secret": box.seal(secret), "source": source.number}
    connector_id = new_id("con")
    conn.execute(insert(definitions.connectors).values(id=connector_id, created_at=now, **values))
    destination = DestinationChanges(
        name="Richpanel" if not list_destinations(conn) else f"Richpanel ({name})",
        api_key=api_key,
        sources=[source.id],
    )
    add_destination(conn, box, CATALOG_ID, destination, now=now)
    return _select(conn, definitions.connectors.c.id == connector_id)[0], secret


def rotate_connector(conn: Connection, box: SecretBox, connector_id: str) -> tuple[ConnectorRow, str] | None:
    """Issue a new API Key and API Secret; the old ones stop, and destinations that hold them fail until updated."""
    table, secret = definitions.connectors, random_text(48)
    values = {"api_key": random_text(32), "api_secret": box.seal(secret)}
    conn.execute(update(table).where(table.c.id == connector_id, table.c.deleted_at.is_(None)).values(**values))
    changed(conn)
    rotated = _one(conn, connector_id)
    return (rotated, secret) if rotated else None


def rename_connector(conn: Connection, connector_id: str, name: str) -> ConnectorRow | None:
    """Give a connector another name."""
    table = definitions.connectors
    conn.execute(update(table).where(table.c.id == connector_id, table.c.deleted_at.is_(None)).values(name=name))
    changed(conn)
    return _one(conn, connector_id)


def connector_secret(conn: Connection, box: SecretBox, connector_id: str) -> str | None:
    """Read a connector's API Secret, for checking what it signs; never for an answer."""
    table = definitions.connectors
    sealed = conn.execute(
        select(table.c.api_secret).where(table.c.id == connector_id, table.c.deleted_at.is_(None))
    ).scalar()
    return box.open(sealed) if sealed else None


def delete_connector(conn: Connection, connector_id: str, *, now: int) -> bool:
    """Delete a connector and its source; False where there is no such connector."""
    connector = _one(conn, connector_id)
    if connector is None:
        return False
    delete_source(conn, connector.source, now=now)
    table = definitions.connectors
    conn.execute(update(table).where(table.c.number == connector.number).values(deleted_at=now))
    changed(conn)
    return True
