"""Who may do what: the one table of roles and permissions, which the pages keep to (docs/reference/roles.md)."""

from enum import StrEnum
from typing import Final, Literal, get_args

Role = Literal["owner", "engineer", "marketer", "agent"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)


class May(StrEnum):
    """Something that a role sees or does."""

    OVERVIEW = "overview"
    CUSTOMERS = "customers"
    CUSTOMERS_CHANGE = "customers.change"
    EXPORTS = "exports"
    CONVERSATIONS = "conversations"
    AUDIENCES = "audiences"
    AUDIENCES_CHANGE = "audiences.change"
    MESSAGE = "message"
    MESSAGES = "messages"
    CONNECTIONS = "connections"
    CONNECTIONS_CHANGE = "connections.change"
    DELIVERIES = "deliveries"
    REPLAYS = "replays"
    KEYS = "keys"
    PRIVACY = "privacy"
    PEOPLE = "people"
    SETTINGS = "settings"
    AUDIT = "audit"


TEXTS: Final[dict[May, str]] = {
    May.OVERVIEW: "see the overview and how far the processing is",
    May.CUSTOMERS: "see customers and visitors, their timelines, orders, sessions and audiences",
    May.CUSTOMERS_CHANGE: "edit traits, link and unlink identities, undo a link",
    May.EXPORTS: "export lists of people",
    May.CONVERSATIONS: "write to somebody's timeline: channel messages",
    May.AUDIENCES: "see audiences and computed traits, who is in them and why",
    May.AUDIENCES_CHANGE: "make, edit, pause and delete audiences and computed traits",
    May.MESSAGE: "see one message with its trace, from a timeline",
    May.MESSAGES: "search all messages",
    May.CONNECTIONS: "see the catalog, sources, destinations, integrations and the debugger",
    May.CONNECTIONS_CHANGE: "add and change sources, destinations, filters and alarms; send test events",
    May.DELIVERIES: "see deliveries, their tries and replays",
    May.REPLAYS: "start and stop replays; retry, drop and send deliveries again",
    May.KEYS: "make, rotate and revoke API tokens, write keys and the connectors' keys",
    May.PRIVACY: "erase and suppress people, and see the receipts",
    May.PEOPLE: "add people, give them roles, disable them and reset their passwords",
    May.SETTINGS: "change the account's settings",
    May.AUDIT: "read the audit log",
}
"""What each means, as one reads it."""

_LOOK: Final = {May.CUSTOMERS, May.AUDIENCES, May.MESSAGE}
_WIRING: Final = {
    *(May.MESSAGES, May.CONNECTIONS, May.CONNECTIONS_CHANGE, May.DELIVERIES, May.REPLAYS, May.KEYS, May.PRIVACY),
}
GRANTS: Final[dict[Role, frozenset[May]]] = {
    "owner": frozenset(May),
    "engineer": frozenset({*_LOOK, *_WIRING, May.OVERVIEW, May.CUSTOMERS_CHANGE, May.EXPORTS, May.CONVERSATIONS}),
    "marketer": frozenset({*_LOOK, May.OVERVIEW, May.CUSTOMERS_CHANGE, May.EXPORTS, May.AUDIENCES_CHANGE}),
    "agent": frozenset({*_LOOK, May.CONVERSATIONS}),
}


def allows(role: Role, permission: May) -> bool:
    """Tell whether a role has a permission."""
    return permission in GRANTS[role]


def covers(maker: Role | None, role: Role | None) -> bool:
    """Tell whether who has one role may hand out another: no more than their own. None may do everything."""
    return maker is None or maker == "owner" or (role is not None and GRANTS[role] <= GRANTS[maker])


def who_may(permission: May) -> list[Role]:
    """List the roles that have a permission."""
    return [role for role in ROLES if allows(role, permission)]
