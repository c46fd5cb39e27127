"""Pages: customers and visitors, as lists and one by one."""

from typing import Any, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency as Given

from richpanel.store.members import of_profile, values_of
from richpanel.store.orders import OrderView, list_orders
from richpanel.store.profiles import CustomerDetail, list_profiles
from richpanel.store.sessions import list_sessions
from richpanel.store.timeline import list_timeline
from richpanel.web.access import Viewer
from richpanel.web.activity import fields_of, grouped
from richpanel.web.customers import CustomersQuery, Kind, Sort, VisitorsQuery, find_person
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.privacy_pages import erasable
from richpanel.web.stores import Reading

_LIST: Final = 50
_TIMELINE: Final = 40
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
_ICONS: Final = {"email": "mail", "phone": "phone", "anonymousId": "globe", "uid": "id"}
_NAMES: Final = {"email": "Email", "phone": "Phone", "anonymousId": "Device", "uid": "User id"}


class PersonQuery(Query, kw_only=True):
    """Where on the timeline."""

    cursor: str | None = None


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


def _item_rows(order: OrderView) -> list[tuple[str, str, str | None]]:
    """Show an order's items: name, quantity, price."""
    rows = []
    items = msgspec.json.decode(order.items) if order.items else []
    for item in items if isinstance(items, list) else []:
        known: dict[str, Any] = item if isinstance(item, dict) else {"name": item}
        name = next((known[key] for key in ("name", "title", "sku", "product_id", "id") if known.get(key)), "Item")
        price = known.get("price")
        rows.append((str(name), str(known.get("quantity") or ""), None if price is None else str(price)))
    return rows


def _order(order: OrderView) -> Context:
    """Show an order."""
    return {
        "order": order,
        "items": _item_rows(order),
        "fulfillment": fields_of(order.fulfillment),
    }


def _visit(person: CustomerDetail) -> list[tuple[str, str]]:
    """Show where somebody came from and what they used."""
    came = " / ".join(part for part in (person.source, person.medium, person.campaign) if part)
    used = " · ".join(part for part in (person.device_type, person.browser_name, person.os_name) if part)
    rows = (
        ("Came from", came),
        ("Landing page", person.landing_page_url),
        ("Last page", person.last_page_url),
        ("Uses", used),
    )
    return [(label, value) for label, value in rows if value]


def _computed(reading: Reading, profile: int) -> Context:
    """Show the audiences that somebody is in, and their computed traits: name, key, since or value, until (ms UTC)."""
    live = {row.live.number: row for row in reading.known.computations if row.live is not None}
    in_them = of_profile(reading.state, profile, [number for number, row in live.items() if row.kind == "audience"])
    values = values_of(reading.state, profile, [number for number, row in live.items() if row.kind == "trait"])
    return {
        "audiences": [(live[plan], each.since, each.until) for plan, each in sorted(in_them.items()) if each.member],
        "computed": [(live[plan], value) for plan, value in sorted(values.items())],
        "any_audience": any(row.kind == "audience" for row in live.values()),
    }


def _person(reading: Reading, kind: Kind, identifier: str, cursor: str | None) -> Context:
    """Read a person's page."""
    person = find_person(reading, kind, identifier, "/%s/%s")
    state, number = reading.state, person.profile
    timeline = answer_bad_values(
        lambda: list_timeline(
            state, reading.bodies, reading.account, reading.sources, number, cursor=cursor, limit=_TIMELINE
        )
    )
    sessions = list_sessions(state, number, cursor=None, limit=100)
    orders = list_orders(state, reading.account, number, cursor=None, limit=20)
    return {
        "person": person,
        "id": identifier,
        "customer": kind == "customers",
        "currency": reading.account.currency,
        "groups": grouped(timeline.data, {session.session_id: session for session in sessions.data}),
        "cursor": cursor,
        "next_cursor": timeline.next,
        "orders": {"data": [_order(order) for order in orders.data], "next": orders.next},
        "traits": fields_of(person.traits),
        "visit": _visit(person),
        **_computed(reading, number),
        "erasable": erasable(person.identities[0].type, person.identities[0].value),
        "identity_icons": _ICONS,
        "identity_names": _NAMES,
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


@get("/customers/{uid:str}", include_in_schema=False)
async def customer_page(
    pages: Given[Pages], viewer: Given[Viewer], uid: Identifier, asked: Given[PersonQuery]
) -> Response[str]:
    """Show a customer."""
    wanted = decode_id(uid)
    return await pages.show(
        viewer,
        "customer.html",
        "/customers",
        lambda reading: _person(reading, "customers", wanted, asked.cursor),
    )


@get("/visitors/{visitor_id:str}", include_in_schema=False)
async def visitor_page(
    pages: Given[Pages],
    viewer: Given[Viewer],
    visitor_id: Identifier,
    asked: Given[PersonQuery],
) -> Response[str]:
    """Show a visitor."""
    wanted = decode_id(visitor_id)
    return await pages.show(
        viewer,
        "customer.html",
        "/visitors",
        lambda reading: _person(reading, "visitors", wanted, asked.cursor),
    )


customer_pages = [customers_page, visitors_page, customer_page, visitor_page]
