"""Filters of the customers and the visitors, as parameters of the page, of the API and of an export."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar.exceptions import NotFoundException
from msgspec import UNSET, Meta, UnsetType

from richpanel.core.terms import TERMS_PATTERN, read_terms
from richpanel.store.profiles import list_profiles
from richpanel.store.selecting import MOST_LOOKED, Selected, Selection, select
from richpanel.store.views import People
from richpanel.web.paging import Paged, answer_bad_values, bad_parameter
from richpanel.web.stores import Reading

Search = Annotated[str, Meta(description="Words of the name, the email, the phone or the uid, from their start.")]
Sort = Literal["lastSeen", "-lastSeen", "createdAt", "-createdAt", "name", "-name", "ltv", "-ltv"]
VisitorSort = Literal["lastSeen", "-lastSeen", "createdAt", "-createdAt", "ltv", "-ltv"]
Presence = Literal["exists", "missing"]
_A_DAY: Final = r"(?:19[7-9]|20\d)\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_CLOCK: Final = r"T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?Z?"
_WHEN: Final = re.compile(f"({_A_DAY})({_CLOCK})?")
_AMOUNT: Final = re.compile(r"-?\d{1,15}(?:\.\d{1,6})?")
Day = Annotated[
    str,
    Meta(
        description="A day, which counts whole, or an instant (ISO 8601, UTC).",
        extra_json_schema={"pattern": f"^{_A_DAY}(?:{_CLOCK})?$"},
    ),
]
Money = Annotated[
    str,
    Meta(description="An amount in the account's currency.", extra_json_schema={"pattern": f"^{_AMOUNT.pattern}$"}),
]
Count = Annotated[int, Meta(ge=0, le=1 << 53)]
Terms = Annotated[
    str,
    Meta(
        max_length=1_000,
        description="Conditions on traits and fields, all of which hold: `plan=gold; points>=10; city~port; !phone`.",
        extra_json_schema={"pattern": f"^{TERMS_PATTERN}$"},
    ),
]


class Filters(Paged, kw_only=True):
    """Which customers, or visitors."""

    q: Search | None = None
    sort: Annotated[Sort, Meta(description="A minus sign: descending.")] = "-lastSeen"
    email: Presence | UnsetType = UNSET
    phone: Presence | UnsetType = UNSET
    created_from: Day | None = msgspec.field(name="createdFrom", default=None)
    created_to: Day | None = msgspec.field(name="createdTo", default=None)
    seen_from: Day | None = msgspec.field(name="seenFrom", default=None)
    seen_to: Day | None = msgspec.field(name="seenTo", default=None)
    orders_min: Count | UnsetType = msgspec.field(name="ordersMin", default=UNSET)
    orders_max: Count | UnsetType = msgspec.field(name="ordersMax", default=UNSET)
    visits_min: Count | UnsetType = msgspec.field(name="visitsMin", default=UNSET)
    visits_max: Count | UnsetType = msgspec.field(name="visitsMax", default=UNSET)
    ltv_min: Money | None = msgspec.field(name="ltvMin", default=None)
    ltv_max: Money | None = msgspec.field(name="ltvMax", default=None)
    audience: Annotated[str, Meta(description="The key of an audience that they are in.")] | None = None
    where: Terms | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The filters that are set, by their names as parameters; the search and the order are not among them."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {name: plain[name] for name in FILTERS if plain.get(name) is not None and str(plain[name]).strip()}


class VisitorFilters(Filters, kw_only=True):
    """Which visitors."""

    q: Annotated[str, Meta(description="A visitor's whole id.")] | None = None
    sort: Annotated[VisitorSort, Meta(description="A minus sign: descending. By `ltv`: those who have any.")] = (
        "-lastSeen"
    )


_DAY_MS: Final = 86_400_000
FILTERS: Final = tuple(
    field.encode_name for field in msgspec.structs.fields(Filters) if field.name not in ("q", "sort", "limit", "cursor")
)


def find(
    reading: Reading, people: People, asked: Filters, *, cursor: str | None, limit: int, most: int = MOST_LOOKED
) -> Selected:
    """Read a page of the customers, or visitors, who are asked for. Raises ValidationException."""
    if not asked.given:
        page = answer_bad_values(
            lambda: list_profiles(
                reading.state,
                reading.account,
                customers=people == "customers",
                q=asked.q,
                sort=asked.sort,
                cursor=cursor,
                limit=limit,
            )
        )
        return Selected(page.data, page.next, len(page.data), True)
    wanted = selection(reading, people, asked)
    return answer_bad_values(
        lambda: select(reading.state, reading.account, wanted, sort=asked.sort, cursor=cursor, limit=limit, most=most)
    )


def selection(reading: Reading, people: People, asked: Filters) -> Selection:
    """Make of parameters what is wanted. Raises ValidationException, which names the parameter."""
    try:
        terms = read_terms(asked.where or "")
    except ValueError as error:
        raise bad_parameter("where", str(error)) from None
    return Selection(
        q=(asked.q or "").strip() or None,
        email=None if asked.email is UNSET else asked.email == "exists",
        phone=None if asked.phone is UNSET else asked.phone == "exists",
        created=(_instant("createdFrom", asked.created_from), _instant("createdTo", asked.created_to, end=True)),
        seen=(_instant("seenFrom", asked.seen_from), _instant("seenTo", asked.seen_to, end=True)),
        orders=(_set(asked.orders_min), _set(asked.orders_max)),
        visits=(_set(asked.visits_min), _set(asked.visits_max)),
        ltv=(_amount("ltvMin", asked.ltv_min), _amount("ltvMax", asked.ltv_max)),
        plan=None if asked.audience is None else _plan(reading, asked.audience),
        terms=terms,
        customers=people == "customers",
    )


def _set(given: int | UnsetType) -> int | None:
    return None if given is UNSET else given


def _plan(reading: Reading, key: str) -> int:
    plans: Mapping[str, int] = {
        row.key: row.live.number for row in reading.known.computations if row.live and row.kind == "audience"
    }
    if key not in plans:
        raise NotFoundException(f"There is no audience with the key {key[:80]} that is computed.")
    return plans[key]


def _instant(name: str, given: str | None, *, end: bool = False) -> int | None:
    """Read a day or an instant; days that a month does not have are those of the next one."""
    if given is None:
        return None
    found = _WHEN.fullmatch(given)
    if found is None:
        raise bad_parameter(name, "This is neither a day (2026-03-31) nor an instant (2026-03-31T12:00:00Z).")
    day, clock = found.groups()
    month = datetime.fromisoformat(f"{day[:8]}01{(clock or 'T00:00').rstrip('Z')}").replace(tzinfo=UTC)
    instant = month + timedelta(days=int(day[8:]) - 1)
    return int(instant.timestamp() * 1000) + (_DAY_MS - 1 if end and clock is None else 0)


def _amount(name: str, given: str | None) -> Decimal | None:
    if given is None:
        return None
    if _AMOUNT.fullmatch(given) is None:
        raise bad_parameter(name, "This is no amount.")
    return Decimal(given)
