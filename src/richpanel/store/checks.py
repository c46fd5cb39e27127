"""Checks: when a plan's memberships were last counted again from all stored messages, and what came of it (0025)."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.store import schema
from richpanel.store.bulk import fetch, insert

SAMPLE: Final = 10
"""How many of those who differed are noted."""


class CheckRow(NamedTuple):
    """A check: when it began and ended (ms UTC; None where it did not), how many were looked at, and who differed.

    `sample` has some of those who differed, by number of profile.
    """

    began: int
    ended: int | None
    looked: int
    differing: int
    sample: Sequence[int]


def begun(connection: Connection) -> dict[int, tuple[int, bool]]:
    """Give when each plan's last check began, ms UTC, and whether it ended."""
    rows = fetch(connection, "SELECT plan, began, ended FROM checks")
    return {plan: (began, ended is not None) for plan, began, ended in rows}


def last(connection: Connection, plan: int) -> CheckRow | None:
    """Give a plan's last check."""
    statement = "SELECT began, ended, looked, differing, sample FROM checks WHERE plan = ?"
    for began, ended, looked, differing, sample in fetch(connection, statement, plan):
        return CheckRow(began, ended, looked, differing, msgspec.json.decode(sample, type=list[int]))
    return None


def summary(connection: Connection) -> tuple[int, int, int | None]:
    """Sum the plans' last checks that ended: how many, how many memberships differed, when the first began, ms."""
    (row,) = fetch(
        connection, "SELECT count(*), coalesce(sum(differing), 0), min(began) FROM checks WHERE ended IS NOT NULL"
    )
    return int(row[0]), int(row[1]), row[2]


def begin(connection: Connection, plans: Iterable[int], now: int) -> None:
    """Note that plans are being checked."""
    note(connection, {plan: CheckRow(now, None, 0, 0, ()) for plan in plans})


def note(connection: Connection, rows: dict[int, CheckRow]) -> None:
    """Note what came of checks so far, by plan."""
    written = [
        (plan, row.began, row.ended, row.looked, row.differing, msgspec.json.encode(row.sample[:SAMPLE]).decode())
        for plan, row in sorted(rows.items())
    ]
    insert(connection, schema.checks, written, replace=True)
