"""Plans: the versions of audiences and computed traits, as the processing computes them (0025).

A plan is computing until all that came before its boundary is taken in, then live, in the place of the one before.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection

from richpanel.core.computed import Computation
from richpanel.core.conditions import AnyOf, Named
from richpanel.core.defined import Defined, PlanError, defined_json, read_defined
from richpanel.core.membership import Audience
from richpanel.store.bulk import LISTED, fetch, listed, run
from richpanel.store.definitions import changed

PlanStatus = Literal["draft", "computing", "live", "failed", "retired"]


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a computation; `number` is what the state's rows carry. Times are ms UTC.

    `fault` is why its definition cannot be read, and `defined` then stands for it, with nobody in.
    `boundary` is the newest message when its first run began, None before; `done` of `total` is how far that is.
    """

    number: int
    computation: int
    version: int
    defined: Defined
    status: PlanStatus
    boundary: int | None
    done: int
    total: int
    problem: str | None
    created_at: int
    live_at: int | None
    fault: str | None = None


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version as its history tells of it; times are ms UTC.

    `plan` is what it is defined as, and how it is. `made_by` is a login or the name of a token, None where that was not
    noted. `ended_at` is when another took its place, and `size` how many were in by then, or had a value.
    """

    plan: PlanRow
    made_by: str | None
    ended_at: int | None
    size: int | None


_PLANS: Final = (
    "SELECT number, computation, version, defined, status, boundary, done, total, problem, created_at, live_at, "
    "(SELECT kind FROM computations c WHERE c.number = plans.computation) FROM plans"
)
_NOBODY: Final = Defined(Audience(AnyOf(())))
_NOTHING: Final = Defined(Computation("count", Named("")))


def _row(row: Any) -> PlanRow:
    number, computation, version, text, status, boundary, done, total, problem, created_at, live_at, kind = row
    fault: str | None = None
    try:
        defined = read_defined(text)
    except PlanError as error:
        fault, defined = str(error), _NOTHING if kind == "trait" else _NOBODY
    return PlanRow(
        number=number,
        computation=computation,
        version=version,
        defined=defined,
        fault=fault,
        status=status,
        boundary=boundary,
        done=done,
        total=total,
        problem=problem,
        created_at=created_at,
        live_at=live_at,
    )


def in_use(conn: Connection) -> dict[int, list[PlanRow]]:
    """Give the plans that are not retired, by the number of their computation, the newest version last."""
    found: dict[int, list[PlanRow]] = {}
    for row in fetch(conn, f"{_PLANS} WHERE status <> 'retired' ORDER BY number"):
        plan = _row(row)
        found.setdefault(plan.computation, []).append(plan)
    return found


def versions(conn: Connection, computation: int, limit: int) -> list[Version]:
    """Give the newest versions of a computation, those that are retired, too, the newest first."""
    query = _PLANS.replace(" FROM plans", ", made_by, retired_at, size FROM plans")
    rows = fetch(conn, f"{query} WHERE computation = ? ORDER BY version DESC LIMIT ?", computation, limit)
    return [Version(plan=_row(row[:-3]), made_by=row[-3], ended_at=row[-2], size=row[-1]) for row in rows]


def add(
    conn: Connection, computation: int, defined: Defined, status: PlanStatus, now: int, *, by: str | None = None
) -> None:
    """Add the next version of a computation, which somebody made: a login, or the name of a token."""
    found = fetch(conn, "SELECT coalesce(max(version), 0) FROM plans WHERE computation = ?", computation)
    run(
        conn,
        "INSERT INTO plans (computation, version, defined, status, done, total, created_at, made_by) "
        "VALUES (?, ?, ?, ?, 0, 0, ?, ?)",
        *(computation, found[0][0] + 1, defined_json(defined), status, now, by),
    )


def add_again(conn: Connection, plan: PlanRow, now: int, *, by: str | None = None) -> None:
    """Add the next version of a computation with what another one is defined as, whether it can be read or not."""
    run(
        conn,
        "INSERT INTO plans (computation, version, defined, status, done, total, created_at, made_by) "
        "SELECT computation, (SELECT max(version) + 1 FROM plans WHERE computation = ?), defined, 'computing', 0, 0, "
        "?, ? FROM plans WHERE number = ?",
        *(plan.computation, now, by, plan.number),
    )


def retire(conn: Connection, numbers: Iterable[int], now: int) -> None:
    """Take plans out of use; the state is still to be rid of them (`unswept`)."""
    run(
        conn,
        f"UPDATE plans SET status = 'retired', retired_at = ? WHERE number IN {LISTED}",
        *(now, listed(numbers)),
    )


def begin(conn: Connection, number: int, *, boundary: int, total: int) -> None:
    """Note up to which message, and how much of that, a plan's first run reads."""
    run(
        conn,
        "UPDATE plans SET boundary = ?, total = ?, done = 0 WHERE number = ? AND boundary IS NULL",
        *(boundary, total, number),
    )
    changed(conn)


def advance(conn: Connection, number: int, done: int) -> None:
    """Note how far a first run is."""
    run(conn, "UPDATE plans SET done = ? WHERE number = ? AND status = 'computing'", done, number)


def go_live(conn: Connection, numbers: Iterable[int], *, now: int, sizes: Mapping[int, int] | None = None) -> None:
    """Put plans whose first run is over in the place of those before them, all at once.

    `sizes` says how many those before had at the end, by their numbers.
    """
    for number, size in (sizes or {}).items():
        run(conn, "UPDATE plans SET size = ? WHERE number = ? AND status = 'live'", size, number)
    for number in numbers:
        found = fetch(conn, "SELECT computation FROM plans WHERE number = ? AND status = 'computing'", number)
        if found:
            run(
                conn,
                "UPDATE plans SET status = 'retired', retired_at = ? WHERE computation = ? AND status = 'live'",
                *(now, found[0][0]),
            )
            run(conn, "UPDATE plans SET status = 'live', live_at = ?, done = total WHERE number = ?", now, number)
    changed(conn)


def fail(conn: Connection, number: int, problem: str) -> None:
    """Note why a plan cannot be computed; the one before stays in force."""
    run(
        conn,
        "UPDATE plans SET status = 'failed', problem = ? WHERE number = ? AND status IN ('computing', 'live')",
        *(problem, number),
    )
    changed(conn)


def unswept(conn: Connection) -> list[int]:
    """Give the numbers of retired plans of which the state may still have rows."""
    query = "SELECT number FROM plans WHERE status = 'retired' AND swept_at IS NULL ORDER BY number"
    return [row[0] for row in fetch(conn, query)]


def swept(conn: Connection, number: int, *, now: int) -> None:
    """Note that the state has no rows of a retired plan any more."""
    run(conn, "UPDATE plans SET swept_at = ? WHERE number = ? AND status = 'retired'", now, number)
    changed(conn)
