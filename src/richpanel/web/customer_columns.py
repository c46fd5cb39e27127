"""Columns of the lists of people: which there are, and what stands in them, on the page and in a file."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from richpanel.store.person import ProfileView
from richpanel.store.views import People
from richpanel.web.activity import text_of

MOST_COLUMNS: Final = 20
TRAIT: Final = "trait:"
COLUMNS: Final = {
    "lastSeen": "Last seen",
    "createdAt": "First seen",
    "customerSince": "Customer since",
    "visits": "Visits",
    "ordersCount": "Orders",
    "ltv": "Lifetime value",
    "aov": "Average order",
    "uid": "User id",
    "email": "Email",
    "firstName": "First name",
    "lastName": "Last name",
    "phone": "Phone",
    "landingPageUrl": "Landing page",
    "lastPageUrl": "Last page",
    "source": "Source",
    "medium": "Medium",
    "campaign": "Campaign",
    "deviceType": "Device",
    "browserName": "Browser",
    "osName": "System",
}
"""By the names that the API has for them."""
USUAL: Final[dict[People, tuple[str, ...]]] = {
    "customers": ("lastSeen", "createdAt", "visits", "ordersCount", "ltv"),
    "visitors": ("lastSeen", "lastPageUrl", "deviceType", "visits"),
}
_FIELDS: Final = {field.encode_name: field.name for field in msgspec.structs.fields(ProfileView)}
_MONEY: Final = ("ltv", "aov")
_COUNTS: Final = ("visits", "ordersCount")
_TIMES: Final = {"lastSeen": "ago", "createdAt": "day", "customerSince": "day"}
_SORTED: Final = ("lastSeen", "createdAt", "ltv")


class Column(NamedTuple):
    """A column. `shape` says how its values are written; `sorts` whether the list can be ordered by it."""

    name: str
    label: str
    shape: str
    sorts: bool

    @property
    def is_number(self) -> bool:
        """Whether its values stand at the end of their cells."""
        return self.shape in ("money", "count")

    def of(self, person: ProfileView) -> Any:
        """Give a person's value; of a trait as a person reads it, None where there is none."""
        if self.name.startswith(TRAIT):
            raw = person.traits.get(self.name.removeprefix(TRAIT))
            return None if raw is None else text_of(bytes(raw))
        return getattr(person, _FIELDS[self.name])


def read_columns(given: str | None, people: People) -> tuple[Column, ...]:
    """Read the names of columns, apart by commas; what is no column is left out. None: the usual ones of the list."""
    names = list(USUAL[people]) if given is None else given.split(",")
    wanted = dict.fromkeys(name.strip() for name in names)
    return tuple(_column(name) for name in wanted if _is_column(name))[:MOST_COLUMNS]


def _is_column(name: str) -> bool:
    return name in COLUMNS or (name.startswith(TRAIT) and len(name) > len(TRAIT))


def _column(name: str) -> Column:
    if name in COLUMNS:
        shape = "money" if name in _MONEY else "count" if name in _COUNTS else _TIMES.get(name, "text")
        return Column(name, COLUMNS[name], shape, name in _SORTED)
    return Column(name, name.removeprefix(TRAIT), "text", False)


def traits_of(people: Sequence[ProfileView], most: int = 100) -> list[str]:
    """Give the names of the traits that these people have, for whoever chooses among them."""
    return sorted({key for person in people for key in person.traits})[:most]
