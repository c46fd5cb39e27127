"""REST: `/sources`, where messages come from (contract.md, "Bodies")."""

from typing import Annotated, Final, Literal

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Connection

from richpanel.core.timestamps import iso
from richpanel.store.sources import (
    ADDABLE_TYPES,
    SourceChanges,
    SourceRow,
    add_source,
    delete_source,
    get_source,
    list_sources,
    rotate_write_key,
    update_source,
)
from richpanel.web.paging import Identifier, Listed
from richpanel.web.paths import decode_id
from richpanel.web.stores import Stores

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"[^\s\x00-\x1f\x85\ufeff]")]
"""At least one character that shows; what dialects of `\\s` disagree on is named."""
Rate = Annotated[int, Meta(ge=1, le=1_000_000, description="Calls a second; null for no limit.")]
Mode = Literal["cloud"]
"""How a source connects to Richpanel. Device-mode is refused everywhere (mission row S2)."""


MAX_OVERLAP: Final = 30 * 86_400


class RetiredWriteKeyView(msgspec.Struct, rename="camel"):
    """A write key of before a rotation, and until when it works."""

    key: str
    ends_at: str


class SourceView(msgspec.Struct, rename="camel", omit_defaults=True):
    """A source. `identitySecret` is answered when identity verification is turned on, and never again.

    `retired` has the write keys of before a rotation that still work.
    """

    id: str
    name: str
    type: Literal["web", "mobile", "server", "segment", "channel", "engage"]
    enabled: bool
    write_key: str | None
    write_keys: list[str]
    rate_limit: int | None
    identity_verification: bool
    created_at: str
    retired: list[RetiredWriteKeyView]
    identity_secret: str | UnsetType = UNSET


class NewSource(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A source to add."""

    name: Name
    type: Literal["web", "mobile", "server"]
    enabled: bool = True
    rate_limit: Rate | None = None
    identity_verification: bool = False
    mode: Mode = "cloud"


class SourcePatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What to change of a source; what is left out stays."""

    name: Name | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    rate_limit: Rate | UnsetType | None = UNSET
    identity_verification: bool | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """Which write key to rotate, and for how long the old one works beside the new one."""

    key: Annotated[str, Meta(max_length=100, description="One of `writeKeys`.")]
    overlap: Annotated[int, Meta(ge=0, le=MAX_OVERLAP, description="Seconds; 0 stops it at once.")] = 86_400


def source_view(row: SourceRow, now: int, *, with_secret: bool = False) -> SourceView:
    """Show a source; its secret only where the request has just asked for one. `now` is ms UTC."""
    secret = row.identity_secret if with_secret and row.identity_secret else UNSET
    return SourceView(
        id=row.id,
        name=row.name,
        type=row.type,
        enabled=row.enabled,
        write_key=row.write_keys[0] if row.write_keys else None,
        write_keys=list(row.write_keys),
        rate_limit=row.rate_limit,
        identity_verification=row.identity_secret is not None,
        created_at=iso(row.created_at),
        retired=[RetiredWriteKeyView(old.key, iso(old.ends_at)) for old in row.retired if old.ends_at > now],
        identity_secret=secret,
    )


def _unknown() -> NotFoundException:
    return NotFoundException("There is no source with this id.")


@get("/", operation_id="listSources")
async def list_all(stores: Given[Stores]) -> Listed[SourceView]:
    """List the sources."""
    rows = await stores.look_up(list_sources)
    return Listed([source_view(row, stores.now()) for row in rows])


@get("/{source_id:str}", operation_id="getSource", raises=[NotFoundException])
async def get_one(stores: Given[Stores], source_id: Identifier) -> SourceView:
    """Get a source."""
    wanted = decode_id(source_id)
    row = await stores.look_up(lambda conn: get_source(conn, wanted))
    if row is None:
        raise _unknown()
    return source_view(row, stores.now())


@post("/", operation_id="addSource")
async def add(stores: Given[Stores], data: JSONBody[NewSource]) -> SourceView:
    """Add a source; its write key lets messages in within a second."""
    changes = SourceChanges(
        enabled=data.enabled, rate_limit=data.rate_limit, identity_verification=data.identity_verification
    )
    row = await stores.define(
        lambda conn: update_source(conn, add_source(conn, data.name, data.type, now=stores.now()).id, changes)
    )
    if row is None:
        raise _unknown()
    return source_view(row, stores.now(), with_secret=data.identity_verification)


@patch("/{source_id:str}", operation_id="updateSource", raises=[NotFoundException])
async def update(stores: Given[Stores], source_id: Identifier, data: JSONBody[SourcePatch]) -> SourceView:
    """Change a source."""
    wanted = decode_id(source_id)
    changes = SourceChanges(
        name=data.name,
        enabled=data.enabled,
        rate_limit=data.rate_limit,
        identity_verification=data.identity_verification,
    )
    row = await stores.define(lambda conn: update_source(conn, wanted, changes))
    if row is None:
        raise _unknown()
    return source_view(row, stores.now(), with_secret=data.identity_verification is True)


@post("/{source_id:str}/rotate", operation_id="rotateWriteKey", status_code=200, raises=[NotFoundException])
async def rotate(stores: Given[Stores], source_id: Identifier, data: JSONBody[Rotation]) -> SourceView:
    """Issue a write key in the place of one; the old one works for `overlap` seconds more, and is refused then."""
    wanted, now = decode_id(source_id), stores.now()
    until = now + data.overlap * 1_000 if data.overlap else None

    def change(conn: Connection) -> SourceRow | None:
        row = get_source(conn, wanted)
        if row is None or rotate_write_key(conn, row.number, data.key, keep_until=until, now=now) is None:
            return None
        return get_source(conn, wanted)

    row = await stores.define(change)
    if row is None:
        raise NotFoundException("There is no source with this id and write key.")
    return source_view(row, now)


class BuiltIn(HTTPException):
    """The account or a connector needs this source."""

    status_code = 409


@delete("/{source_id:str}", operation_id="deleteSource", raises=[NotFoundException, BuiltIn])
async def remove(stores: Given[Stores], source_id: Identifier) -> None:
    """Delete a source: its write keys stop; what it sent stays.

    The source of a connector or of the channels cannot be deleted, only disabled.
    """
    wanted = decode_id(source_id)
    row = await stores.look_up(lambda conn: get_source(conn, wanted))
    if row is None:
        raise _unknown()
    if row.type not in ADDABLE_TYPES:
        raise BuiltIn("This source belongs to the account and cannot be deleted; it can be disabled.")
    await stores.define(lambda conn: delete_source(conn, wanted, now=stores.now()))


sources_api = Router("/sources", route_handlers=[list_all, get_one, add, update, rotate, remove], tags=["Sources"])
