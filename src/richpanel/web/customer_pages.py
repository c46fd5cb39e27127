"""Pages: the lists of customers and visitors."""

from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency as Given

from richpanel.store.profiles import list_profiles
from richpanel.web.access import Viewer
from richpanel.web.customers import CustomersQuery, Kind, Sort, VisitorsQuery
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import answer_bad_values
from richpanel.web.person_pages import person_pages
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


def _people(reading: Reading, kind: Kind, q: str | None, sort: Sort | None, cursor: str | None) -> Context:
    """Read a list of people."""
    customers = kind == "customers"
    words = (q or "").strip() or None
    people = answer_bad_values(
        lambda: list_profiles(
            reading.state,
            reading.account,
            customers=customers,
            q=words,
            sort=sort,
            cursor=cursor or None,
            limit=_LIST,
        )
    )
    total = reading.count(customers)
    return {
        "customers": customers,
        "people": people,
        "total": total,
        "visitors_total": reading.count(False) if customers and not total else 0,
        "currency": reading.account.currency,
        "q": words,
        "sort": sort,
        "sorts": _SORTS,
        "cursor": cursor,
    }


@get("/customers", include_in_schema=False)
async def customers_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[CustomersQuery]) -> Response[str]:
    """Show the customers."""
    return await pages.show(
        viewer,
        "customers.html",
        "/customers",
        lambda reading: _people(reading, "customers", asked.q, asked.sort, asked.cursor),
    )


@get("/visitors", include_in_schema=False)
async def visitors_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[VisitorsQuery]) -> Response[str]:
    """Show the visitors."""
    return await pages.show(
        viewer, "customers.html", "/visitors", lambda reading: _people(reading, "visitors", asked.q, None, asked.cursor)
    )


customer_pages = [customers_page, visitors_page, *person_pages]
