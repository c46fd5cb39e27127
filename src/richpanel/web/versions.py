"""Versions of audiences and computed traits: who made each when, how it is defined, and what differs from before."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from sqlalchemy import Connection

from richpanel.core.announcing import Class
from richpanel.core.membership import Audience
from richpanel.core.timestamps import iso
from richpanel.store.plans import PlanStatus, Version, versions
from richpanel.web.audience_definitions import find
from richpanel.web.paging import Identifier, Listed
from richpanel.web.paths import decode_id
from richpanel.web.stores import Stores

MOST: Final = 100
"""So many versions are listed, the newest."""
_WORDS: Final = re.compile(r"\s+|[,;:()]|[^\s,;:()]+")
Mark = Literal["same", "new", "gone"]


class Part(NamedTuple):
    """A piece of a definition in one line: as in the version before, new, or gone since."""

    mark: Mark
    text: str


class VersionView(msgspec.Struct, rename="camel", kw_only=True):
    """A version. `text` is its definition in one line; `madeBy` a login or a token's name, null where none was noted.

    `liveAt`: from when on it was in force, null where it never was; `endedAt`: when another took its place. `size` is
    how many were in by then, or had a value. `asked` tells that it is there since what it asks for was changed.
    """

    version: int
    status: PlanStatus
    text: str
    made_at: str
    made_by: str | None
    live_at: str | None
    ended_at: str | None
    size: int | None
    asked: bool


class Shown(NamedTuple):
    """A version with its definition in pieces, marked by what differs from the version before."""

    version: VersionView
    parts: Sequence[Part]


def differing(before: str, after: str) -> list[Part]:
    """Mark what differs between two definitions in one line, word by word.

    Words that differ one after the other are one piece: that all have spaces between them says nothing.
    """
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    found: list[Part] = []
    gone, come = "", ""

    def note() -> None:
        pieces: tuple[tuple[Mark, str], ...] = (("gone", gone), ("new", come))
        found.extend(Part(mark, text) for mark, text in pieces if text)

    for way, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        was, now = "".join(old[i:j]), "".join(new[k:m])
        if way != "equal" or (now.isspace() and (gone or come)):
            gone, come = gone + was, come + now
            continue
        note()
        gone, come = "", ""
        found.append(Part("same", now))
    note()
    return found


def read_versions(conn: Connection, kind: Class, id: str) -> list[Shown]:
    """Read the versions of an audience or computed trait, the newest first. Raises NotFoundException."""
    found = versions(conn, find(conn, kind, id).number, MOST + 1)
    shown = []
    for number, each in enumerate(found[:MOST]):
        before = found[number + 1] if number + 1 < len(found) else None
        text = _text(each)
        was = text if before is None else _text(before)
        asked = before is not None and was == text and before.plan.defined != each.plan.defined
        shown.append(Shown(_view(each, text, asked=asked), differing(was, text)))
    return shown


def _text(each: Version) -> str:
    what = each.plan.defined.what
    if each.plan.fault is not None:
        return each.plan.fault
    if isinstance(what, Audience):
        return f"{what.condition}, visitors too" if what.visitors else str(what.condition)
    return str(what)


def _view(each: Version, text: str, *, asked: bool) -> VersionView:
    plan = each.plan
    return VersionView(
        version=plan.version,
        status=plan.status,
        text=text,
        made_at=iso(plan.created_at),
        made_by=each.made_by,
        live_at=None if plan.live_at is None else iso(plan.live_at),
        ended_at=None if each.ended_at is None else iso(each.ended_at),
        size=each.size,
        asked=asked,
    )


async def _listed(stores: Stores, kind: Class, raw_id: str) -> Listed[VersionView]:
    wanted = decode_id(raw_id)
    return Listed([each.version for each in await stores.look_up(lambda conn: read_versions(conn, kind, wanted))])


@get(
    "/audiences/{audience_id:str}/versions",
    operation_id="listAudienceVersions",
    tags=["Audiences"],
    raises=[NotFoundException],
)
async def audience_versions(stores: Given[Stores], audience_id: Identifier) -> Listed[VersionView]:
    """List the newest hundred versions of an audience, the newest first."""
    return await _listed(stores, "audience", audience_id)


@get(
    "/traits/{trait_id:str}/versions",
    operation_id="listTraitVersions",
    tags=["Computed traits"],
    raises=[NotFoundException],
)
async def trait_versions(stores: Given[Stores], trait_id: Identifier) -> Listed[VersionView]:
    """List the newest hundred versions of a computed trait, the newest first."""
    return await _listed(stores, "trait", trait_id)


versions_api = [audience_versions, trait_versions]
