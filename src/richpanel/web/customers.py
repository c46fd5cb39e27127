"""REST: `/customers` and `/visitors`, with timeline, sessions and orders (contract.md, "REST API")."""

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import HTTPException, NotFoundException
from msgspec import UNSET

from richpanel.store.members import of_profile
from richpanel.store.orders import OrderView, list_orders
from richpanel.store.paging import Page
from richpanel.store.profiles import (
    CustomerDetail,
    Moved,
    Person,
    ProfileView,
    find_customer,
    find_visitor,
    identify_customer,
    identify_visitor,
)
from richpanel.store.sessions import SessionView, list_sessions
from richpanel.store.timeline import TimelineItem, list_timeline
from richpanel.store.views import People
from richpanel.web.customer_filters import Filters, VisitorFilters, find
from richpanel.web.paging import Identifier, Paged, answer_bad_values
from richpanel.web.paths import decode_id, segment
from richpanel.web.stores import Reading, Stores

T = TypeVar("T")
View = TypeVar("View", bound=ProfileView)
Someone = TypeVar("Someone", CustomerDetail, Person)
_API: Final = "/api/v1/%s/%s"


class MovedTo(HTTPException):
    """The person is known under another id now; the answer says where."""

    status_code = 308


def find_person(reading: Reading, kind: People, identifier: str, moved: str) -> CustomerDetail:
    """Find a customer or a visitor; raises NotFoundException, and MovedTo `moved` with what and who they are now."""
    find = find_customer if kind == "customers" else find_visitor
    found = _there(find(reading.state, reading.account, identifier), kind, moved)
    return msgspec.structs.replace(found, audiences=_audiences(reading, found.profile))


def _audiences(reading: Reading, profile: int) -> list[str]:
    """Give the keys of the audiences that somebody is in."""
    live = {row.live.number: row.key for row in reading.known.computations if row.live and row.kind == "audience"}
    known = of_profile(reading.state, profile, live) if live else {}
    return sorted(live[plan] for plan, each in known.items() if each.member)


def find_number(reading: Reading, kind: People, identifier: str, moved: str) -> int:
    """Find the state's own number of a customer or a visitor, as `find_person` does, and nothing else about them."""
    identify = identify_customer if kind == "customers" else identify_visitor
    return _there(identify(reading.state, reading.account, identifier), kind, moved).number


def _there(found: Someone | Moved | None, kind: People, moved: str) -> Someone:
    """Give who was found; say where they are, or that there is nobody."""
    if isinstance(found, Moved):
        location = moved % ("customers" if found.customer else "visitors", segment(found.uid))
        raise MovedTo("This person is known under another id now.", headers={"Location": location})
    if found is None:
        raise NotFoundException(f"There is no {kind[:-1]} with this id.")
    return found


def outward(person: View) -> View:
    """Leave out the state's own number of a person: it changes when the state is built anew."""
    return msgspec.structs.replace(person, profile=UNSET)


async def _people(stores: Stores, kind: People, asked: Filters) -> Page[ProfileView]:
    """Read a list of people for the outside."""

    def look(reading: Reading) -> Page[ProfileView]:
        found = find(reading, kind, asked, cursor=asked.cursor, limit=asked.limit)
        return Page([outward(person) for person in found.data], found.next)

    return await stores.read(look)


async def _person(stores: Stores, kind: People, raw_id: str) -> CustomerDetail:
    """Look up one person for the outside."""
    identifier = decode_id(raw_id)
    return await stores.read(lambda reading: outward(find_person(reading, kind, identifier, _API)))


async def _of_person(stores: Stores, kind: People, raw_id: str, run: Callable[[Reading, int], T], rest: str) -> T:
    """Look something up about the person with a number; `rest` is what follows the id in the path."""
    identifier = decode_id(raw_id)

    def look(reading: Reading) -> T:
        number = find_number(reading, kind, identifier, _API + rest)
        return answer_bad_values(lambda: run(reading, number))

    return await stores.read(look)


