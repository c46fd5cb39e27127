"""Audiences and computed traits as they are set up; each version of one is a plan (`store.plans`).

A key is frozen once it is no draft any more, and never used again: what is deleted keeps its row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection

from richpanel.core.announcing import Class
from richpanel.core.computed import Computation
from richpanel.core.defined import Definition, gather
from richpanel.core.membership import Audience
from richpanel.core.references import dependants
from richpanel.store import plans
from richpanel.store.backfills import BackfillRow, running
from richpanel.store.bulk import fetch, run
from richpanel.store.definitions import changed, new_id
from richpanel.store.plans import PlanRow
from richpanel.store.sources import SourceRow, add_source, list_sources

Status = Literal["draft", "computing", "live", "paused", "failed"]
ENGAGE: Final = "engage"
"""The type of the source that tells who entered and left."""
_PREFIXES: Final[Mapping[Class, str]] = {"audience": "aud", "trait": "trt"}


class ComputationRow(msgspec.Struct, frozen=True, kw_only=True):
    """An audience or computed trait. `live` is the plan in force, `next` a newer one: computing, failed, or a draft.

    `destinations` are the ids of those that are told, None for all that the Engage source is connected to.
    """

    number: int
    id: str
    kind: Class
    key: str
    name: str
    destinations: tuple[str, ...] | None
    tracks: bool
    created_at: int
    paused_at: int | None
    live: PlanRow | None
    next: PlanRow | None
    newest: PlanRow
    backfills: tuple[BackfillRow, ...] = ()
    """What goes on of what destinations that are connected later are told."""

    @property
    def status(self) -> Status:
        """Where it is in its life."""
        if self.paused_at is not None:
            return "paused"
        if self.live is not None:
            return "live"
        status = self.newest.status
        return "draft" if status == "draft" else "failed" if status == "failed" else "computing"


class Ended(NamedTuple):
    """A computation that is deleted: what was told of it becomes plain traits."""

    number: int
    id: str
    key: str


class Named(NamedTuple):
    """What all audiences and computed traits are defined as now, by their keys."""

    audiences: dict[str, Audience]
    traits: dict[str, Computation]


class ComputationChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a computation; what is left UNSET stays. A key can be changed while it is a draft."""

    name: str | UnsetType = UNSET
    key: str | UnsetType = UNSET
    destinations: Sequence[str] | UnsetType | None = UNSET
    tracks: bool | UnsetType = UNSET


_ROWS: Final = "SELECT number, id, kind, key, name, destinations, tracks, created_at, paused_at FROM computations"


def _row(row: Any, versions: Sequence[PlanRow], filling: Sequence[BackfillRow]) -> ComputationRow:
    number, id_, kind, key, name, destinations, tracks, created_at, paused_at = row
    by_status = {plan.status: plan for plan in versions}
    return ComputationRow(
        number=number,
        id=id_,
        kind=kind,
        key=key,
        name=name,
        destinations=None if destinations is None else tuple(msgspec.json.decode(destinations)),
        tracks=bool(tracks),
        created_at=created_at,
        paused_at=paused_at,
        live=by_status.get("live"),
        next=next((by_status[each] for each in ("draft", "computing", "failed") if each in by_status), None),
        newest=versions[-1],
        backfills=tuple(filling),
    )


def list_computations(conn: Connection, kind: Class | None = None) -> list[ComputationRow]:
    """List the audiences and computed traits, or one kind of them, by number; what is deleted is not among them."""
    versions = plans.in_use(conn)
    rows = fetch(conn, f"{_ROWS} WHERE deleted_at IS NULL ORDER BY number")
    filling = running(conn)
    found = [_row(row, versions[row[0]], [each for each in filling if each.computation == row[0]]) for row in rows]
    return [row for row in found if kind in (None, row.kind)]


def get_computation(conn: Connection, kind: Class, id: str) -> ComputationRow | None:
    """Find one by its id, or its key, as long as it is not deleted."""
    found = [row for row in list_computations(conn, kind) if id in (row.id, row.key)]
    return found[0] if found else None


def named(rows: Iterable[ComputationRow]) -> Named:
    """Give what they are defined as, each in its newest version; drafts cannot be asked for."""
    audiences: dict[str, Audience] = {}
    traits: dict[str, Computation] = {}
    for row in rows:
        what = row.newest.defined.what
        if row.newest.status == "draft" or row.newest.fault is not None:
            continue
        if isinstance(what, Audience):
            audiences[row.key] = what
        else:
            traits[row.key] = what
    return Named(audiences, traits)


def all_computations(conn: Connection) -> dict[str, int]:
    """Number all audiences and computed traits that there ever were, by id."""
    return {row[0]: row[1] for row in fetch(conn, "SELECT id, number FROM computations")}


def used_keys(conn: Connection) -> set[str]:
    """Give all keys that there ever were."""
    return {row[0] for row in fetch(conn, "SELECT key FROM computations")}


def keys_in_use(conn: Connection) -> dict[str, tuple[int, int | None]]:
    """Give all keys, each with when it was made, and when deleted (None where it is not), ms UTC."""
    rows = fetch(conn, "SELECT key, created_at, deleted_at FROM computations")
    return {key: (start, end) for key, start, end in rows}


def engage_source(conn: Connection, *, now: int) -> SourceRow:
    """Give the source that tells of audiences and computed traits; it is made with the first of them."""
    found = next((row for row in list_sources(conn) if row.type == ENGAGE), None)
    return found or add_source(conn, "Engage", ENGAGE, now=now)


