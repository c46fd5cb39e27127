"""The lists of people as a file: what is shown, with its filters, order and columns, as CSV or JSON lines."""

import csv
import io
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import Any, Final, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Stream

from richpanel.store.person import ProfileView
from richpanel.store.selecting import Selected
from richpanel.store.views import People
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.customer_columns import TRAIT, Column, read_columns
from richpanel.web.customer_filters import find
from richpanel.web.customer_pages import ListQuery, list_query
from richpanel.web.stores import Reading, Stores

MOST_ROWS: Final = 10_000
"""So many people go into a file; `richpanel export` has no such end."""
MOST_LOOKED: Final = 200_000
"""So many are looked at for it, where filters let few through."""
_PAGE: Final = 250
_LOOKS: Final = 5_000
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_ALWAYS: Final[dict[People, tuple[str, ...]]] = {
    "customers": ("uid", "name", "email"),
    "visitors": ("uid", "anonymousId"),
}
Format = Literal["csv", "jsonl"]
_FILES: Final[dict[str, tuple[People, Format, str]]] = {
    "customers.csv": ("customers", "csv", "text/csv; charset=utf-8"),
    "customers.jsonl": ("customers", "jsonl", "application/jsonl"),
    "visitors.csv": ("visitors", "csv", "text/csv; charset=utf-8"),
    "visitors.jsonl": ("visitors", "jsonl", "application/jsonl"),
}


def guarded(value: Any) -> str:
    """Write a value as a cell that no spreadsheet takes for a formula; a number, a phone's too, stays as it is."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def _lines(names: Sequence[str], people: Sequence[ProfileView], value: Callable[[ProfileView, str], Any]) -> bytes:
    rows = [{name: value(person, name) for name in names} for person in people]
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([guarded(cell) for cell in row] for row in rows)
    return written.getvalue().encode()


def _value(person: ProfileView, name: str) -> Any:
    """Give a value as JSON has it."""
    if name.startswith(TRAIT):
        return person.traits.get(name.removeprefix(TRAIT))
    return Column(name, name, "text", False).of(person)


async def _written(stores: Stores, people: People, asked: ListQuery, shape: Format) -> AsyncGenerator[bytes, None]:
    names = list(dict.fromkeys([*_ALWAYS[people], *(column.name for column in read_columns(asked.columns, people))]))
    if shape == "csv":
        yield _csv([[name.removeprefix(TRAIT) for name in names]])
    cursor, rows, looked = asked.cursor, 0, 0
    while rows < MOST_ROWS and looked < MOST_LOOKED:
        limit = min(_PAGE, MOST_ROWS - rows)
        found = await stores.read(partial(_page, people=people, asked=asked, cursor=cursor, limit=limit))
        rows, looked = rows + len(found.data), looked + found.looked
        if found.data:
            cells = [[column.of(person) for column in map(_column, names)] for person in found.data]
            yield _csv(cells) if shape == "csv" else _lines(names, found.data, _value)
        cursor = found.next
        if cursor is None:
            return


def _page(reading: Reading, *, people: People, asked: ListQuery, cursor: str | None, limit: int) -> Selected:
    return find(reading, people, asked, cursor=cursor, limit=limit, most=_LOOKS)


def _column(name: str) -> Column:
    return Column(name, name, "text", False)


@get("/exports/{name:str}", include_in_schema=False)
async def export_list(request: AnyRequest, viewer: Given[Viewer], stores: Given[Stores], name: FromPath[str]) -> Stream:
    """Give the list as a file."""
    del viewer
    if name not in _FILES:
        raise NotFoundException("There is no such file.")
    asked = list_query(request)
    people, shape, media_type = _FILES[name]
    # What is wrong is said before.
    await stores.read(partial(_page, people=people, asked=asked, cursor=asked.cursor, limit=1))
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Stream(_written(stores, people, asked, shape), media_type=media_type, headers=headers)


export_pages = [export_list]
