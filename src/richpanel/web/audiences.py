"""REST: `/audiences`, who meets a condition, kept up to date and told (contract.md, "REST API"; decision 0025)."""

from typing import Annotated, Any, Literal

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Connection

from richpanel.core.condition_json import condition_json, read
from richpanel.core.defined import Problem
from richpanel.core.membership import Audience
from richpanel.core.money import encode_exact
from richpanel.core.timestamps import iso
from richpanel.store import memberships
from richpanel.store.computations import ComputationRow, Status, list_computations
from richpanel.store.members import MemberView, list_members, list_sizes, noted_sizes
from richpanel.store.paging import Page
from richpanel.store.plans import PlanRow
from richpanel.web import audience_definitions as definitions
from richpanel.web.access import AnyRequest, asker
from richpanel.web.audience_definitions import InUse, Wanted, exact, find, told_by_place
from richpanel.web.customers import outward
from richpanel.web.paging import Identifier, Listed, Paged, answer_bad_values
from richpanel.web.paths import decode_id
from richpanel.web.sources import Name
from richpanel.web.stores import Reading, Stores

Key = Annotated[str, Meta(min_length=1, max_length=128)]
Moved = Literal["live", "paused"]
_SIZES = 10_000
"""How many sizes are given: a week of minutes."""
_RAISES = [NotFoundException, InUse]


class NextVersion(msgspec.Struct, rename="camel"):
    """A version that is not live: how far its first run is, or why it failed: a code, and the reason in words."""

    version: int
    status: Literal["draft", "computing", "failed"]
    done: int
    total: int
    code: Problem | None
    problem: str | None


class BackfillView(msgspec.Struct):
    """A destination (its id) that was connected later: so many of all it is to know of were told to it by now."""

    destination: str
    done: int
    total: int | None


class Shown(msgspec.Struct, rename="camel", kw_only=True):
    """What audiences and computed traits have in common. `version` is the one in force, null before the first is.

    `text` is the definition in one line, of the newest version. `destinations`: null for all of the Engage source.
    `backfills` are those that go on.
    """

    id: str
    key: str
    name: str
    text: str
    status: Status
    version: int | None
    next: NextVersion | None
    destinations: list[str] | None
    track_calls: bool
    created_at: str
    paused_at: str | None
    backfills: list[BackfillView]


class AudienceView(Shown, rename="camel", kw_only=True):
    """An audience. `size` is how many are in, null before the first version is live; in a list, a minute old."""

    size: int | None
    condition: msgspec.Raw
    include_visitors: bool


class SizeView(msgspec.Struct):
    """How many were in, from when on."""

    at: str
    size: int


