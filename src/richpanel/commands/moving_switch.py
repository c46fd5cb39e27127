"""The switch from files to a cluster: both sides agree on where the account is at every instant, also after a crash.

The mark in the data directory decides. Before it is set the files are the account, whose servers may start, and the
copy is nobody's. Once it is set no server starts on the files; the copy is put in force, here or when the command is
run again.
"""

import json
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from sqlalchemy import Connection, Engine

from richpanel.commands.moving_shown import Telling
from richpanel.commands.moving_sides import MoveError, Sides
from richpanel.config import FILE
from richpanel.store import copying, half_copy, moving_deliveries
from richpanel.store.account import account_name
from richpanel.store.database import reading
from richpanel.store.half_copy import HalfCopy
from richpanel.store.moved import Moved, moved, put, say_moved
from richpanel.store.moving import count
from richpanel.store.moving_account import copy_account, digest_of_account
from richpanel.store.moving_deliveries import copy_deliveries, digest_of_deliveries
from richpanel.store.row_digest import RowDigest


class VerifyError(MoveError):
    """What is there is not what was copied."""


def try_definitions(sides: Sides) -> None:
    """See that the definitions can be copied, and leave nothing of them. Raises VerifyError, DatabaseError."""
    with sides.definitions() as old, sides.opened("account") as new:
        _copied(old, new, lambda connection: connection.rollback())


def _copied(old: Engine, new: Engine, end: Callable[[Connection], None]) -> RowDigest:
    """Copy the definitions and hold them against their digest, in one transaction that ends as is said."""
    with old.connect() as source, new.connect() as target:
        target.begin()
        written = copy_account(source, target)
        if digest_of_account(target) != written:
            raise VerifyError("the definitions that were written are not those that were read")
        end(target)
    return written


def carry_deliveries(sides: Sides, place_of: Callable[[int], int], telling: Telling) -> dict[str, RowDigest]:
    """Copy what was delivered and what waits, once nobody delivers any more; give each table's digest.

    `place_of` tells where in the stream something is that was at a place of the log. Raises VerifyError, DatabaseError.
    """
    written: dict[str, RowDigest] = {}
    with copying.frozen(sides.old.delivery_url) as old, sides.opened("delivery") as new:
        for name in moving_deliveries.MOVES:
            with telling.task(f"copy {name}", count(old, name)) as show:
                written[name] = copy_deliveries(old, new, name, place_of, show)
        with reading(new) as connection, telling.task("verify", sum(each.rows for each in written.values())) as show:
            wrong = [name for name, each in written.items() if digest_of_deliveries(connection, name, show) != each]
    if wrong:
        raise VerifyError(f"what PostgreSQL holds of {', '.join(wrong)} is not what was copied")
    return written


def switch(sides: Sides, copy: HalfCopy, decided: Callable[[], None]) -> RowDigest:
    """Switch; the caller has both locks of the files, and everything else is there. Give the definitions' digest.

    `decided` is told once there is no way back: after an error from there on the command is run again. Raises
    DatabaseError, OSError, MoveError.
    """
    with sides.definitions(write=True) as old, old.begin():  # Nobody changes them from here on.
        try_definitions(sides)
        with sides.opened("account") as engine, engine.begin() as connection:
            half_copy.mark(connection, msgspec.structs.replace(copy, complete=True))
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        say_moved(sides.path, Moved(sides.new.databases, sides.log_name, at, copy.id))
        decided()
        return _put_in_force(sides)


def finish(sides: Sides, mark: Moved) -> bool:
    """Finish a switch that was interrupted once it was decided; False where it is done already. Raises MoveError."""
    with sides.opened("account") as engine, engine.connect() as connection:
        half = half_copy.find(connection)
        there = account_name(connection) if half is None else None
    with sides.definitions() as engine, engine.connect() as connection:
        account = account_name(connection)
    if half is not None and half.complete and half.id == mark.copy:
        _put_in_force(sides)
        return True
    if there is not None and there == account:
        point_to(sides)
        return False
    raise MoveError(
        f"the account has moved to {mark.database} at {mark.at} already, which {sides.new.databases} is not"
    )


def _put_in_force(sides: Sides) -> RowDigest:
    """Let the next server find the cluster, and let it start there."""
    point_to(sides)

    def end(connection: Connection) -> None:
        half_copy.put_in_force(connection)
        connection.commit()

    with sides.definitions() as old, sides.opened("account") as new:
        return _copied(old, new, end)


def point_to(sides: Sides) -> None:
    """Write both settings into richpanel.toml, in front of all else; it is readable by its owner alone. Raises
    OSError, MoveError.
    """
    path = sides.path / FILE
    wanted = {"database_url": sides.new.database_url, "log_url": sides.new.log_url}
    content = _read(path)
    given = tomllib.loads(content)
    if {name: given.get(name) for name in wanted} == wanted:
        return
    if wrong := sorted(given.keys() & wanted.keys()):
        raise MoveError(f"{path} has another {' and '.join(wrong)}: take that out, and run the same command again")
    lines = "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in wanted.items())
    put(path, (lines + content).encode())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def begun(sides: Sides) -> Moved | None:
    """Give the mark of a switch that was decided. Raises MoveError."""
    try:
        return moved(sides.path)
    except (OSError, ValueError) as error:
        raise MoveError(f"the mark of an earlier move cannot be read: {error}") from None
