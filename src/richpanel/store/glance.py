"""A glance: the few things that the front looks at in both databases, by the engine's driver alone.

The front is to be small, and ready at once when it starts again amid traffic: SQLAlchemy would be a fifth of its memory
(13 MB) and a quarter of its start (0.1 s), for five short questions.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from richpanel.store.delivery_waiting import Waiting
from richpanel.store.delivery_waiting import waiting as deliveries_waiting
from richpanel.store.driver import Unreadable as Unreadable
from richpanel.store.driver import file_at, sqlite3

_BUSY_SECONDS: Final = 10.0
_CACHE_KIB: Final = 512


class SourceKeys(NamedTuple):
    """A source that is not deleted, and what opens it: write keys, or its connector's API Key (`store.sources`).

    `secrets` are its connector's API Secrets, sealed (`store.secrets`). `ends_at` is when one of its keys stops to work
    by itself (ms UTC), or 0.
    """

    id: str
    name: str
    type: str
    enabled: bool
    keys: tuple[str, ...]
    rate_limit: int | None
    identity_secret: str | None
    secrets: tuple[str, ...]
    ends_at: int = 0


class Database(Protocol):
    """One of the two, opened when it is first asked, and again after an error. Every method raises Unreadable."""

    def ask(self, question: str) -> list[Any]:
        """Give all rows of a query."""

    def ask_all(self, *questions: str) -> list[list[Any]]:
        """Give all rows of each query, as of one moment."""

    def write(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        """Run a statement (with `?`) for each row, in one transaction."""

    def close(self) -> None:
        """Close it."""


def open_glance(directory: Path, database_url: str | None) -> "Glance":
    """Look into the databases of a data directory, or of a cluster."""
    if database_url is None:
        return Glance(*(File(directory / f"{name}.db") for name in ("account", "state", "delivery")))
    from richpanel.store.glance_postgres import Schema  # Loaded where it is used.

    return Glance(*(Schema(database_url, name) for name in ("account", "state", "delivery")))


def secret_opener(directory: Path, key: str | None) -> Callable[[str], str | None]:
    """Give what reads a sealed secret, None where it cannot: the key is another, or there is none.

    Few fronts are ever asked: what opens them, 6 MB, is loaded at the first one.
    """

    def read(sealed: str) -> str | None:
        from richpanel.store.secrets import SecretKeyError, open_secrets  # Loaded where it is used.

        try:
            return open_secrets(directory, key).open(sealed)
        except (SecretKeyError, OSError):
            return None

    return read


class DeliveryGlance:
    """Reads what waits to be delivered, and the figures of what was."""

    def __init__(self, delivery: Database) -> None:
        self._delivery = delivery

    def waiting(self, destinations: Iterable[int]) -> list[Waiting]:
        """Tell what waits to be delivered to each of these destinations, by number."""
        return deliveries_waiting(self._delivery.ask, destinations)

    def results(self) -> list[tuple[int, int, str, int]]:
        """Count what came of deliveries and tries: destination's number, status, code, number."""
        return self._delivery.ask(
            "SELECT destination, status, code, sum(count) FROM figures WHERE status > 0 "
            "GROUP BY destination, status, code"
        )

    def latencies(self) -> list[tuple[int, int, int]]:
        """Count how long deliveries took: destination's number, bucket (`core.latencies`), number."""
        return self._delivery.ask("SELECT destination, bucket, sum(count) FROM latencies GROUP BY destination, bucket")


