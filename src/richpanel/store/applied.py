"""What several workers have applied of a stream, whose records they finish in any order.

`progress.position` is the low-water mark: every record below it is applied. What is applied above it stands in
`applied`, as runs of records that follow each other, until the mark reaches them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection

from richpanel.store import progress, schema
from richpanel.store.bulk import delete, fetch, insert, run

Spanned = TypeVar("Spanned", bound=Sequence[Any])
"""A record: where it begins and ends, and perhaps more."""
Run = tuple[int, int]
"""Where the first of some records begins, and where the last of them ends."""
Following = Callable[[int], int]
"""Where the record begins that follows one which ends at a position, if there is one."""


def passed(connection: Connection, starts: Sequence[int]) -> set[int]:
    """Tell which of these records, by their starts, are applied already."""
    mark = progress.read(connection).position
    runs = fetch(connection, 'SELECT "first", "last" FROM applied')
    return {start for start in starts if start < mark or any(first <= start < last for first, last in runs)}


def in_turn(connection: Connection, records: Sequence[Spanned], following: Following) -> list[Spanned]:
    """Give the first of these records, in their order, as far as each follows the low-water mark or the one before."""
    mark = progress.read(connection).position
    found: list[Spanned] = []
    for record in records:
        if record[0] > following(mark):
            break
        found.append(record)
        mark = record[1]
    return found


def any_above(connection: Connection) -> bool:
    """Tell whether anything is applied above the low-water mark, which waits for a record below it."""
    return bool(fetch(connection, "SELECT 1 FROM applied LIMIT 1"))


def note(connection: Connection, runs: Iterable[Run], following: Following, arrived: tuple[int, int] = (0, 0)) -> int:
    """Note that these records are applied; give the low-water mark. The caller commits soon, for others wait.

    `arrived` is how many messages they brought, and when the newest of them came, ms UTC.
    """
    run(
        connection,
        "INSERT INTO progress (id, position, messages, received_at) VALUES (1, 0, 0, 0) ON CONFLICT DO NOTHING",
    )
    ((mark,),) = fetch(connection, "SELECT position FROM progress WHERE id = 1 FOR UPDATE")
    stored = {(first, last) for first, last in fetch(connection, 'SELECT "first", "last" FROM applied')}
    reached, left = _joined(mark, [*stored, *runs], following)
    delete(connection, schema.applied, [(first,) for first, _ in stored - left], keys=("first",))
    insert(connection, schema.applied, sorted(left - stored))
    messages, received_at = arrived
    run(
        connection,
        "UPDATE progress SET position = ?1, messages = messages + ?2, "
        "received_at = CASE WHEN received_at < ?3 THEN ?3 ELSE received_at END WHERE id = 1",
        *(reached, messages, received_at),
    )
    return reached


def _joined(mark: int, runs: Iterable[Run], following: Following) -> tuple[int, set[Run]]:
    """Move the mark over what follows it; give it, and what is left above it, joined where it follows each other."""
    left: list[Run] = []
    for first, last in sorted(runs):
        if first <= following(mark) or last <= mark:
            mark = max(mark, last)
        elif left and first <= following(left[-1][1]):
            left[-1] = (left[-1][0], max(left[-1][1], last))
        else:
            left.append((first, last))
    return mark, set(left)


def pass_over(connection: Connection, position: int, following: Following) -> int:
    """Move the mark to where the stream has nothing any more that is not applied; give where it is then."""
    return note(connection, [(0, position)], following)