class NewAudience(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """An audience to add. Without `key` one is made of the name; a `draft` is not computed yet.

    `destinations` names those that are told, null (default) for all that the Engage source is connected to;
    `trackCalls` has `Audience Entered` and `Audience Exited` sent besides.
    """

    name: Name
    condition: Any
    key: Key | None = None
    include_visitors: bool = False
    destinations: list[str] | None = None
    track_calls: bool = False
    draft: bool = False


class AudiencePatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to change of an audience; what is left out stays. Another condition is a new version, computed beside.

    `status`: `paused` tells nobody any more, `live` goes on, starts a draft, and tries again what failed.
    """

    name: Name | UnsetType = UNSET
    condition: Any | UnsetType = UNSET
    key: Key | UnsetType = UNSET
    include_visitors: bool | UnsetType = UNSET
    destinations: list[str] | UnsetType | None = UNSET
    track_calls: bool | UnsetType = UNSET
    status: Moved | UnsetType = UNSET


def next_version(plan: PlanRow | None) -> NextVersion | None:
    """Show a version that is not live."""
    if plan is None or plan.status not in ("draft", "computing", "failed"):
        return None
    code, _, reason = (plan.problem or "").partition(": ")
    told = Problem(code) if code in list(Problem) else None
    problem = reason if told is not None else plan.problem
    return NextVersion(plan.version, plan.status, plan.done, plan.total, told, problem)


def backfills(row: ComputationRow) -> list[BackfillView]:
    """Show what destinations that are connected later are being told."""
    return [BackfillView(each.destination_id, each.done, each.total) for each in row.backfills]


def view(row: ComputationRow, size: int | None = None) -> AudienceView:
    """Show an audience of so many."""
    what = row.newest.defined.what
    if not isinstance(what, Audience):
        raise TypeError(f"{row.id} is no audience")
    return AudienceView(
        id=row.id,
        key=row.key,
        name=row.name,
        text=row.newest.fault or str(what.condition),
        status=row.status,
        version=None if row.live is None else row.live.version,
        next=next_version(row.next),
        destinations=None if row.destinations is None else list(row.destinations),
        track_calls=row.tracks,
        created_at=iso(row.created_at),
        paused_at=None if row.paused_at is None else iso(row.paused_at),
        backfills=backfills(row),
        size=None if row.live is None else size,
        condition=msgspec.Raw(encode_exact(condition_json(what.condition))),
        include_visitors=what.visitors,
    )


def _wanted(data: NewAudience | AudiencePatch) -> Wanted:
    return Wanted(
        kind="audience", name=data.name, key=data.key, destinations=data.destinations, track_calls=data.track_calls
    )


def _changed(row: ComputationRow, data: AudiencePatch) -> Audience | None:
    """Give what an audience is to be defined as; None where that stays."""
    before = row.newest.defined.what
    if not isinstance(before, Audience) or (data.condition is UNSET and data.include_visitors is UNSET):
        return None
    if data.condition is UNSET and row.newest.fault is not None:
        raise InUse("Its condition cannot be read: give another one.")
    condition = before.condition if data.condition is UNSET else read(exact(data.condition))
    return Audience(condition, before.visitors if data.include_visitors is UNSET else data.include_visitors)


def _counted(reading: Reading, row: ComputationRow) -> AudienceView:
    return view(row, None if row.live is None else memberships.count(reading.state, row.live.number))


@get("/audiences", operation_id="listAudiences", tags=["Audiences"])
async def list_all(stores: Given[Stores]) -> Listed[AudienceView]:
    """List the audiences."""
    noted = await stores.look_up(noted_sizes)
    rows = await stores.look_up(lambda conn: list_computations(conn, "audience"))
    return Listed([view(row, noted.get(row.number)) for row in rows])


@get("/audiences/{audience_id:str}", operation_id="getAudience", tags=["Audiences"], raises=[NotFoundException])
async def get_one(stores: Given[Stores], audience_id: Identifier) -> AudienceView:
    """Get an audience, by id or key."""
    wanted = decode_id(audience_id)
    row = await stores.look_up(lambda conn: find(conn, "audience", wanted))
    return await stores.read(lambda reading: _counted(reading, row))


@get(
    "/audiences/{audience_id:str}/members",
    operation_id="listAudienceMembers",
    tags=["Audiences"],
    raises=[NotFoundException],
)
async def members(stores: Given[Stores], audience_id: Identifier, asked: Given[Paged]) -> Page[MemberView]:
    """List who is in an audience, by the version in force."""
    wanted = decode_id(audience_id)
    row = await stores.look_up(lambda conn: find(conn, "audience", wanted))
    plan = row.live

    def run(reading: Reading) -> Page[MemberView]:
        if plan is None:
            return Page([], None)
        return list_members(reading.state, reading.account, plan.number, cursor=asked.cursor, limit=asked.limit)

    found = await stores.read(lambda reading: answer_bad_values(lambda: run(reading)))
    return Page([msgspec.structs.replace(each, person=outward(each.person)) for each in found.data], found.next)


@get(
    "/audiences/{audience_id:str}/sizes",
    operation_id="listAudienceSizes",
    tags=["Audiences"],
    raises=[NotFoundException],
)
async def list_of_sizes(stores: Given[Stores], audience_id: Identifier) -> Listed[SizeView]:
    """Tell how many were in an audience, oldest first: each size holds until the next. They are noted by the minute."""
    wanted = decode_id(audience_id)

    def look(conn: Connection) -> list[tuple[int, int]]:
        return list_sizes(conn, find(conn, "audience", wanted).number, _SIZES)

    return Listed([SizeView(iso(at), size) for at, size in await stores.look_up(look)])


@post("/audiences", operation_id="addAudience", tags=["Audiences"])
async def add(request: AnyRequest, stores: Given[Stores], data: JSONBody[NewAudience]) -> AudienceView:
    """Add an audience: it is computed for everybody, and everybody who is in is told once that is done."""
    with told_by_place():
        what = Audience(read(exact(data.condition)), data.include_visitors)
        return view(
            await stores.define(
                lambda conn: definitions.add(
                    conn, _wanted(data), what, draft=data.draft, now=stores.now(), by=asker(request)
                )
            )
        )


@patch("/audiences/{audience_id:str}", operation_id="updateAudience", tags=["Audiences"], raises=_RAISES)
async def update(
    request: AnyRequest, stores: Given[Stores], audience_id: Identifier, data: JSONBody[AudiencePatch]
) -> AudienceView:
    """Change an audience; the version before stays in force until the new one is computed."""
    wanted = decode_id(audience_id)

    def amend(conn: Connection) -> ComputationRow:
        now = stores.now()
        what = _changed(find(conn, "audience", wanted), data)
        row = definitions.change(conn, wanted, _wanted(data), what, now=now, by=asker(request))
        return row if data.status is UNSET else definitions.move(conn, row, data.status, now=now, by=asker(request))

    with told_by_place():
        return view(await stores.define(amend))


@delete("/audiences/{audience_id:str}", operation_id="deleteAudience", tags=["Audiences"], raises=_RAISES)
async def remove(stores: Given[Stores], audience_id: Identifier) -> None:
    """Delete an audience that no other asks for: nobody is told any more, and who was told keeps the last value.

    Its key is never used again.
    """
    wanted = decode_id(audience_id)
    await stores.define(lambda conn: definitions.remove(conn, "audience", wanted, now=stores.now()))


audiences_api = [list_all, get_one, members, list_of_sizes, add, update, remove]
