"""The state as people can read it: everyone, with timeline, sessions and orders, through the store's read functions."""

from collections.abc import Callable
from typing import Any

import msgspec

from richpanel.store import profiles
from richpanel.store.orders import list_orders
from richpanel.store.paging import Page
from richpanel.store.person import ProfileView
from richpanel.store.profiles import CustomerDetail
from richpanel.store.sessions import list_sessions
from richpanel.store.timeline import list_timeline
from tests.process.account import Account
from tests.process.reference import Who
from tests.process.reference_orders import place

FIELDS = (
    *("uid", "anonymousId", "email", "firstName", "name", "phone", "phoneE164", "createdAt", "customerSince"),
    *("lastSeen", "visits", "ordersCount", "ltv", "aov", "ltvByCurrency", "traits", "landingPageUrl", "lastPageUrl"),
    *("source", "medium", "campaign"),
)
ORDER_FIELDS = (
    *("orderId", "status", "total", "currency", "items", "refunds", "fulfillment", "placedAt", "updatedAt", "void"),
    *("net", "events"),
)
LIMIT = 1_000


def plain(value: object) -> Any:
    """A view as JSON has it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def people(account: Account, *, customers: bool, q: str | None = None, sort: str | None = None) -> list[ProfileView]:
    """All customers or visitors."""
    page: Page[ProfileView] = account.read(
        profiles.list_profiles, account.settings, customers=customers, q=q, sort=sort, cursor=None, limit=LIMIT
    )
    assert page.next is None
    return page.data


def detail(account: Account, view: ProfileView) -> CustomerDetail:
    """One person whole, found the way the pages find them."""
    find = profiles.find_customer if view.customer_since is not None else profiles.find_visitor
    found = account.read(find, account.settings, view.anonymous_id or view.uid)
    assert isinstance(found, CustomerDetail)
    assert found.profile == view.profile
    return found


def dump(account: Account) -> dict[Who, dict[str, Any]]:
    """Everyone, by the identity by which they are known."""
    everyone = [*people(account, customers=True), *people(account, customers=False)]
    return {
        (one.identities[0].type, one.identities[0].value): _one(account, one) for one in _details(account, everyone)
    }


def _details(account: Account, views: list[ProfileView]) -> list[CustomerDetail]:
    return [detail(account, view) for view in views]


def _one(account: Account, one: CustomerDetail) -> dict[str, Any]:
    shown = plain(one)
    timeline = paged(
        account, list_timeline, account.reader.slice, account.settings, account.sources, one.profile, limit=4
    )
    sessions = paged(account, list_sessions, one.profile, limit=2)
    orders = paged(account, list_orders, account.settings, one.profile, limit=1)
    return {
        **{field: shown[field] for field in FIELDS},
        "identities": sorted((each.type, each.value, each.linked_at) for each in one.identities),
        "timeline": [
            {key: entry[key] for key in ("id", "source", "timestamp", "type", "event", "sessionId")}
            for entry in plain(timeline)
        ],
        "sessions": plain(sessions)[::-1],
        "orders": [{field: order[field] for field in ORDER_FIELDS} for order in sorted(plain(orders), key=place)],
    }


def paged(account: Account, look: Callable[..., Page[Any]], *args: Any, limit: int) -> list[Any]:
    """A list read page by page."""
    page = account.read(look, *args, cursor=None, limit=limit)
    entries = list(page.data)
    while page.next is not None:
        page = account.read(look, *args, cursor=page.next, limit=limit)
        entries += page.data
    return entries


def customer(account: Account, uid: str) -> dict[str, Any]:
    """A customer, or somebody never identified, by uid."""
    return dump(account)[("uid", uid)]


def ids(shown: dict[str, Any]) -> list[str]:
    """What is on someone's timeline, oldest first: message ids, and what became of the person."""
    return [entry["id"] if entry["type"] != "became_customer" else "customer" for entry in reversed(shown["timeline"])]
