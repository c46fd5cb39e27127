"""Pages: a person: who they are in five seconds, and a tab for each thing that is known about them."""

from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency as Given

from richpanel.core.timestamps import iso
from richpanel.store.orders import list_orders
from richpanel.store.profiles import CustomerDetail, mark_of
from richpanel.store.sessions import list_sessions
from richpanel.store.views import People
from richpanel.web.access import Viewer
from richpanel.web.customers import find_person
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id
from richpanel.web.person_tabs import READERS, TABS, PersonQuery
from richpanel.web.privacy_pages import erasable
from richpanel.web.stores import Reading

ACTIVE_MS: Final = 5 * 60_000
"""Who did something so short a time ago is in the shop now."""
_SESSIONS: Final = 5
"""Among so many of the newest sessions the last page is looked for: a server's events have none."""


def head_of(reading: Reading, kind: People, identifier: str, person: CustomerDetail) -> Context:
    """Give what a person's page begins with."""
    newest = list_sessions(reading.state, person.profile, cursor=None, limit=_SESSIONS).data
    visit = next((session for session in newest if session.last_page), None)
    last_order = list_orders(reading.state, reading.account, person.profile, cursor=None, limit=1).data
    return {
        "person": person,
        "id": identifier,
        "customer": kind == "customers",
        "currency": reading.account.currency,
        "last_order": last_order[0] if last_order else None,
        "session": visit,
        "is_active": visit is not None and visit.ended_at >= iso(max(0, reading.now - ACTIVE_MS)),
        "visit": _visit(person),
        "mark": mark_of(reading.state, person.profile),
    }


def _visit(person: CustomerDetail) -> list[tuple[str, str]]:
    """Show where somebody came from and what they used."""
    came = " / ".join(part for part in (person.source, person.medium, person.campaign) if part)
    used = " · ".join(part for part in (person.device_type, person.browser_name, person.os_name) if part)
    rows = (("Came from", came), ("Landing page", person.landing_page_url), ("Uses", used))
    return [(label, value) for label, value in rows if value]


def person_context(reading: Reading, kind: People, identifier: str, asked: PersonQuery) -> Context:
    """Read a person's page. Raises NotFoundException and MovedTo."""
    person = find_person(reading, kind, identifier, "/%s/%s")
    own: Any = person.identities[0]
    return {
        **head_of(reading, kind, identifier, person),
        **READERS[asked.tab](reading, person, asked),
        "tab": asked.tab,
        "tabs": TABS,
        "erasable": erasable(own.type, own.value),
    }


@get("/customers/{uid:str}", include_in_schema=False)
async def customer_page(
    pages: Given[Pages], viewer: Given[Viewer], uid: Identifier, asked: Given[PersonQuery]
) -> Response[str]:
    """Show a customer."""
    wanted = decode_id(uid)
    return await pages.show(
        viewer, "customer.html", "/customers", lambda reading: person_context(reading, "customers", wanted, asked)
    )


@get("/visitors/{visitor_id:str}", include_in_schema=False)
async def visitor_page(
    pages: Given[Pages], viewer: Given[Viewer], visitor_id: Identifier, asked: Given[PersonQuery]
) -> Response[str]:
    """Show a visitor."""
    wanted = decode_id(visitor_id)
    return await pages.show(
        viewer, "customer.html", "/visitors", lambda reading: person_context(reading, "visitors", wanted, asked)
    )


person_pages = [customer_page, visitor_page]
