"""Saved views of the lists of people: search, filters, order and columns under a name, one's own or for everybody."""

from collections.abc import Callable
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, urlencode

import msgspec
from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from richpanel.store import definitions

People = Literal["customers", "visitors"]
MOST_VIEWS: Final = 50
"""So many views may one person have."""
NAMELESS: Final = "Saved view"
"""What a view is called whose name was somebody's who is erased."""


class ViewRow(msgspec.Struct, frozen=True, kw_only=True):
    """A view. `query` is the query of the list's page, `people` whose list; `owner` the login of whoever saved it.

    `mended_at` (ms UTC) is when something was taken out of it that named a person who was erased.
    """

    id: str
    name: str
    owner: str
    shared: bool
    people: People
    query: str
    mended_at: int | None = None


class TooManyViews(Exception):
    """This person has as many views as there may be."""


def list_views(connection: Connection, login: str, people: People) -> list[ViewRow]:
    """List the views of a list that somebody sees, their own and shared ones, by name."""
    table = definitions.views
    wanted = select(table).where(table.c.people == people, or_(table.c.owner == login, table.c.shared))
    rows = connection.execute(wanted.order_by(table.c.name, table.c.id))
    return [
        ViewRow(
            id=row.id,
            name=row.name,
            owner=row.owner,
            shared=row.shared,
            people=row.people,
            query=row.query,
            mended_at=row.mended_at,
        )
        for row in rows
    ]


def add_view(connection: Connection, view: ViewRow, now: int) -> None:
    """Save a view; one of the same person and list with that name gives way. Raises TooManyViews. `now` is ms UTC."""
    table = definitions.views
    own = table.c.owner == view.owner
    connection.execute(delete(table).where(own, table.c.people == view.people, table.c.name == view.name))
    known = connection.execute(select(table.c.id).where(own)).all()
    if len(known) >= MOST_VIEWS:
        raise TooManyViews
    connection.execute(insert(table).values(**msgspec.structs.asdict(view), created_at=now))


def new_view(name: str, owner: str, people: People, query: str, *, shared: bool) -> ViewRow:
    """Make a view with an id of its own."""
    return ViewRow(id=definitions.new_id("view"), name=name, owner=owner, shared=shared, people=people, query=query)


def remove_view(connection: Connection, login: str, view_id: str) -> People | None:
    """Remove somebody's own view, and tell whose list it was of; None where they have none with this id."""
    table = definitions.views
    removed = delete(table).where(table.c.id == view_id, table.c.owner == login).returning(table.c.people)
    people: People | None = connection.execute(removed).scalar()
    return people


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
