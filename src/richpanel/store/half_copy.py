"""The mark of an account that is being copied into PostgreSQL: no server may run on it before it is whole.

While the mark stands the copy is nobody's yet, and may be made anew; who takes it away puts the copy in force.
"""

import msgspec
from sqlalchemy import Connection

from richpanel.store.bulk import fetch, on_postgres, run


class HalfCopyError(ValueError):
    """The database holds a copy of an account that is not whole, or not in force yet."""


class HalfCopy(msgspec.Struct, frozen=True, rename="camel"):
    """What is being copied: `id` is this attempt's, `account` tells the account apart from others.

    `stream` is the name of the stream that its records go to, `stream_made` says since when there is one of that name.
    `complete`: all is there and verified; what is left is to say so where it came from.
    """

    id: str
    account: str
    stream: str
    stream_made: str
    complete: bool = False


_decode = msgspec.json.Decoder(HalfCopy).decode


def find(connection: Connection) -> HalfCopy | None:
    """Give the mark in the schema `account`, None where there is none."""
    if not on_postgres(connection) or fetch(connection, "SELECT to_regclass('half_copy')")[0][0] is None:
        return None
    rows = fetch(connection, "SELECT data FROM half_copy")
    return _decode(rows[0][0]) if rows else None


def mark(connection: Connection, copy: HalfCopy) -> None:
    """Set the mark, or replace it."""
    connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS half_copy (id integer PRIMARY KEY, data text NOT NULL)")
    run(
        connection,
        "INSERT INTO half_copy (id, data) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data",
        msgspec.json.encode(copy).decode(),
    )


def put_in_force(connection: Connection) -> None:
    """Take the mark away."""
    connection.exec_driver_sql("DROP TABLE half_copy")


def refuse(connection: Connection) -> None:
    """Let nobody use half a copy. Raises HalfCopyError."""
    if find(connection) is not None:
        raise HalfCopyError(
            "an account is being copied into it (`richpanel migrate-to` or `richpanel restore`), and is not whole yet: "
            "wait until that command is done, or run it again where it was stopped"
        )
