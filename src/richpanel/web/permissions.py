"""Which permission each route asks for: one table for the pages and the API, by path. The guard is in `web.guard`.

The longest rule that a path begins with holds, `*` stands for an id. What has no rule is the owners' alone, and a test
fails: a route is named here before anybody sees it.
"""

from functools import lru_cache
from typing import Final, Literal, NamedTuple

from richpanel.core.roles import May, Role, allows

API: Final = "/api/v1"
Open = Literal["everybody", "signed in"]
"""What needs no permission: "everybody" without a sign-in, "signed in" with any role."""
Needs = May | Open


class Rule(NamedTuple):
    """What it takes to look (GET) and to do (all else) at a path and below it."""

    see: Needs
    do: Needs


def _both(needs: Needs) -> Rule:
    return Rule(needs, needs)


_OPEN: Final = _both("everybody")
_OWN: Final = _both("signed in")
_ROOT: Final = Rule(May.OVERVIEW, May.OVERVIEW)
_CONNECTIONS: Final = Rule(May.CONNECTIONS, May.CONNECTIONS_CHANGE)

RULES: Final[dict[str, Rule]] = {
    "/": _ROOT,
    "/sign-in": _OPEN,
    "/sign-out": _OWN,
    "/static": _OPEN,
    "/favicon.ico": _OPEN,
    "/openapi.json": _OPEN,
    "/status": _ROOT,
    "/getting-started": _both(May.CONNECTIONS),
    "/customers": Rule(May.CUSTOMERS, May.CUSTOMERS_CHANGE),
    "/views": _both(May.CUSTOMERS),
    "/exports": _both(May.EXPORTS),
    "/visitors": Rule(May.CUSTOMERS, May.CUSTOMERS_CHANGE),
    "/channels": _both(May.CONVERSATIONS),
    "/audiences": Rule(May.AUDIENCES, May.AUDIENCES_CHANGE),
    "/audiences/new": _both(May.AUDIENCES_CHANGE),
    "/audiences/*/edit": _both(May.AUDIENCES_CHANGE),
    "/traits": Rule(May.AUDIENCES, May.AUDIENCES_CHANGE),
    "/traits/new": _both(May.AUDIENCES_CHANGE),
    "/traits/*/edit": _both(May.AUDIENCES_CHANGE),
    "/messages": _both(May.MESSAGES),
    "/messages/find": _both(May.MESSAGES),
    "/messages/*": Rule(May.MESSAGE, May.CUSTOMERS_CHANGE),
    "/settings": _OWN,
    "/settings/account": _OWN,
    "/settings/shop": _both(May.SETTINGS),
    "/settings/people": _both(May.PEOPLE),
    "/settings/tokens": _both(May.KEYS),
    "/settings/keys": _both(May.KEYS),
    "/settings/audit": _both(May.AUDIT),
    "/audit": _both(May.AUDIT),
    "/alarms": _CONNECTIONS,
    "/catalog": _CONNECTIONS,
    "/sources": _CONNECTIONS,
    "/sources/*/rotate": _both(May.KEYS),
    "/destinations": _CONNECTIONS,
    "/destinations/*/test": _both(May.CONNECTIONS_CHANGE),
    "/integrations": Rule(May.CONNECTIONS, May.KEYS),
    "/connectors": Rule(May.CONNECTIONS, May.KEYS),
    "/tokens": _both(May.KEYS),
    "/deliveries": Rule(May.DELIVERIES, May.REPLAYS),
    "/replays": Rule(May.DELIVERIES, May.REPLAYS),
    "/privacy": _both(May.PRIVACY),
    "/regulations": _both(May.PRIVACY),
    "/suppressions": _both(May.PRIVACY),
}
_SECTIONS_TO_START_AT: Final = ("/", "/customers")


@lru_cache(1_024)
def pattern(path: str) -> str:
    """Write a route's path as the rules do: `/api/v1/sources/{source_id}` as `/sources/*`."""
    parts = path.removeprefix(API).strip("/").split("/")
    return "/" + "/".join("*" if part.startswith("{") else part for part in parts)


@lru_cache(1_024)
def find_rule(path: str) -> Rule | None:
    """Find the rule of a route's path, such as `/api/v1/sources/{source_id}`; None where nobody has written one."""
    if pattern(path) == "/":
        return RULES["/"]
    segments = pattern(path).strip("/").split("/")
    for end in range(len(segments), 0, -1):
        found = RULES.get("/" + "/".join(segments[:end]))
        if found is not None:
            return found
    return None


def needed(method: str, path: str) -> Needs:
    """Tell what a request takes; a route without a rule takes what only owners have."""
    rule = find_rule(path)
    if rule is None:
        return May.SETTINGS
    return rule.see if method in ("GET", "HEAD") else rule.do


def sees(role: Role, path: str) -> bool:
    """Tell whether a role may open the page at a path."""
    needs = needed("GET", path)
    return not isinstance(needs, May) or allows(role, needs)


def home(role: Role) -> str:
    """Give the page that a role starts at."""
    return next(path for path in _SECTIONS_TO_START_AT if sees(role, path))
