"""REST: a look at a computed trait: a preview before it is saved, who has which value, and where one comes from."""

from typing import Annotated, Any, Final

import msgspec
from litestar import get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import Meta

from richpanel.core.computed import Computation, read_computation, typed
from richpanel.core.membership import TraitPlan
from richpanel.core.money import encode_exact
from richpanel.core.reasons import MAX_EVENTS, History
from richpanel.core.timestamps import iso
from richpanel.core.windows import NEVER
from richpanel.store import judging
from richpanel.store.computations import ComputationRow
from richpanel.store.happenings import Happenings, Opener, person_of
from richpanel.store.members import ValueView, list_values, value_since
from richpanel.store.paging import Page
from richpanel.store.person import ProfileView
from richpanel.store.profile_rows import load
from richpanel.store.profiles import list_by_number
from richpanel.web.audience_definitions import find, told_by_place
from richpanel.web.audience_looks import EventView, shown_event, time_left
from richpanel.web.computed_traits import AskedTrait, given_of
from richpanel.web.customers import MovedTo, find_number, outward
from richpanel.web.paging import Identifier, Paged, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.stores import Reading, Stores

_API: Final = "/api/v1/%s/%s"


class AskedTraitPreview(AskedTrait, forbid_unknown_fields=True, kw_only=True):
    """A computed trait to be tried."""

    sample: Annotated[int, Meta(ge=0, le=100)] = 10


class SampleValue(msgspec.Struct):
    """Somebody, and the value that they would have now."""

    value: msgspec.Raw
    person: ProfileView


class TraitPreview(msgspec.Struct, kw_only=True):
    """How many customers would have a value now, by what is processed. `text` is the computed trait in one line.

    `exact` is false where there are more people than could be looked at in time: `looked` were, of `people`, taken from
    all over, and `count` is what they stand for. A count, sum or unique count of nothing is 0, which is no value here.
    """

    count: int
    exact: bool
    looked: int
    people: int
    text: str
    sample: list[SampleValue]


class WhyValue(msgspec.Struct, rename="camel", kw_only=True):
    """Somebody's value of a computed trait at `asOf`, and the newest events that count, by what is processed.

    `value` is null where there is none. `since` is from when on it is that, null where it is not known; `until` when
    time alone changes it, null where it does not.
    """

    value: msgspec.Raw
    since: str | None
    as_of: str
    until: str | None
    events: list[EventView]


@post("/traits/preview", operation_id="previewTrait", tags=["Computed traits"], status_code=200)
async def preview(stores: Given[Stores], data: JSONBody[AskedTraitPreview]) -> TraitPreview:
    """Tell how many customers would have a value, and some of them, before it is saved; nothing is changed.

    It takes five seconds at the most.
    """
    with told_by_place():
        what = read_computation(given_of(data), "")
    return await look_ahead_at(stores, what, data.sample)


async def look_ahead_at(stores: Stores, what: Computation, sample: int = 10) -> TraitPreview:
    """Look who would have a value."""
    return await stores.read(lambda reading: _preview(reading, what, sample))


def _preview(reading: Reading, what: Computation, sample: int) -> TraitPreview:
    plan = TraitPlan(what)
    found, values = judging.value_all(
        reading.state,
        plan,
        Opener(reading.state, reading.bodies, reading.sources, [plan]),
        now=reading.now,
        sample=sample,
        has_time=time_left(),
    )
    people = list_by_number(reading.state, reading.account, found.sample)
    return TraitPreview(
        count=found.reckoned,
        exact=found.exact,
        looked=found.looked,
        people=found.people,
        text=str(what),
        sample=[SampleValue(_raw(typed(values[each.profile])), outward(each)) for each in people],
    )


@get(
    "/traits/{trait_id:str}/values",
    operation_id="listTraitValues",
    tags=["Computed traits"],
    raises=[NotFoundException],
)
async def values(stores: Given[Stores], trait_id: Identifier, asked: Given[Paged]) -> Page[ValueView]:
    """List who has a value, by the version in force."""
    wanted = decode_id(trait_id)
    row = await stores.look_up(lambda conn: find(conn, "trait", wanted))
    plan = row.live

    def run(reading: Reading) -> Page[ValueView]:
        if plan is None:
            return Page([], None)
        return list_values(reading.state, reading.account, plan.number, cursor=asked.cursor, limit=asked.limit)

    found = await stores.read(lambda reading: answer_bad_values(lambda: run(reading)))
    return Page([msgspec.structs.replace(each, person=outward(each.person)) for each in found.data], found.next)


@get(
    "/customers/{uid:str}/traits/{trait_id:str}/why",
    operation_id="whyCustomerHasTrait",
    tags=["Computed traits"],
    raises=[NotFoundException, MovedTo],
)
async def why_value(stores: Given[Stores], uid: Identifier, trait_id: Identifier) -> WhyValue:
    """Tell a customer's value of a computed trait, and the events that it comes from. The trait goes by id or key."""
    person, wanted = decode_id(uid), decode_id(trait_id)
    row = await stores.look_up(lambda conn: find(conn, "trait", wanted))
    return await stores.read(lambda reading: why_value_of(reading, row, person))


def why_value_of(reading: Reading, row: ComputationRow, uid: str) -> WhyValue:
    """Tell where a customer's value comes from, by the newest version. Raises NotFoundException, MovedTo."""
    what = row.newest.defined.what
    if not isinstance(what, Computation):
        raise TypeError(f"{row.id} is no computed trait")
    number = find_number(reading, "customers", uid, f"{_API}/traits/{row.id}/why")
    plan = TraitPlan(what)
    events = [
        each
        for each in Happenings(reading.state, reading.bodies, reading.sources, plan).of(number)
        if each.t <= reading.now
    ]
    person = person_of(load(reading.state, [number])[number], ())
    history = History(events, person, reading.now, audiences={}, traits={})
    state = plan.empty()
    for each in events:
        plan.add(state, each)
    raw, until = plan.value(state, reading.now)
    since = None if row.live is None else value_since(reading.state, row.live.number, number)
    return WhyValue(
        value=_raw(typed(raw)),
        since=None if since is None else iso(since),
        as_of=iso(reading.now),
        until=None if until >= NEVER else iso(until),
        events=[shown_event(each) for each in history.counted(what.event, what.window)[-MAX_EVENTS:]],
    )


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(encode_exact(value))


trait_looks_api = [preview, values, why_value]
