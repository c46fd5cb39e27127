"""Leadership: of all nodes one does what is to be done once, such as dropping old records. No node is made for it."""


class Leadership:
    """Whether this process is the one that does `name`. Where the databases are files it is: others cannot be."""

    def __init__(self, database_url: str | None, name: str) -> None:
        """Stand for it; the first of the nodes that asks leads."""
        if database_url is None:
            self._seat = None
            return
        from richpanel.store.advisory import Seat  # PostgreSQL's driver, loaded where it is used.

        self._seat = Seat(database_url, name)

    def is_leader(self) -> bool:
        """Whether it leads. Cheap most of the time; it waits some seconds for a database that does not answer.

        A leader whose connection is lost does not lead any more, and another one follows. For a second it may not know
        of it: what it does must do no harm when another one does it too, or be a transaction of the same database.
        """
        return self._seat is None or self._seat.is_held()

    def close(self) -> None:
        """Let another one lead."""
        if self._seat is not None:
            self._seat.close()
