"""REST: a look at who an audience is of: a preview before it is saved, and why somebody is in it or not (row B6)."""

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import Meta
from sqlalchemy import Connection

from richpanel.core.condition_json import read
from richpanel.core.defined import Defined, gather
from richpanel.core.happened import Happened
from richpanel.core.membership import Audience, AudiencePlan
from richpanel.core.money import encode_exact
from richpanel.core.reasons import History, Reason
from richpanel.core.timestamps import iso
from richpanel.core.windows import NEVER
from richpanel.store import judging
from richpanel.store.computations import ComputationRow, list_computations, named
from richpanel.store.happenings import Happenings, Opener, person_of
from richpanel.store.members import of_profile
from richpanel.store.person import ProfileView
from richpanel.store.profile_rows import load
from richpanel.store.profiles import list_by_number
from richpanel.web.audience_definitions import check_condition, exact, find, told_by_place
from richpanel.web.customers import MovedTo, find_number, outward
from richpanel.web.paging import Identifier
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

SECONDS: Final = 5.0
"""How long a preview looks at people; what it has not seen by then it reckons."""
_API: Final = "/api/v1/%s/%s"


class AskedPreview(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A condition to be tried; `key` is that of the audience that is about to be changed, where it is one."""

    condition: Any
    include_visitors: bool = False
    key: str = ""
    sample: Annotated[int, Meta(ge=0, le=100)] = 10


class Preview(msgspec.Struct, rename="camel", kw_only=True):
    """Who would be in an audience now, by what is processed. `text` is the condition in one line.

    `exact` is false where there are more people than could be looked at in time: `looked` were, of `people`, taken from
    all over, and `count` is what they stand for.
    """

    count: int
    exact: bool
    looked: int
    people: int
    text: str
    sample: list[ProfileView]


class EventView(msgspec.Struct, rename="camel"):
    """An event that a reason names."""

    message_id: str
    source: str
    event: str
    timestamp: str
    properties: msgspec.Raw


class ReasonView(msgspec.Struct, kw_only=True):
    """A part of a condition: what it says, whether it holds, the value that decides, the newest events that count."""

    text: str
    holds: bool
    value: msgspec.Raw
    events: list[EventView]
    parts: list["ReasonView"]


class Why(msgspec.Struct, rename="camel", kw_only=True):
    """Whether somebody is in an audience at `asOf`, and why: by its newest version and what is processed.

    `since` is from when on that is so, null where it is not known; `until` when time alone changes it, null where it
    does not.
    """

    member: bool
    since: str | None
    as_of: str
    until: str | None
    reason: ReasonView


def _defined(conn: Connection, asked: AskedPreview) -> Defined:
    """Read and check a condition. Raises FaultyError."""
    what = Audience(read(exact(asked.condition)), asked.include_visitors)
    check_condition(conn, asked.key, what)
    return gather(what, *named(list_computations(conn)))


def _plan(defined: Defined) -> AudiencePlan:
    plan = defined.plan()
    if not isinstance(plan, AudiencePlan):
        raise TypeError("this is no audience")
    return plan


@post("/audiences/preview", operation_id="previewAudience", tags=["Audiences"], status_code=200)
async def preview(stores: Given[Stores], data: JSONBody[AskedPreview]) -> Preview:
    """Tell how many people would be in an audience, and some of them, before it is saved; nothing is changed.

    It takes five seconds at the most.
    """
    return await look_ahead(stores, data)


async def look_ahead(stores: Stores, asked: AskedPreview) -> Preview:
    """Look who would be in. Raises ValidationException, which names the place."""
    with told_by_place():
        defined = await stores.look_up(lambda conn: _defined(conn, asked))
    return await stores.read(lambda reading: _preview(reading, defined, asked))


def _preview(reading: Reading, defined: Defined, asked: AskedPreview) -> Preview:
    plan = _plan(defined)
    found = judging.judge_all(
        reading.state,
        plan,
        Opener(reading.state, reading.bodies, reading.sources, [plan]),
        customers_only=not asked.include_visitors,
        now=reading.now,
        sample=asked.sample,
        has_time=time_left(),
    )
    people = list_by_number(reading.state, reading.account, found.sample)
    return Preview(
        count=found.reckoned,
        exact=found.exact,
        looked=found.looked,
        people=found.people,
        text=_text(defined),
        sample=[outward(person) for person in people],
    )


def time_left() -> Callable[[float], bool]:
    """Give what tells whether less than a share of the time that a preview has is gone."""
    began = monotonic()
    return lambda share: monotonic() < began + share * SECONDS


def _text(defined: Defined) -> str:
    return str(defined.what.condition) if isinstance(defined.what, Audience) else str(defined.what)


@get(
    "/customers/{uid:str}/audiences/{audience_id:str}/why",
    operation_id="whyCustomerInAudience",
    tags=["Audiences"],
    raises=[NotFoundException, MovedTo],
)
async def why_customer(stores: Given[Stores], uid: Identifier, audience_id: Identifier) -> Why:
    """Tell why a customer is in an audience or not: each part of the condition, with the events and values that decide.

    The audience goes by its id or its key.
    """
    person, wanted = decode_id(uid), decode_id(audience_id)
    row = await stores.look_up(lambda conn: find(conn, "audience", wanted))
    return await stores.read(lambda reading: why_of(reading, row, person))


def why_of(reading: Reading, row: ComputationRow, uid: str) -> Why:
    """Tell why a customer is in an audience or not. Raises NotFoundException, MovedTo."""
    rest = f"/audiences/{row.id}/why"
    number = find_number(reading, "customers", uid, _API + rest)
    live = None if row.live is None else row.live.number
    return _why(reading, row.newest.defined, live, number)


def _why(reading: Reading, defined: Defined, live: int | None, number: int) -> Why:
    if not isinstance(defined.what, Audience):
        raise TypeError("this is no audience")
    plan = _plan(defined)
    profile = load(reading.state, [number])[number]
    person = person_of(profile, plan.keys)
    happenings = Happenings(reading.state, reading.bodies, reading.sources, plan)
    events = [each for each in happenings.of(number) if each.t <= reading.now]
    history = History(events, person, reading.now, audiences=defined.audiences, traits=defined.traits)
    reason = history.audience(defined.what)
    state = plan.empty()
    for each in events:
        plan.add(state, each)
    until = plan.judge(state, person, reading.now).until
    known = None if live is None else of_profile(reading.state, number, [live]).get(live)
    return Why(
        member=reason.holds,
        since=iso(known.since) if known is not None and known.member == reason.holds else None,
        as_of=iso(reading.now),
        until=None if until >= NEVER else iso(until),
        reason=_shown(reason),
    )


def _shown(reason: Reason) -> ReasonView:
    return ReasonView(
        text=reason.text,
        holds=reason.holds,
        value=_raw(reason.value),
        events=[shown_event(each) for each in reason.events],
        parts=[_shown(each) for each in reason.parts],
    )


def shown_event(each: Happened) -> EventView:
    """Show an event that decides."""
    t, message_id, source = each.stamp
    return EventView(message_id, source, each.name, iso(t), _raw(each.properties))


def _raw(value: Any | Mapping[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(encode_exact(value))


audience_looks_api = [preview, why_customer]
