"""Tables of what watches the account: how the system stood, rebuilds, alarms and what was told of them, the audit log.

They stand in `account.db` beside the definitions (`store.definitions`), and grow with time rather than with what people
set up.
"""

from sqlalchemy import Boolean, Column, ForeignKey, Identity, Index, Integer, Table, text

from richpanel.store.columns import Big, Words, metadata

samples = Table(  # How the system stood, minute by minute (store.samples).
    "samples",
    metadata,
    Column("at", Big, primary_key=True, autoincrement=False),  # ms UTC, a minute's beginning.
    Column("lag_ms", Big, nullable=False),  # The age of the oldest record not applied, the most within the minute.
    Column("log_bytes", Big, nullable=False),
    Column("state_bytes", Big, nullable=False),
    Column("free_bytes", Big, nullable=False),  # Of the disk that the data directory is on, of so many.
    Column("disk_bytes", Big, nullable=False),
    Column("kept_since", Big),  # receivedAt of the oldest record that is kept.
    sqlite_with_rowid=False,
)

rebuild = Table(  # One row, id 1: the newest rebuild that is to be put in force (store.rebuilds).
    "rebuild",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("step", Words, nullable=False),  # "fold", "compare" or "switch".
    Column("done", Big, nullable=False),  # Of the step.
    Column("total", Big),
    Column("started_at", Big, nullable=False),
    Column("told_at", Big, nullable=False),  # When it last told how far it is, ms UTC.
    Column("ended_at", Big),
    Column("problem", Words),  # Why it ended without another state in force.
)

alarms = Table(  # What is watched, and who is told (store.alarms).
    "alarms",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("kind", Words, nullable=False),  # core.alarms.Kind
    Column("enabled", Boolean, nullable=False),
    Column("threshold", Integer, nullable=False),
    Column("subject", Words),  # The id of the one source or destination that it is about; all without.
    Column("webhook", Words),  # A URL.
    Column("secret", Words, nullable=False),  # Sealed: what the webhook's bodies are signed with.
    Column("emails", Words, nullable=False),  # JSON array.
    Column("remind_hours", Integer, nullable=False),  # 0: never.
    Column("created_at", Big, nullable=False),
    Column("deleted_at", Big),
    sqlite_autoincrement=True,
)

openings = Table(  # Each time that an alarm was open.
    "alarm_openings",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("alarm", Integer, ForeignKey("alarms.number"), nullable=False),
    Column("subject", Words, nullable=False),  # The id of a source or destination, or empty.
    Column("name", Words, nullable=False),  # What that was called.
    Column("value", Words, nullable=False),  # The last one measured, as JSON.
    Column("opened_at", Big, nullable=False),
    Column("said_at", Big, nullable=False),  # When it was last told of.
    Column("resolved_at", Big),
    Index(
        "alarm_openings_open",
        "alarm",
        "subject",
        unique=True,
        sqlite_where=text("resolved_at IS NULL"),
        postgresql_where=text("resolved_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

notices = Table(  # What is told of alarms: to be sent, sent, or given up.
    "alarm_notices",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False),  # Of what is told; the same by every channel.
    Column("alarm", Integer, ForeignKey("alarms.number"), nullable=False),
    Column("channel", Words, nullable=False),  # "webhook" or "email".
    Column("target", Words, nullable=False),  # A URL, or addresses as a JSON array.
    Column("notice", Words, nullable=False),  # core.alarms.Notice as JSON.
    Column("created_at", Big, nullable=False),
    Column("due_at", Big),  # When it is tried next; none where it is done with.
    Column("tries", Integer, nullable=False),
    Column("sent_at", Big),
    Column("problem", Words),  # Of the last try.
    Index(
        "alarm_notices_due",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

audit = Table(  # Who changed what, and who looked at whom (store.audit); rows are added and age out, nothing else.
    "audit",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("at", Big, nullable=False),  # ms UTC
    Column("kind", Words, nullable=False),  # "look", "change" or "sign-in".
    Column("who", Words, nullable=False),  # A login, or the name of a token.
    Column("token", Words),  # The token's id, where it was one.
    Column("verb", Words, nullable=False),
    Column("noun", Words, nullable=False),
    Column("object", Words),  # The id of what it was done to, where that is nobody's.
    Column("person", Words),  # The keyed hash of an id (core.regulation), never the id.
    Column("address", Words, nullable=False),
    Column("details", Words, nullable=False),  # JSON.
    Index("audit_person", "person"),
    sqlite_autoincrement=True,
)
