"""Tables of what is delivered outside: each delivery, its tries, and figures of them (`semantics.md` 9).

They are in a database of their own, `delivery`, which the delivering role writes. What was sent cannot be unsent: this
is not folded from the log. A delivery is one message for one destination, once, and once more for each replay.
"""

from typing import Final

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, text

from richpanel.store.columns import Big, Words

metadata: Final = MetaData()
Number: Final = Big
_WAITS: Final = text("status < 2")
"""Queued or retrying: a query that is to use such an index says it in these very words."""
_WAITS_WITH_ALIAS: Final = text("status < 2 AND alias > 0")

cursors = Table(  # How far the outbox is taken over, by destination; by 0 how many replays were made (store.tries).
    "cursors",
    metadata,
    Column("destination", Integer, primary_key=True, autoincrement=False),
    Column("place", Number, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("destination", Integer, nullable=False),  # Its number.
    Column("place", Number, nullable=False),  # The message's, in the log.
    Column("n", Number, nullable=False),  # As in the outbox; anew once a state was made anew (`deliveries.renumber`).
    Column("identity", Number, nullable=False),
    Column("alias", Number, nullable=False),
    Column("lane", SmallInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),  # Index into core.retrying.STATUSES.
    Column("attempts", Integer, nullable=False),
    Column("due_at", Number, nullable=False),  # When it is to be tried, ms UTC.
    Column("created_at", Number, nullable=False),
    Column("finished_at", Number),
    Column("received_at", Number, nullable=False),  # The message's receivedAt.
    Column("replay", Words, nullable=False),  # The replay's id; empty for the first delivery.
    Column("code", Words),  # Why it is as it is.
    Column("event", Words),
    Column("dropped_by", Words),  # A login, or the name of a token.
    Index("deliveries_due", "destination", "lane", "due_at", "place", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index("deliveries_identity", "identity", "place", sqlite_where=_WAITS, postgresql_where=_WAITS),
    Index("deliveries_alias", "alias", "place", sqlite_where=_WAITS_WITH_ALIAS, postgresql_where=_WAITS_WITH_ALIAS),
    Index("deliveries_status", "destination", "status", "id"),
    Index("deliveries_key", "place", "destination", "replay", unique=True),
    sqlite_autoincrement=True,
)

attempts = Table(  # One row per try. `request` is the payload without key and signature.
    "attempts",
    metadata,
    Column("delivery", Number, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Number, nullable=False),  # ms UTC
    Column("milliseconds", Integer, nullable=False),
    Column("status_code", Integer),  # Of the answer, if there was one.
    Column("code", Words),  # What went wrong, where something did.
    Column("request", LargeBinary),
    Column("response", LargeBinary),  # Cut at 4 KB.
)

figures = Table(  # What became of deliveries, by the minute in which it did.
    "figures",
    metadata,
    Column("destination", Integer, primary_key=True, autoincrement=False),
    Column("minute", Number, primary_key=True, autoincrement=False),  # Its beginning, ms UTC.
    Column("status", SmallInteger, primary_key=True, autoincrement=False),
    Column("code", Words, primary_key=True),  # Empty where there is none.
    Column("count", Number, nullable=False),
    sqlite_with_rowid=False,
)

latencies = Table(  # From receivedAt to the answer that ended it: how many took about so long, by minute.
    "latencies",
    metadata,
    Column("destination", Integer, primary_key=True, autoincrement=False),
    Column("minute", Number, primary_key=True, autoincrement=False),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),  # An eighth of an octave (core.latencies).
    Column("count", Number, nullable=False),
    sqlite_with_rowid=False,
)
