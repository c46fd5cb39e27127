"""A seat of which a database of PostgreSQL's has one: held by a lock of its session, free when that ends."""

import select
import threading
from time import monotonic
from typing import Final

from richpanel.store.postgres_driver import Bounded, DriverError, connect

SURE_SECONDS: Final = 1.0
"""How long an answer counts: so long a holder that was cut off from the database may believe that it still is."""
ANSWER_SECONDS: Final = 3.0
_TAKE: Final = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"


class Seat:
    """Whoever asks first holds it until its connection ends; any thread may ask."""

    def __init__(self, database_url: str, name: str) -> None:
        """Nothing is opened before somebody asks."""
        self._url = database_url
        self._name = name
        self._connection: Bounded | None = None
        self._held = False
        self._until = 0.0
        self._mutex = threading.Lock()

    def is_held(self) -> bool:
        """Whether this one holds it. The database is asked once a second at the most, and given up after a few."""
        with self._mutex:
            now = monotonic()
            if now >= self._until or self._has_news():
                self._held = self._ask()
                self._until = (now if self._held else monotonic()) + SURE_SECONDS
            return self._held

    def close(self) -> None:
        """Leave it to others."""
        with self._mutex:
            self._leave()

    def _ask(self) -> bool:
        try:
            if self._connection is None:
                self._connection = connect(self._url, "account", seconds=ANSWER_SECONDS)
                self._held = False
            if self._held:
                self._connection.execute("SELECT 1")
                return True
            return bool(self._connection.execute(_TAKE, (f"richpanel {self._name}",)).fetchall()[0][0])
        except DriverError:
            self._leave()
            return False

    def _has_news(self) -> bool:
        """Tell whether an idle connection has something to say: that it ends, most often."""
        if self._connection is None:
            return False
        if self._connection.closed:
            return True
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._held, self._until = None, False, 0.0
