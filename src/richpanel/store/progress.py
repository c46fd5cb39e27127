"""Progress: how far the log is applied, written in the transaction that applies it."""

import msgspec
from sqlalchemy import Connection

from richpanel.store.bulk import fetch, run


class Progress(msgspec.Struct):
    """`position`: end of the last applied record. `messages`: the newest message's number. `received_at`: ms UTC."""

    position: int
    messages: int
    received_at: int


def read(connection: Connection) -> Progress:
    """Read how far the log is applied."""
    rows = fetch(connection, "SELECT position, messages, received_at FROM progress WHERE id = 1")
    return Progress(*rows[0]) if rows else Progress(0, 0, 0)


def advance(connection: Connection, position: int, messages: int, received_at: int) -> None:
    """Note that every record before `position` is applied."""
    run(
        connection,
        "INSERT INTO progress (id, position, messages, received_at) VALUES (1, ?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET position = excluded.position, messages = excluded.messages, received_at = "
        "CASE WHEN excluded.received_at > progress.received_at THEN excluded.received_at ELSE progress.received_at END",
        *(position, messages, received_at),
    )
