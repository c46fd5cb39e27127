"""Saved views of the customers' list: search, filters, order and columns under a name, one's own or for everybody."""

from typing import Final

import msgspec
from sqlalchemy import Connection, delete, insert, or_, select

from richpanel.store import definitions

MOST_VIEWS: Final = 50
"""So many views may one person have."""


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A view. `query` is the query of the list's page; `owner` the login of whoever saved it."""

    id: str
    name: str
    owner: str
    shared: bool
    query: str


class TooManyViews(Exception):
    """This person has as many views as there may be."""


def list_views(connection: Connection, login: str) -> list[ViewRow]:
    """List the views that somebody sees, their own and shared ones, by name."""
    table = definitions.views
    wanted = select(table).where(or_(table.c.owner == login, table.c.shared))
    rows = connection.execute(wanted.order_by(table.c.name, table.c.id))
    return [ViewRow(id=row.id, name=row.name, owner=row.owner, shared=row.shared, query=row.query) for row in rows]


def add_view(connection: Connection, login: str, name: str, query: str, *, shared: bool, now: int) -> ViewRow:
    """Save a view; one of the same person with that name gives way. Raises TooManyViews. `now` is ms UTC."""
    table = definitions.views
    connection.execute(delete(table).where(table.c.owner == login, table.c.name == name))
    known = connection.execute(select(table.c.id).where(table.c.owner == login)).all()
    if len(known) >= MOST_VIEWS:
        raise TooManyViews
    row = ViewRow(id=definitions.new_id("view"), name=name, owner=login, shared=shared, query=query)
    connection.execute(insert(table).values(**msgspec.structs.asdict(row), created_at=now))
    return row


def remove_view(connection: Connection, login: str, view_id: str) -> bool:
    """Remove somebody's own view; False where they have none with this id."""
    table = definitions.views
    return connection.execute(delete(table).where(table.c.id == view_id, table.c.owner == login)).rowcount > 0
