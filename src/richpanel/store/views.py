"""Saved views of the customers' list: search, filters, order and columns under a name, one's own or for everybody."""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import msgspec
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from richpanel.store import definitions

MOST_VIEWS: Final = 50
"""So many views may one person have."""
NAMELESS: Final = "Saved view"
"""What a view is called whose name was somebody's who is erased."""


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A view. `query` is the query of the list's page; `owner` the login of whoever saved it.

    `mended_at` (ms UTC) is when something was taken out of it that named a person who was erased.
    """

    id: str
    name: str
    owner: str
    shared: bool
    query: str
    mended_at: int | None = None


class TooManyViews(Exception):
    """This person has as many views as there may be."""


def list_views(connection: Connection, login: str) -> list[ViewRow]:
    """List the views that somebody sees, their own and shared ones, by name."""
    table = definitions.views
    wanted = select(table).where(or_(table.c.owner == login, table.c.shared))
    rows = connection.execute(wanted.order_by(table.c.name, table.c.id))
    return [
        ViewRow(
            id=row.id,
            name=row.name,
            owner=row.owner,
            shared=row.shared,
            query=row.query,
            mended_at=row.mended_at,
        )
        for row in rows
    ]


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


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a view holds: its name, and the parameters of the list. `created_at` (ms UTC) is when it was saved."""

    created_at: int
    name: str
    query: dict[str, str]


def mend(connection: Connection, mended: Callable[[Held], Held], *, now: int) -> list[str]:
    """Take out of all views what `mended` leaves out of them; give the ids of those that have changed."""
    table, found = definitions.views, []
    for row in connection.execute(select(table).order_by(table.c.id)).all():
        held = _held(row)
        left = mended(held)
        if left != held:
            found.append(row.id)
            values = {"name": left.name, "query": urlencode(left.query), "mended_at": now}
            connection.execute(update(table).where(table.c.id == row.id).values(**values))
    return found


def count(connection: Connection, names: Callable[[Held], bool]) -> int:
    """Count the views of which `names` says that they name somebody."""
    return sum(names(_held(row)) for row in connection.execute(select(definitions.views)).all())


def _held(row: Row[Any]) -> Held:
    return Held(created_at=row.created_at, name=row.name, query=dict(parse_qsl(row.query)))
