"""Audiences and computed traits as people define them: read strictly, checked against each other, and written."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from litestar.exceptions import ClientException, NotFoundException, ValidationException
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection

from richpanel.core import references
from richpanel.core.announcing import Class
from richpanel.core.computation_keys import key_fault, key_of
from richpanel.core.defined import Definition
from richpanel.core.faults import Fault, FaultyError
from richpanel.core.membership import Audience
from richpanel.core.money import decode_exact
from richpanel.store import backfills, computations
from richpanel.store.computations import ComputationChanges, ComputationRow
from richpanel.store.definitions import changed
from richpanel.store.destinations import list_destinations

WORDS = {"audience": "audience", "trait": "computed trait"}


class InUse(ClientException):
    """Something else has to happen first."""

    status_code = 409


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be added, or changed; what is UNSET stays. Without a `key` one is made of the name."""

    kind: Class
    name: str | UnsetType = UNSET
    key: str | UnsetType | None = UNSET
    destinations: Sequence[str] | UnsetType | None = UNSET
    track_calls: bool | UnsetType = UNSET

    @property
    def changes(self) -> ComputationChanges:
        """Give what does not concern who is in."""
        return ComputationChanges(
            name=self.name,
            key=self.key or UNSET,
            destinations=self.destinations,
            tracks=self.track_calls,
        )


@contextmanager
def told_by_place() -> Iterator[None]:
    """Tell what is wrong with a definition by its place in the body."""
    try:
        yield
    except FaultyError as error:
        raise ValidationException(
            "The definition cannot be used: "
            + "; ".join(f"{each.field.lstrip('.')}: {each.text}" for each in error.faults),
            extra=[{"message": each.text, "key": each.field.lstrip("."), "source": "body"} for each in error.faults],
        ) from None


def exact(value: Any) -> Any:
    """Give a part of a body with decimals for what has come as floats: 0.1 is 0.1."""
    return decode_exact(msgspec.json.encode(value))


def find(conn: Connection, kind: Class, id: str) -> ComputationRow:
    """Find one by id or key. Raises NotFoundException."""
    row = computations.get_computation(conn, kind, id)
    if row is None:
        raise NotFoundException(f"There is no {WORDS[kind]} with this id.")
    return row


def add(conn: Connection, wanted: Wanted, what: Definition, *, draft: bool, now: int, by: str) -> ComputationRow:
    """Add one; `by` is who does, as for the others. Raises FaultyError."""
    changed(conn)  # Nobody else changes definitions from here on, so that what is checked stays so.
    key = wanted.key or key_of(str(wanted.name))
    faults = [key_fault(key, computations.used_keys(conn)), *_destination_faults(conn, wanted)]
    _check(conn, key, what, faults)
    changes = msgspec.structs.replace(wanted.changes, key=UNSET)
    return computations.add_computation(conn, wanted.kind, key, what, changes, draft=draft, now=now, by=by)


def change(conn: Connection, id: str, wanted: Wanted, what: Definition | None, *, now: int, by: str) -> ComputationRow:
    """Change one; another definition is a new version. Raises FaultyError, NotFoundException."""
    changed(conn)
    row = find(conn, wanted.kind, id)
    faults: list[Fault | None] = [*_destination_faults(conn, wanted)]
    if wanted.key and wanted.key != row.key:
        is_draft = row.newest.status == "draft"
        frozen = Fault("key", f"`{row.key}` is frozen since it is no draft any more.")
        faults.append(key_fault(wanted.key, computations.used_keys(conn)) if is_draft else frozen)
    _check(conn, wanted.key or row.key, what, faults)
    row = computations.change_computation(conn, row, wanted.changes)
    if row.destinations is not None:
        backfills.leave_others(conn, row.number, row.destinations, now=now)
    if what is not None and what != row.newest.defined.what:
        row = computations.redefine(conn, row, what, now=now, by=by)
    return row


def move(conn: Connection, row: ComputationRow, status: str, *, now: int, by: str) -> ComputationRow:
    """Pause one, or let it be computed or go on. Raises FaultyError, InUse."""
    if status == "live":
        _check(conn, row.key, row.newest.defined.what, [])
        return computations.start(conn, row, now=now, by=by)
    if row.newest.status == "draft":
        raise InUse("A draft is not computed, so it cannot be paused.")
    return computations.pause(conn, row, now=now)


def remove(conn: Connection, kind: Class, id: str, *, now: int) -> None:
    """Delete one that nobody asks for. Raises NotFoundException, InUse."""
    changed(conn)
    row = find(conn, kind, id)
    asking = [each.name for each in computations.asking(computations.list_computations(conn), row)]
    if asking:
        raise InUse(f"It is asked for by {', '.join(asking)}: change or delete that first.")
    computations.delete_computation(conn, row, now=now)


def check_condition(conn: Connection, key: str, what: Definition) -> None:
    """Check what a definition asks for. Raises FaultyError."""
    if isinstance(what, Audience):
        references.check(key, what.condition, *computations.named(computations.list_computations(conn)))


def _check(conn: Connection, key: str, what: Definition | None, faults: Sequence[Fault | None]) -> None:
    found = [fault for fault in faults if fault is not None]
    if what is not None:
        try:
            check_condition(conn, key, what)
        except FaultyError as error:
            found += error.faults
    if found:
        raise FaultyError(*found)


def _destination_faults(conn: Connection, wanted: Wanted) -> list[Fault]:
    if not wanted.destinations:
        return []
    known = {row.id for row in list_destinations(conn)}
    unknown = [(number, id_) for number, id_ in enumerate(wanted.destinations) if id_ not in known]
    return [Fault(f"destinations[{number}]", f"There is no destination `{id_}`.") for number, id_ in unknown]
