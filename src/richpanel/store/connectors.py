"""Connectors: the account's Data Sources > Integrations, each issuing an API Key and an API Secret (mission row S5)."""

import hmac
from collections import defaultdict
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from richpanel.store import definitions
from richpanel.store.definitions import changed, new_id, random_text
from richpanel.store.destinations import CATALOG_ID, DestinationChanges, add_destination, list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import add_source, delete_source


class RetiredKey(NamedTuple):
    """An API Key that was issued before, and until when (ms UTC) it works beside the new one."""

    api_key: str
    ends_at: int


class ConnectorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A connector without its secret. `source` is the id of the source that its `POST /segment` messages count for.

    `retired` has the keys of before, the newest first, those that have ended too.
    """

    number: int
    id: str
    name: str
    api_key: str
    source: str
    source_number: int
    created_at: int
    retired: tuple[RetiredKey, ...] = ()


def _row(row: Row[Any], retired: list[RetiredKey]) -> ConnectorRow:
    return ConnectorRow(
        number=row.number,
        id=row.id,
        name=row.name,
        api_key=row.api_key,
        source=row.source_id,
        source_number=row.source,
        created_at=row.created_at,
        retired=tuple(retired),
    )


def _select(conn: Connection, *conditions: Any) -> list[ConnectorRow]:
    connectors, sources, table = definitions.connectors, definitions.sources, definitions.retired_keys
    retired: defaultdict[int, list[RetiredKey]] = defaultdict(list)
    columns = (table.c.connector, table.c.api_key, table.c.ends_at)
    for connector, api_key, ends_at in conn.execute(select(*columns).order_by(table.c.ends_at.desc())):
        retired[connector].append(RetiredKey(api_key, ends_at))
    query = select(connectors, sources.c.id.label("source_id")).join(sources, sources.c.number == connectors.c.source)
    rows = conn.execute(query.where(connectors.c.deleted_at.is_(None), *conditions).order_by(connectors.c.number))
    return [_row(row, retired[row.number]) for row in rows.all()]


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


def rotate_connector(
    conn: Connection, box: SecretBox, connector_id: str, *, keep_until: int | None = None
) -> tuple[ConnectorRow, str] | None:
    """Issue a new API Key and API Secret. The old ones work until `keep_until` (ms UTC), or stop at once.

    Destinations that hold an old key fail from then on, until they are given the new one.
    """
    table, secret = definitions.connectors, random_text(48)
    here = table.c.id == connector_id, table.c.deleted_at.is_(None)
    before = conn.execute(select(table.c.number, table.c.api_key, table.c.api_secret).where(*here)).first()
    if before is None:
        return None
    if keep_until is not None:
        old = {"connector": before.number, "api_key": before.api_key, "api_secret": before.api_secret}
        conn.execute(insert(definitions.retired_keys).values(ends_at=keep_until, **old))
    conn.execute(update(table).where(*here).values(api_key=random_text(32), api_secret=box.seal(secret)))
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
