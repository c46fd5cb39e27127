"""REST: `/traits`, computed traits: a figure over somebody's events, kept up to date and told (contract.md)."""

from typing import Any, Final

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection

from richpanel.core.computed import Computation, Kind, computation_json, read_computation
from richpanel.core.money import encode_exact
from richpanel.core.timestamps import iso
from richpanel.store.computations import ComputationRow, list_computations
from richpanel.web import audience_definitions as definitions
from richpanel.web.access import AnyRequest, asker
from richpanel.web.audience_definitions import InUse, Wanted, exact, find, told_by_place
from richpanel.web.audiences import Key, Moved, Shown, backfills, next_version
from richpanel.web.paging import Identifier, Listed
from richpanel.web.paths import decode_id
from richpanel.web.sources import Name
from richpanel.web.stores import Stores

_RAISES = [NotFoundException, InUse]
_TEXTS: Final = ("kind", "event", "property")
_PARTS: Final = (*_TEXTS, "where", "within", "between", "before", "after")


class _Parts(msgspec.Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    property: str | UnsetType = UNSET
    where: Any | UnsetType = UNSET
    within: Any | UnsetType = UNSET
    between: Any | UnsetType = UNSET
    before: Any | UnsetType = UNSET
    after: Any | UnsetType = UNSET


class TraitView(Shown, rename="camel", kw_only=True):
    """A computed trait."""

    kind: Kind
    event: str
    property: str | UnsetType = UNSET
    where: msgspec.Raw | UnsetType = UNSET
    within: msgspec.Raw | UnsetType = UNSET
    between: msgspec.Raw | UnsetType = UNSET
    before: msgspec.Raw | UnsetType = UNSET
    after: msgspec.Raw | UnsetType = UNSET


class AskedTrait(_Parts, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What a computed trait computes."""

    kind: Kind
    event: str


class NewTrait(AskedTrait, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """A computed trait to add: of which kind, over which event and property, in which window.

    Without `key` one is made of the name; a `draft` is not computed yet; `trackCalls` has `Trait Computed` sent
    besides; `destinations` names those that are told, null (default) for all that the Engage source is connected to.
    """

    name: Name
    key: Key | None = None
    destinations: list[str] | None = None
    track_calls: bool = False
    draft: bool = False


class TraitPatch(_Parts, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """What to change of a computed trait; what is left out stays. Any of `kind`, `event` and what follows them names
    the whole computation anew, which is a new version, computed beside the one in force.

    `status`: `paused` tells nobody any more, `live` goes on, starts a draft, and tries again what failed.
    """

    name: Name | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    event: str | UnsetType = UNSET
    key: Key | UnsetType = UNSET
    destinations: list[str] | UnsetType | None = UNSET
    track_calls: bool | UnsetType = UNSET
    status: Moved | UnsetType = UNSET


def view(row: ComputationRow) -> TraitView:
    """Show a computed trait."""
    what = row.newest.defined.what
    if not isinstance(what, Computation):
        raise TypeError(f"{row.id} is no computed trait")
    parts: dict[str, Any] = {
        key: value if key in _TEXTS else msgspec.Raw(encode_exact(value))
        for key, value in computation_json(what).items()
    }
    return TraitView(
        id=row.id,
        key=row.key,
        name=row.name,
        text=row.newest.fault or str(what),
        status=row.status,
        version=None if row.live is None else row.live.version,
        next=next_version(row.next),
        destinations=None if row.destinations is None else list(row.destinations),
        track_calls=row.tracks,
        created_at=iso(row.created_at),
        paused_at=None if row.paused_at is None else iso(row.paused_at),
        backfills=backfills(row),
        **parts,
    )


def given_of(data: AskedTrait | TraitPatch) -> dict[str, Any]:
    """Give what of a computation is in a body, decoded."""
    given = {key: value for key in _PARTS if (value := getattr(data, key)) is not UNSET}
    return {key: value if key in _TEXTS else exact(value) for key, value in given.items()}


def _wanted(data: NewTrait | TraitPatch) -> Wanted:
    return Wanted(
        kind="trait", name=data.name, key=data.key, destinations=data.destinations, track_calls=data.track_calls
    )


@get("/traits", operation_id="listTraits", tags=["Computed traits"])
async def list_all(stores: Given[Stores]) -> Listed[TraitView]:
    """List the computed traits."""
    rows = await stores.look_up(lambda conn: list_computations(conn, "trait"))
    return Listed([view(row) for row in rows])


@get("/traits/{trait_id:str}", operation_id="getTrait", tags=["Computed traits"], raises=[NotFoundException])
async def get_one(stores: Given[Stores], trait_id: Identifier) -> TraitView:
    """Get a computed trait, by id or key."""
    wanted = decode_id(trait_id)
    return view(await stores.look_up(lambda conn: find(conn, "trait", wanted)))


@post("/traits", operation_id="addTrait", tags=["Computed traits"])
async def add(request: AnyRequest, stores: Given[Stores], data: JSONBody[NewTrait]) -> TraitView:
    """Add a computed trait: it is computed for everybody, and all values are told once that is done."""
    with told_by_place():
        what = read_computation(given_of(data), "")
        return view(
            await stores.define(
                lambda conn: definitions.add(
                    conn, _wanted(data), what, draft=data.draft, now=stores.now(), by=asker(request)
                )
            )
        )


@patch("/traits/{trait_id:str}", operation_id="updateTrait", tags=["Computed traits"], raises=_RAISES)
async def update(
    request: AnyRequest, stores: Given[Stores], trait_id: Identifier, data: JSONBody[TraitPatch]
) -> TraitView:
    """Change a computed trait; the version before stays in force until the new one is computed."""
    wanted = decode_id(trait_id)

    def amend(conn: Connection) -> ComputationRow:
        now = stores.now()
        row = definitions.change(conn, wanted, _wanted(data), what, now=now, by=asker(request))
        return row if data.status is UNSET else definitions.move(conn, row, data.status, now=now, by=asker(request))

    with told_by_place():
        given = given_of(data)
        what = read_computation(given, "") if given else None
        return view(await stores.define(amend))


@delete("/traits/{trait_id:str}", operation_id="deleteTrait", tags=["Computed traits"], raises=_RAISES)
async def remove(stores: Given[Stores], trait_id: Identifier) -> None:
    """Delete a computed trait that no audience asks for: who was told keeps the last value.

    Its key is never used again.
    """
    wanted = decode_id(trait_id)
    await stores.define(lambda conn: definitions.remove(conn, "trait", wanted, now=stores.now()))


computed_traits_api = [list_all, get_one, add, update, remove]
