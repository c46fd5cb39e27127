"""Tables of the state: the fold of the messages kept for the account (`semantics.md` 1).

Laid out for millions of events (docs/decisions/0003): a message's body stays in the log and is pointed to; tables that
get a row per message begin with `part`, the message number's half million, so that inserts touch a bounded set of pages
however large the table is; what a profile is and its newest sessions travel in one row.

These are SQLite's definitions. PostgreSQL has the same tables and columns, laid out otherwise
(`store.postgres_schema`): everything is in one part there, for its tables are partitioned by what is looked up.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

from richpanel.store.bulk import Words, on_postgres

metadata: Final = MetaData()
Big: Final = BigInteger().with_variant(Integer, "sqlite")
PART: Final = 1 << 19
"""Messages per part."""
_ONE_PART: Final = 1 << 62


def part_size(connection: Connection) -> int:
    """Give the messages per part."""
    return _ONE_PART if on_postgres(connection) else PART


def part_of(connection: Connection, number: int) -> int:
    """Give the part that message `number` belongs to."""
    return number // part_size(connection)


progress = Table(
    "progress",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("position", Big, nullable=False),  # End of the last applied record: every one before it is applied.
    Column("messages", Big, nullable=False),  # The number of the newest message.
    Column("received_at", Big, nullable=False),  # receivedAt of that record, ms.
)

names = Table(  # Event and page names, and decision sets, written once.
    "names",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", Text, nullable=False, unique=True),
)

identities = Table(  # Every id and address ever seen, numbered; an alias carries its runs (`core.identity`).
    "identities",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", Big, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("value", Text, nullable=False),
    Column("runs", LargeBinary),
    Index("identities_hash", "hash"),
)

ownership = Table(  # The aliases in which a uid has a run.
    "ownership",
    metadata,
    Column("uid", Integer, primary_key=True),
    Column("alias", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

addresses = Table(  # Each message that carries an address: what address links are decided from (`store.addresses`).
    "addresses",
    metadata,
    Column("address", Integer, primary_key=True),
    Column("t", Big, primary_key=True),
    Column("message_id", Text, primary_key=True),
    Column("source", Text, primary_key=True),  # The source's id, by which messages are ordered.
    Column("uid", Integer, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Index("addresses_uid", "uid"),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("place", Big, nullable=False),  # Where the item's bytes stand in the log.
    Column("size", Integer, nullable=False),
    Column("lead", Integer, nullable=False),  # `place` less the start of its payload.
    Column("item", SmallInteger, nullable=False),  # Its index in the record.
    Column("source", Integer, nullable=False),
    Column("type", SmallInteger, nullable=False),  # Index into core.message.TYPES, 6 for channel activity, 7 on manual.
    Column("t", Big, nullable=False),
    Column("received", Big, nullable=False),
    Column("identity", Integer, nullable=False),  # Whose history it is in: the uid's, else the alias's.
    Column("alias", Integer),  # The anonymousId beside a uid.
    Column("event", Integer),  # names.id of the event or page name.
    Column("outcome", SmallInteger, nullable=False),  # Index into store.messages.OUTCOMES.
    Column("decisions", Integer),  # names.id of the decision set, as JSON.
    Index("messages_not_kept", "n", sqlite_where=text("outcome <> 0")),
    Index("messages_rare_types", "type", "n", sqlite_where=text("type NOT IN (1, 2)")),
    Index("messages_of_others", "identity", sqlite_where=text("outcome <> 0")),  # What no history has.
    Index("messages_naming", "alias", sqlite_where=text("outcome <> 0 AND alias IS NOT NULL")),
)

message_ids = Table(  # By keyed hash of (source, messageId); the id itself stands in the body.
    "message_ids",
    metadata,
    Column("part", Integer, primary_key=True),
    Column("hash", Big, primary_key=True),
    Column("n", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

history = Table(  # Kept messages by identity and event time.
    "history",
    metadata,
    Column("part", Integer, primary_key=True),
    Column("identity", Integer, primary_key=True),
    Column("t", Big, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("type", SmallInteger, nullable=False),
    sqlite_with_rowid=False,
)

pieces = Table(  # What some messages of a large history make together (`store.piece_rows`).
    "pieces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("identity", Integer, nullable=False),
    Column("first", Integer, nullable=False),  # The least and the greatest of `numbers`.
    Column("last", Integer, nullable=False),
    Column("low", Big, nullable=False),  # The least and the greatest event time, ms.
    Column("high", Big, nullable=False),
    Column("numbers", LargeBinary, nullable=False),  # The messages, in steps from one number to the next.
    Column("orders", LargeBinary, nullable=False),  # Their events of orders: order id and stamp.
    Column("state", LargeBinary, nullable=False),  # core.profile.Profile, with every session.
    Index("pieces_identity", "identity", "last"),
)

parts = Table(  # What a part holds: its span of event time, and a filter of its message ids once it is full.
    "parts",
    metadata,
    Column("part", Integer, primary_key=True),
    Column("first_t", Big, nullable=False),
    Column("last_t", Big, nullable=False),
    Column("filter", LargeBinary),
)

profiles = Table(  # One row per person; `state` is core.profile.Profile as msgpack.
    "profiles",
    metadata,
    Column("id", Integer, primary_key=True),  # identities.id of the uid, else of the alias.
    Column("customer", SmallInteger, nullable=False),
    Column("last_seen", Big, nullable=False),
    Column("created_at", Big, nullable=False),
    Column("name", Text),
    Column("ltv", Big, nullable=False),  # In hundredths, for sorting; the exact figure is in `state`.
    Column("state", LargeBinary, nullable=False),
    Index("profiles_last_seen", "customer", "last_seen", "id"),
    Index("profiles_created_at", "customer", "created_at", "id", sqlite_where=text("customer = 1")),
    Index("profiles_name", "name", "id", sqlite_where=text("customer = 1")),
    Index("profiles_ltv", "ltv", "id", sqlite_where=text("customer = 1")),
    Index("visitors_created_at", "created_at", "id", sqlite_where=text("customer = 0")),
    Index("visitors_ltv", "ltv", "id", sqlite_where=text("customer = 0 AND ltv <> 0")),  # Few have any.
)

sessions = Table(  # Sessions that are no longer a profile's newest; those stand in its row.
    "sessions",
    metadata,
    Column("profile", Integer, primary_key=True),
    Column("key", Text, primary_key=True),  # The richpanel_session_id; empty for generated ones.
    Column("start", Big, primary_key=True),  # 0 for explicit ones: their key is enough.
    Column("end", Big, nullable=False),
    Column("data", LargeBinary, nullable=False),  # core.session.Session as msgpack.
    sqlite_with_rowid=False,
)

orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("connector", Integer, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("owner", Integer, nullable=False),
    Column("placed_at", Big, nullable=False),  # ms UTC
    Column("figure", Text, nullable=False),  # What it adds to its owner's figures: JSON [void, currency, amount].
    Column("state", LargeBinary, nullable=False),  # core.order.OrderState as msgpack.
    Index("orders_key", "connector", "order_id", unique=True),
    Index("orders_owner", "owner", "placed_at"),
)

order_profiles = Table(  # Every profile that sent an event of an order, owner or not.
    "order_profiles",
    metadata,
    Column("profile", Integer, primary_key=True),
    Column("order", Integer, primary_key=True),
    sqlite_with_rowid=False,
)

channel_activity = Table(  # Who a channel message names, so that it moves when one of them becomes known.
    "channel_activity",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("uid", Integer),
    Column("email", Integer),
    Column("phone", Integer),
    Column("anonymous", Integer),
    Column("identity", Integer, nullable=False),
    Index("channel_email", "email", sqlite_where=text("email IS NOT NULL")),
    Index("channel_phone", "phone", sqlite_where=text("phone IS NOT NULL")),
    Index("channel_anonymous", "anonymous", sqlite_where=text("anonymous IS NOT NULL")),
)

manual = Table(  # What people linked, cut and took back by hand (`core.manual`).
    "manual",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("alias", Integer, nullable=False),
    Column("uid", Integer, nullable=False),
    Column("t", Big, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("undoes", Text),
    Index("manual_alias", "alias"),
    Index("manual_message", "message_id"),
    Index("manual_undoes", "undoes", sqlite_where=text("undoes IS NOT NULL")),
)

duplicates = Table(  # Repeats of a message id; `conflict` where the content differs.
    "duplicates",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("n", Integer, nullable=False),
    Column("place", Big, nullable=False),
    Column("size", Integer, nullable=False),
    Column("lead", Integer, nullable=False),
    Column("received", Big, nullable=False),
    Column("conflict", SmallInteger, nullable=False),
    Index("duplicates_n", "n"),
)

discards = Table(
    "discards",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", Big),  # As in message_ids, where the item had a readable id.
    Column("source", Integer, nullable=False),
    Column("at", Big, nullable=False),
    Column("code", Text, nullable=False),
    Column("place", Big, nullable=False),
    Column("size", Integer, nullable=False),  # Of the kept (cut) payload.
    Column("full_size", Integer, nullable=False),
    Column("lead", Integer, nullable=False),
    Index("discards_hash", "hash", sqlite_where=text("hash IS NOT NULL")),
    Index("discards_source", "source", "id"),
)

let_go = Table(  # Where the log has discards that can be looked up no more: a person's are erased there, too.
    "let_go",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("at", Big, nullable=False),
)

changes = Table(  # What applying a message changed, as JSON; for its trace.
    "changes",
    metadata,
    Column("n", Integer, primary_key=True),
    Column("data", Text, nullable=False),
)

counters = Table(  # Messages and discards by source and what became of them; `dropped` counts discards let go.
    "counters",
    metadata,
    Column("source", Integer, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("count", Big, nullable=False),
    sqlite_with_rowid=False,
)

traffic = Table(  # How many calls arrived when: in steps of a minute and of an hour (store.traffic).
    "traffic",
    metadata,
    Column("step", Integer, primary_key=True),  # ms
    Column("at", Big, primary_key=True),  # ms UTC, its beginning.
    Column("source", Integer, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("count", Big, nullable=False),
    sqlite_with_rowid=False,
)

suppressed = Table(  # Who is kept out: keyed hashes of uids, and of the aliases linked to them last.
    "suppressed",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("kind", SmallInteger, nullable=False),
    Column("uid", Text, nullable=False),  # The hash of the uid that an alias is kept out for; a uid's own.
    Column("since", Big, nullable=False),  # Event time of an alias's latest link.
    sqlite_autoincrement=True,
)

outbox = Table(  # What the destinations outside are to get; `deliver` takes it over (docs/decisions/0023).
    "outbox",
    metadata,
    Column(
        "place", Big, primary_key=True
    ),  # The message's: it grows with the log, and stays when a state is made anew.
    Column("destination", Integer, primary_key=True),  # Its number.
    Column("n", Integer, nullable=False),
    Column("identity", Integer, nullable=False),  # As in messages: what may not overtake each other.
    Column("alias", Integer, nullable=False),  # 0 where there is none.
    Column("lane", SmallInteger, nullable=False),  # 0 live, 1 bulk.
    sqlite_with_rowid=False,
)

memberships = Table(  # What a plan keeps of somebody, and where that puts them (docs/decisions/0025).
    "memberships",
    metadata,
    Column("plan", Integer, primary_key=True),
    Column("profile", Integer, primary_key=True),
    Column("state", LargeBinary, nullable=False),  # core.membership.State as msgpack.
    Column("value", Text, nullable=False),  # As JSON: true or false of an audience, a computed trait's value.
    Column("since", Big, nullable=False),  # From when on, ms UTC.
    Column("until", Big),  # When time alone changes it; none where it does not.
    Column("told", SmallInteger, nullable=False),  # 0 to be told, 1 the world knows, 2 no uid to tell of, or kept out.
    Index("memberships_until", "until", sqlite_where=text("until IS NOT NULL")),
    Index("memberships_to_tell", "plan", "profile", sqlite_where=text("told = 0")),
    sqlite_with_rowid=False,
)

told = Table(  # What the world was told of somebody: the fold of the Engage source's own messages.
    "told",
    metadata,
    Column("computation", Integer, primary_key=True),
    Column("uid", Integer, primary_key=True),
    Column("value", Text, nullable=False),  # As JSON.
    Column("number", Integer, nullable=False),  # The how-manieth it is.
    Column("t", Big, nullable=False),
    sqlite_with_rowid=False,
)

first_runs = Table(  # Up to which profile, by number, a plan has its rows.
    "first_runs",
    metadata,
    Column("plan", Integer, primary_key=True),
    Column("reached", Big, nullable=False),
)

checks = Table(  # What came of the last time that a plan's rows were counted again (docs/decisions/0025).
    "checks",
    metadata,
    Column("plan", Integer, primary_key=True),
    Column("began", Big, nullable=False),  # ms UTC
    Column("ended", Big),  # None while it goes on, or where it was cut short.
    Column("looked", Big, nullable=False),  # Profiles.
    Column("differing", Big, nullable=False),
    Column("sample", Text, nullable=False),  # Some of those who differed: numbers of profiles, as JSON.
)

erasing = Table(  # Bodies in the log that are still to be erased, and regulations that are not done.
    "erasing",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("place", Big, nullable=False),
    Column("size", Integer, nullable=False),  # 0: no body, the regulation alone.
    Column("regulation", Text),  # None where a message was refused when it came: the state never had it.
)

SEARCH: Final = "search"
"""The full-text table of customers: name, email, phone and uid, by profile id."""

postgres_metadata: Final = MetaData()
"""Tables that are PostgreSQL's alone."""

bodies: Final = Table(  # Items' bytes by their place in the log, and records' heads (`store.bodies`).
    "bodies",
    postgres_metadata,
    Column("place", Big, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

applied: Final = Table(  # Runs of records that are applied beyond `progress.position`.
    "applied",
    postgres_metadata,
    Column("first", Big, primary_key=True),  # Start of the first record.
    Column("last", Big, nullable=False),  # End of the last one.
)

search: Final = Table(  # `words` has what FTS5 keeps to itself (`store.search`).
    SEARCH,
    postgres_metadata,
    Column("rowid", Big, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("uid", Text, nullable=False),
    Column("words", Words(), nullable=False),
)