@get("/customers", operation_id="listCustomers", tags=["Customers"], raises=[NotFoundException])
async def customers(stores: Given[Stores], asked: Given[Filters]) -> Page[ProfileView]:
    """List or search the customers, narrowed down by filters.

    With filters at most 10,000 customers are looked at for a page: it may be shorter than `limit`, and `next` goes on.
    """
    return await _people(stores, "customers", asked)


@get("/visitors", operation_id="listVisitors", tags=["Visitors"], raises=[NotFoundException])
async def visitors(stores: Given[Stores], asked: Given[VisitorFilters]) -> Page[ProfileView]:
    """List the visitors, people who are not customers yet, narrowed down by filters as customers are."""
    return await _people(stores, "visitors", asked)


@get("/customers/{uid:str}", operation_id="getCustomer", tags=["Customers"], raises=[NotFoundException, MovedTo])
async def customer(stores: Given[Stores], uid: Identifier) -> CustomerDetail:
    """Get a customer by uid, with traits, identities and figures."""
    return await _person(stores, "customers", uid)


@get("/visitors/{visitor_id:str}", operation_id="getVisitor", tags=["Visitors"], raises=[NotFoundException, MovedTo])
async def visitor(stores: Given[Stores], visitor_id: Identifier) -> CustomerDetail:
    """Get a visitor by anonymousId, or by the uid of somebody who was never identified."""
    return await _person(stores, "visitors", visitor_id)


def _timeline(reading: Reading, person: int, asked: Paged) -> Page[TimelineItem]:
    return list_timeline(
        reading.state,
        reading.bodies,
        reading.account,
        reading.sources,
        person,
        cursor=asked.cursor,
        limit=asked.limit,
    )


@get(
    "/customers/{uid:str}/timeline",
    operation_id="getCustomerTimeline",
    tags=["Customers"],
    raises=[NotFoundException, MovedTo],
)
async def customer_timeline(stores: Given[Stores], uid: Identifier, asked: Given[Paged]) -> Page[TimelineItem]:
    """List a customer's timeline, newest first."""
    return await _of_person(stores, "customers", uid, lambda r, person: _timeline(r, person, asked), "/timeline")


@get(
    "/visitors/{visitor_id:str}/timeline",
    operation_id="getVisitorTimeline",
    tags=["Visitors"],
    raises=[NotFoundException, MovedTo],
)
async def visitor_timeline(stores: Given[Stores], visitor_id: Identifier, asked: Given[Paged]) -> Page[TimelineItem]:
    """List a visitor's timeline, newest first."""
    return await _of_person(stores, "visitors", visitor_id, lambda r, person: _timeline(r, person, asked), "/timeline")


@get(
    "/customers/{uid:str}/sessions",
    operation_id="getCustomerSessions",
    tags=["Customers"],
    raises=[NotFoundException, MovedTo],
)
async def customer_sessions(stores: Given[Stores], uid: Identifier, asked: Given[Paged]) -> Page[SessionView]:
    """List a customer's sessions, newest first."""

    def run(reading: Reading, person: int) -> Page[SessionView]:
        return list_sessions(reading.state, person, cursor=asked.cursor, limit=asked.limit)

    return await _of_person(stores, "customers", uid, run, "/sessions")


@get(
    "/customers/{uid:str}/orders",
    operation_id="getCustomerOrders",
    tags=["Customers"],
    raises=[NotFoundException, MovedTo],
)
async def customer_orders(stores: Given[Stores], uid: Identifier, asked: Given[Paged]) -> Page[OrderView]:
    """List a customer's orders, newest first."""

    def run(reading: Reading, person: int) -> Page[OrderView]:
        return list_orders(reading.state, reading.account, person, cursor=asked.cursor, limit=asked.limit)

    return await _of_person(stores, "customers", uid, run, "/orders")


customers_api = [
    *(customers, customer, customer_timeline, customer_sessions, customer_orders),
    *(visitors, visitor, visitor_timeline),
]
