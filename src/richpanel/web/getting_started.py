"""Getting started: the steps from an empty account to the first audience, each of which knows whether it is done."""

from typing import Final, Literal, NamedTuple

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.bulk import fetch
from richpanel.store.connectors import list_connectors
from richpanel.store.database import reading as snapshot
from richpanel.store.deliveries import ACCEPTED, DELIVERED
from richpanel.store.destinations import ACCOUNT
from richpanel.store.sources import ADDABLE_TYPES, SourceRow
from richpanel.store.status import source_counts
from richpanel.web.access import AnyRequest, Viewer, cookie_name, make_cookie
from richpanel.web.pages import Context, Pages
from richpanel.web.paths import segment
from richpanel.web.signin import Door
from richpanel.web.stores import Reading

_COOKIE: Final = "started"
_YEAR_SECONDS: Final = 365 * 86_400


class Step(NamedTuple):
    """A step: what is to be done, why, and where; `action` names the link."""

    title: str
    text: str
    link: str
    action: str
    done: bool


class Form(msgspec.Struct):
    """Whether the first page shows the steps."""

    action: Literal["hide", "show"]


def is_hidden(request: AnyRequest, pages: Pages) -> bool:
    """Tell whether this browser's owner wants the first page without the steps."""
    return request.cookies.get(cookie_name(_COOKIE, pages.secure_cookies)) == "hidden"


def steps(reading: Reading) -> list[Step]:
    """Look how far the account is."""
    own = [row for row in reading.sources.values() if row.deleted_at is None and row.type in ADDABLE_TYPES]
    counts = source_counts(reading.state)
    called = [row for row in own if row.number in counts]
    rows = reading.known.destination_rows
    connected = [row for row in rows if row.enabled and row.api_key and row.source_numbers]
    with snapshot(reading.definitions) as definitions:
        connectors = list_connectors(definitions)
    audiences = [row for row in reading.known.computations if row.kind == "audience"]
    return [
        Step("Make a source", "One for each shop, app or server that sends calls.", "/sources", "Sources", bool(own)),
        Step(
            "Send the first call",
            "Put a snippet into the shop, or send one call by hand; the page turns green when it comes.",
            _source_page(called or own),
            "Snippets",
            bool(called),
        ),
        Step(
            "Install the Richpanel connector",
            "Under Integrations; it issues the API Key and the API Secret.",
            "/integrations",
            "Integrations",
            bool(connectors),
        ),
        Step(
            "Connect the destination",
            "Choose the sources, and enter the connector's API Key.",
            f"/destinations/{segment(connected[0].id)}" if connected else "/catalog/richpanel",
            "Destination" if connected else "Catalog",
            bool(connected),
        ),
        Step(
            "See the first delivery",
            "What Richpanel has taken is on the page of deliveries, and so is what it has not, with the reason.",
            "/deliveries",
            "Deliveries",
            _has_delivered(reading, counts),
        ),
        Step(
            "Meet the first customer",
            "An identify call with a userId makes a visitor a customer, with all that they did before.",
            "/customers",
            "Customers",
            reading.count(True) > 0,
        ),
        Step(
            "Build the first audience",
            "Who ordered in the last 30 days, told to Richpanel as a user property within seconds.",
            "/audiences" if audiences else "/audiences/new",
            "Audiences",
            bool(audiences),
        ),
    ]


def _source_page(rows: list[SourceRow]) -> str:
    return f"/sources/{segment(rows[0].id)}" if rows else "/sources"


def _has_delivered(reading: Reading, counts: dict[int, dict[str, int]]) -> bool:
    """Tell whether any destination has taken anything: the built-in one takes what it keeps."""
    inside = [row for row in reading.known.destination_rows if row.endpoint == ACCOUNT]
    if any(counts.get(number, {}).get("kept") for row in inside for number in row.source_numbers):
        return True
    if len(inside) == len(reading.known.destination_rows):
        return False
    with snapshot(reading.deliveries) as connection:
        statement = "SELECT 1 FROM figures WHERE status IN (?, ?) LIMIT 1"
        return bool(fetch(connection, statement, DELIVERED, ACCEPTED))


def _page(reading: Reading) -> Context:
    found = steps(reading)
    return {"steps": found, "done": sum(each.done for each in found)}


@get("/getting-started", include_in_schema=False)
async def getting_started_page(request: AnyRequest, pages: Given[Pages], viewer: Given[Viewer]) -> Response[str]:
    """Show the steps."""
    hidden = is_hidden(request, pages)
    return await pages.show(viewer, "getting_started.html", "/", lambda reading: _page(reading) | {"hidden": hidden})


@post("/getting-started", include_in_schema=False, status_code=303)
async def getting_started_form(viewer: Given[Viewer], door: Given[Door], data: URLEncodedBody[Form]) -> Redirect:
    """Have the first page with or without the steps."""
    del viewer
    secure = door.pages.secure_cookies
    hides = data.action == "hide"
    value, seconds = ("hidden", _YEAR_SECONDS) if hides else ("shown", 0)
    answer = Redirect("/" if hides else "/getting-started", status_code=303)
    answer.set_cookie(make_cookie(_COOKIE, value, secure=secure, seconds=seconds))
    return answer


getting_started_pages = [getting_started_page, getting_started_form]