def add_computation(
    conn: Connection,
    kind: Class,
    key: str,
    what: Definition,
    changes: ComputationChanges,
    *,
    draft: bool,
    now: int,
    by: str | None = None,
) -> ComputationRow:
    """Add an audience or computed trait whose key and definition are checked; computed from now on, unless a draft.

    `by` is who makes it, as for each version: a login, or the name of a token.
    """
    engage_source(conn, now=now)
    defined = gather(what, *named(list_computations(conn)))
    id_ = new_id(_PREFIXES[kind])
    run(
        conn,
        "INSERT INTO computations (id, kind, key, name, tracks, created_at) VALUES (?, ?, ?, ?, ?, ?)",
        *(id_, kind, key, key, False, now),
    )
    (number,) = fetch(conn, "SELECT number FROM computations WHERE id = ?", id_)[0]
    plans.add(conn, number, defined, "draft" if draft else "computing", now, by=by)
    _set(conn, number, changes)
    changed(conn)
    return _get(conn, number)


def change_computation(conn: Connection, row: ComputationRow, changes: ComputationChanges) -> ComputationRow:
    """Change what does not concern who is in."""
    _set(conn, row.number, changes)
    changed(conn)
    return _get(conn, row.number)


def redefine(
    conn: Connection, row: ComputationRow, what: Definition, *, now: int, by: str | None = None
) -> ComputationRow:
    """Give a computation another definition, checked: a new version beside the live one, and one of who asks for it.

    A draft stays one.
    """
    everything = list_computations(conn)
    if row.newest.status == "draft":
        plans.retire(conn, [row.newest.number], now)
        plans.add(conn, row.number, gather(what, *named(everything)), "draft", now, by=by)
    else:
        before = named(everything)
        after = Named({**before.audiences}, {**before.traits})
        if isinstance(what, Audience):
            after.audiences[row.key] = what
        else:
            after.traits[row.key] = what
        _recompute(conn, row, what, after, now=now, by=by)
        for other in asking(everything, row):
            _recompute(conn, other, other.newest.defined.what, after, now=now, by=by)
    changed(conn)
    return _get(conn, row.number)


def asking(everything: Iterable[ComputationRow], row: ComputationRow) -> list[ComputationRow]:
    """Give the audiences that ask for this computation, themselves or through others; drafts are not among them."""
    rows = [each for each in everything if each.newest.status != "draft" and each.number != row.number]
    if row.kind == "trait":
        return [each for each in rows if row.key in each.newest.defined.traits]
    known = dependants(row.key, named([*rows, row]).audiences)
    return [each for each in rows if each.kind == "audience" and each.key in known]


def _recompute(
    conn: Connection, row: ComputationRow, what: Definition, among: Named, *, now: int, by: str | None
) -> None:
    if row.next is not None:
        plans.retire(conn, [row.next.number], now)
    plans.add(conn, row.number, gather(what, *among), "computing", now, by=by)


def start(conn: Connection, row: ComputationRow, *, now: int, by: str | None = None) -> ComputationRow:
    """Let a draft be computed, what failed be tried again, and what is paused go on."""
    if row.next is not None and row.next.fault is not None:
        plans.retire(conn, [row.next.number], now)
        plans.add_again(conn, row.next, now, by=by)
    elif row.next is not None and row.next.status in ("draft", "failed"):
        _recompute(conn, row, row.next.defined.what, named(list_computations(conn)), now=now, by=by)
    run(conn, "UPDATE computations SET paused_at = NULL WHERE number = ?", row.number)
    changed(conn)
    return _get(conn, row.number)


def pause(conn: Connection, row: ComputationRow, *, now: int) -> ComputationRow:
    """Let nobody be told any more; who is in goes on being kept."""
    run(conn, "UPDATE computations SET paused_at = ? WHERE number = ? AND paused_at IS NULL", now, row.number)
    changed(conn)
    return _get(conn, row.number)


def delete_computation(conn: Connection, row: ComputationRow, *, now: int) -> None:
    """Delete one that nobody asks for: what was told is still to become plain traits (`ended`). Its key stays used."""
    plans.retire(conn, [plan.number for plan in (row.live, row.next) if plan is not None], now)
    run(conn, "UPDATE computations SET deleted_at = ? WHERE number = ? AND deleted_at IS NULL", now, row.number)
    changed(conn)


def ended(conn: Connection) -> list[Ended]:
    """Give what is deleted. How far what was told has become plain traits, the state tells (`process.leaving`)."""
    query = "SELECT number, id, key FROM computations WHERE deleted_at IS NOT NULL ORDER BY number"
    return [Ended(*row) for row in fetch(conn, query)]


def release(conn: Connection, number: int, *, now: int) -> None:
    """Note that all that was told of what is deleted has become plain traits."""
    run(conn, "UPDATE computations SET released_at = ? WHERE number = ? AND released_at IS NULL", now, number)


def _get(conn: Connection, number: int) -> ComputationRow:
    return next(row for row in list_computations(conn) if row.number == number)


def _set(conn: Connection, number: int, changes: ComputationChanges) -> None:
    given = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if given.get("destinations") is not None:
        given["destinations"] = msgspec.json.encode(list(given["destinations"])).decode()
    for column, value in given.items():
        run(conn, f"UPDATE computations SET {column} = ? WHERE number = ?", value, number)
