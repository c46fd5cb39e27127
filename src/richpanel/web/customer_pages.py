"""Pages: the lists of customers and visitors."""

from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from litestar import Response, get
from litestar.di import NamedDependency as Given
from msgspec import Meta

from richpanel.store.profiles import VISITOR_SORTS
from richpanel.store.views import People, ViewRow, list_views
from richpanel.web.access import AnyRequest, Viewer
from richpanel.web.customer_columns import COLUMNS, MOST_COLUMNS, TRAIT, read_columns, traits_of
from richpanel.web.customer_filters import Filters, Sort, find
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import query_of
from richpanel.web.person_pages import person_pages
from richpanel.web.rendering import query
from richpanel.web.stores import Reading

_LIST: Final = 50
_SORTS: Final[tuple[tuple[Sort, str], ...]] = (
    ("-lastSeen", "Last seen"),
    ("-createdAt", "Newest first"),
    ("-ltv", "Lifetime value"),
    ("name", "Name"),
    ("lastSeen", "Not seen for longest"),
    ("createdAt", "Oldest first"),
    ("ltv", "Least lifetime value"),
    ("-name", "Name, from Z"),
)
_LABELS: Final = {
    "email": "Email",
    "phone": "Phone",
    "createdFrom": "First seen from",
    "createdTo": "First seen to",
    "seenFrom": "Last seen from",
    "seenTo": "Last seen to",
    "ordersMin": "Orders at least",
    "ordersMax": "Orders at most",
    "visitsMin": "Visits at least",
    "visitsMax": "Visits at most",
    "ltvMin": "Lifetime value at least",
    "ltvMax": "Lifetime value at most",
    "audience": "In",
    "where": "Where",
}


class ListQuery(Filters, kw_only=True):
    """Which customers or visitors, and which columns of them: names apart by commas."""

    columns: Annotated[str, Meta(max_length=2_000)] | None = None

    @property
    def values(self) -> dict[str, Any]:
        """What makes the list what it is, as parameters of its page; where in it the reader is, is none of that."""
        order = {"sort": self.sort} if self.sort != "-lastSeen" else {}
        named = {"q": (self.q or "").strip() or None, **order, **self.given, "columns": self.columns}
        return {name: value for name, value in named.items() if value is not None}


def list_query(request: AnyRequest) -> ListQuery:
    """Read the query of a list's page: its form sends each column that is chosen."""
    asked: ListQuery = query_of(request, ListQuery, joined=("columns",))
    return asked


def _list(reading: Reading, people: People, asked: ListQuery, views: list[ViewRow], login: str) -> Context:
    """Read a list of people."""
    customers, path = people == "customers", f"/{people}"
    found = find(reading, people, asked, cursor=asked.cursor, limit=_LIST)
    columns = read_columns(asked.columns, people)
    total = reading.count(customers)
    audiences = [(row.key, row.name) for row in reading.known.computations if row.live and row.kind == "audience"]
    names = dict(audiences)
    return {
        "customers": customers,
        "path": path,
        "people": found.data,
        "next": query(path, **asked.values, cursor=found.next) if found.next else None,
        "looked": None if found.is_whole else found.looked,
        "total": total,
        "visitors_total": reading.count(False) if customers and not total else 0,
        "currency": reading.account.currency,
        "q": asked.values.get("q"),
        "sort": asked.sort,
        "sorts": [each for each in _SORTS if customers or each[0].removeprefix("-") in VISITOR_SORTS],
        "cursor": asked.cursor,
        "columns": columns,
        "all_columns": [*COLUMNS.items(), *((column.name, column.label) for column in columns if TRAIT in column.name)],
        "trait_names": traits_of(found.data),
        "most_columns": MOST_COLUMNS,
        "values": asked.values,
        "given": asked.given,
        "views": [(view, query(path, **read_view(view.query))) for view in views],
        "current": query(path, **asked.values),
        "login": login,
        "audiences": audiences,
        "chips": [
            (_LABELS[name], names.get(value, value), {key: each for key, each in asked.values.items() if key != name})
            for name, value in asked.given.items()
        ],
    }


def read_view(saved: str) -> dict[str, str]:
    """Read the parameters that a view holds."""
    return dict(parse_qsl(saved))


async def _show(request: AnyRequest, pages: Pages, viewer: Viewer, people: People) -> Response[str]:
    asked, login = list_query(request), viewer.login
    views = await pages.stores.look_up(lambda conn: list_views(conn, login, people))
    return await pages.show(
        viewer, "customers.html", f"/{people}", lambda reading: _list(reading, people, asked, views, login)
    )


@get("/customers", include_in_schema=False)
async def customers_page(request: AnyRequest, pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the customers."""
    return await _show(request, pages, viewer, "customers")


@get("/visitors", include_in_schema=False)
async def visitors_page(request: AnyRequest, pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the visitors."""
    return await _show(request, pages, viewer, "visitors")


customer_pages = [customers_page, visitors_page, *person_pages]