class Glance:
    """Reads the databases; any thread may ask. Every method raises Unreadable."""

    def __init__(self, account: Database, state: Database, delivery: Database) -> None:
        self._account = account
        self._state = state
        self._delivery = delivery
        self.deliveries: Final = DeliveryGlance(delivery)

    def close(self) -> None:
        """Close them."""
        self._account.close()
        self._state.close()
        self._delivery.close()

    def definitions_version(self) -> int:
        """Give the number that grows with every change to the definitions."""
        found = self._account.ask("SELECT version FROM account WHERE id = 1")
        return int(found[0][0]) if found else 0

    def sources(self, now: int = 0) -> list[SourceKeys]:
        """List the sources by number, with the keys that work at `now`, ms UTC."""
        keys: defaultdict[int, list[str]] = defaultdict(list)
        secrets: defaultdict[int, list[str]] = defaultdict(list)
        sources, write_keys, api_keys, retired = self._account.ask_all(
            "SELECT number, id, name, type, enabled, rate_limit, identity_verification, identity_secret FROM sources "
            "WHERE deleted_at IS NULL ORDER BY number",
            "SELECT source, key, ends_at FROM write_keys WHERE revoked_at IS NULL "
            f"AND (ends_at IS NULL OR ends_at > {now:d}) ORDER BY created_at, key",
            "SELECT source, api_key, api_secret FROM connectors WHERE deleted_at IS NULL",
            "SELECT c.source, r.api_key, r.api_secret, r.ends_at FROM retired_keys r JOIN connectors c "
            f"ON c.number = r.connector WHERE c.deleted_at IS NULL AND r.ends_at > {now:d} ORDER BY r.ends_at DESC",
        )
        ends: defaultdict[int, list[int]] = defaultdict(list)
        for source, key, ends_at in write_keys:
            keys[source].append(key)
            ends[source] += () if ends_at is None else (int(ends_at),)
        for source, key, sealed in api_keys:
            keys[source].append(key)
            secrets[source].append(sealed)
        for source, key, sealed, ends_at in retired:
            keys[source].append(key)
            secrets[source].append(sealed)
            ends[source].append(int(ends_at))
        return [
            SourceKeys(
                *(id, name, type, bool(enabled), tuple(keys[number]), rate),
                *(secret if verified else None, tuple(secrets[number]), min(ends[number], default=0)),
            )
            for number, id, name, type, enabled, rate, verified, secret in sources
        ]

    def outside(self) -> dict[int, str]:
        """Give the ids of the destinations that are not the built-in account, deleted ones too, by number."""
        return dict(self._account.ask("SELECT number, id FROM destinations WHERE endpoint <> 'account'"))

    def source_ids(self) -> dict[int, str]:
        """Give the ids of all sources that ever were, by number."""
        return dict(self._account.ask("SELECT number, id FROM sources"))

    def progress(self) -> tuple[int, int]:
        """Tell how far the log is applied: the position, and the number of messages."""
        found = self._state.ask("SELECT position, messages FROM progress WHERE id = 1")
        return (int(found[0][0]), int(found[0][1])) if found else (0, 0)

    def reached(self) -> int:
        """Tell the end of the last record that is applied: of several workers' records some may wait below it."""
        found = self._state.ask('SELECT position, (SELECT max("last") FROM applied) FROM progress WHERE id = 1')
        return max(int(found[0][0]), int(found[0][1] or 0)) if found else 0

    def received_at(self) -> int:
        """Tell when the newest message that is applied arrived, ms UTC; 0 before the first."""
        found = self._state.ask("SELECT received_at FROM progress WHERE id = 1")
        return int(found[0][0]) if found else 0

    def counts(self) -> list[tuple[int, str, int]]:
        """Count what became of messages: source number, outcome, number (`store.status.source_counts`)."""
        return self._state.ask("SELECT source, what, count FROM counters")

    def account_key(self) -> bytes:
        """Give the key of all hashes; empty before the first start."""
        found = self._account.ask("SELECT hash_key FROM account WHERE id = 1")
        return bytes(found[0][0]) if found else b""

    def suppressed_version(self) -> tuple[int, int]:
        """Give what changes whenever somebody is kept out, or let in again."""
        found = self._state.ask("SELECT coalesce(max(id), 0), count(*) FROM suppressed")
        return (int(found[0][0]), int(found[0][1]))

    def suppressed(self) -> frozenset[str]:
        """Give the hashes of the ids that are kept out."""
        return frozenset(row[0] for row in self._state.ask("SELECT hash FROM suppressed"))

    def refusals(self) -> list[tuple[str, int]]:
        """Count what was refused for privacy: source's id, number."""
        rows = self._account.ask("SELECT source, sum(count) FROM refusals GROUP BY source")
        return [(source, int(number)) for source, number in rows]

    def count_refusals(self, counts: Mapping[tuple[str, int], int], code: str) -> None:
        """Count what was refused for privacy at the door: (source's id, beginning of the hour) -> how many."""
        self._account.write(
            "INSERT INTO refusals (source, hour, code, count) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (source, hour, code) DO UPDATE SET count = refusals.count + excluded.count",
            [(source, hour, code, number) for (source, hour), number in sorted(counts.items())],
        )


class File:
    """A database of SQLite's, its connection kept."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: Any = None
        self._file: tuple[int, int] | None = None
        self._mutex = threading.Lock()

    def ask(self, question: str) -> list[Any]:
        """Give all rows of a query."""
        return self.ask_all(question)[0]

    def ask_all(self, *questions: str) -> list[list[Any]]:
        """Give all rows of each query, as of one moment."""
        with self._mutex:
            try:
                connection = self._open()
                connection.execute("BEGIN")
                answers = [connection.execute(question).fetchall() for question in questions]
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._close()
                raise Unreadable(f"{self._path.name} cannot be read: {error}") from error
        return answers

    def write(self, statement: str, rows: list[tuple[object, ...]]) -> None:
        """Run a statement for each row, in one transaction."""
        with self._mutex:
            try:
                connection = self._open()
                connection.execute("PRAGMA query_only = OFF")
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(statement, rows)
                connection.execute("COMMIT")
                connection.execute("PRAGMA query_only = ON")
            except sqlite3.Error as error:
                self._close()
                raise Unreadable(f"{self._path.name} cannot be written: {error}") from error

    def close(self) -> None:
        """Close it."""
        with self._mutex:
            self._close()

    def _open(self) -> Any:
        found = file_at(self._path)
        if found != self._file:  # Another file has taken this one's place (docs/decisions/0010).
            self._close()
            self._file = found
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",  # For reading alone it could not follow another's writes.
                uri=True,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
