"""The newest rebuild that is to be put in force: how far it is, or how it ended.

Whoever rebuilds tells it here, about once a second; nobody else needs it. Whether a rebuild is due stands apart from it
(`store.account.folded_with`).
"""

from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from richpanel.store.definitions import rebuild

Step = Literal["fold", "compare", "switch"]
SILENT_MS: Final = 120_000
"""Whoever tells nothing for so long was killed: no step of a rebuild takes so long."""


class RebuildRow(NamedTuple):
    """How far a rebuild is: of its step so much of `total` is done, None where nobody knows. Times are ms UTC.

    `problem` says why it ended without another state in force.
    """

    step: Step
    done: int
    total: int | None
    started_at: int
    told_at: int
    ended_at: int | None
    problem: str | None

    def runs(self, now: int) -> bool:
        """Tell whether it goes on, as far as one can know."""
        return self.ended_at is None and now - self.told_at < SILENT_MS

    @property
    def share(self) -> float | None:
        """How much of the step is done, 0 to 1; None where nobody knows."""
        return min(1.0, self.done / self.total) if self.total else None


def newest(conn: Connection) -> RebuildRow | None:
    """Give the newest one; None before the first."""
    row = conn.execute(select(*(rebuild.c[name] for name in RebuildRow._fields)).where(rebuild.c.id == 1)).first()
    return None if row is None else RebuildRow(*row)


def begin(conn: Connection, *, now: int) -> None:
    """Note that one begins, ms UTC. Whoever calls this holds what lets one run at a time."""
    conn.execute(delete(rebuild))
    conn.execute(insert(rebuild).values(id=1, step="fold", done=0, started_at=now, told_at=now))


def tell(conn: Connection, step: Step, done: int, total: int | None, *, now: int) -> None:
    """Note how far it is."""
    conn.execute(update(rebuild).values(step=step, done=done, total=total, told_at=now))


def end(conn: Connection, problem: str | None, *, now: int) -> None:
    """Note that it ended: well, or why not."""
    conn.execute(update(rebuild).values(ended_at=now, told_at=now, problem=problem))
