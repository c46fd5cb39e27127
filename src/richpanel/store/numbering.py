"""Numbers of messages and identities: who writes a state alone counts; several take theirs from the database.

Numbers that were taken are given to nobody else, also where the transaction is rolled back. Who takes some later, on
any machine, gets greater ones.
"""

from typing import Protocol

from sqlalchemy import Connection

from richpanel.store import identities, progress
from richpanel.store.bulk import fetch


class Numbers(Protocol):
    """Gives numbers that nobody had before."""

    def messages(self, connection: Connection, count: int) -> int:
        """Take so many numbers of messages; give the first, the others follow it."""

    def identities(self, connection: Connection, count: int) -> int:
        """Take so many numbers of identities; give the first, the others follow it."""


class Counting:
    """For one who writes a state alone: where a transaction fails, its numbers are given again."""

    def __init__(self, connection: Connection) -> None:
        """Go on behind the last ones: the newest message may have been taken away."""
        self.last_message = progress.read(connection).messages
        self.last_identity = identities.last_number(connection)

    def messages(self, _connection: Connection, count: int) -> int:
        """Take numbers of messages (`Numbers.messages`)."""
        self.last_message += count
        return self.last_message - count + 1

    def identities(self, _connection: Connection, count: int) -> int:
        """Take numbers of identities (`Numbers.identities`)."""
        self.last_identity += count
        return self.last_identity - count + 1


class Taking:
    """For each of several who write a state, which is PostgreSQL's."""

    def messages(self, connection: Connection, count: int) -> int:
        """Take numbers of messages (`Numbers.messages`)."""
        return _take(connection, "message_numbers", count)

    def identities(self, connection: Connection, count: int) -> int:
        """Take numbers of identities (`Numbers.identities`)."""
        return _take(connection, "identity_numbers", count)


def _take(connection: Connection, sequence: str, count: int) -> int:
    if not count:
        return 0
    return int(fetch(connection, f"SELECT take_numbers('{sequence}', ?)", count)[0][0])
