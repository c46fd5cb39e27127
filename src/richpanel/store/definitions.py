"""Tables of the definitions: what people set up (account, sources, tokens, users, connectors, destinations).

They live in `account.db`, apart from the state: pages and commands write them at any time, every process reads them,
and they cannot be folded again from the log. Whoever keeps a snapshot of them polls `definitions_version`.
"""

import secrets
from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    false,
    select,
    text,
    update,
)

# What stands elsewhere is found here, too: by migrations, and so that whoever lists all tables has them all.
from richpanel.store.columns import Big as Big
from richpanel.store.columns import Words as Words
from richpanel.store.columns import metadata as metadata
from richpanel.store.watching_schema import alarms as alarms
from richpanel.store.watching_schema import audit as audit
from richpanel.store.watching_schema import notices as notices
from richpanel.store.watching_schema import openings as openings
from richpanel.store.watching_schema import rebuild as rebuild
from richpanel.store.watching_schema import samples as samples

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

account = Table(  # One row, id 1.
    "account",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Big, nullable=False),  # Grows with every change to any definition.
    Column("hash_key", LargeBinary, nullable=False),  # 32 random bytes: the key of every hash that the state keeps.
    Column("settings", Words, nullable=False),  # store.account.AccountSettings without the key, as JSON.
    Column("default_destination", Integer),  # What a new source is connected to.
    Column("created_at", Big, nullable=False),
    Column("folded_with", Words),  # The settings of before, as JSON, while what was folded with them is in the state.
)

secret_key = Table(  # One row, id 1: what every node's secret key must be (store.secret_key).
    "secret_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("fingerprint", LargeBinary, nullable=False),
)

sources = Table(
    "sources",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),  # What the state calls it; never used again.
    Column("id", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("type", Words, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("rate_limit", Integer),  # Calls a second.
    Column("identity_verification", Boolean, nullable=False),
    Column("identity_secret", Words),  # Kept while verification is off, so that turning it on again breaks no shop.
    Column("created_at", Big, nullable=False),
    Column("deleted_at", Big),
    sqlite_autoincrement=True,
)

write_keys = Table(
    "write_keys",
    metadata,
    Column("key", Words, primary_key=True),
    Column("source", Integer, ForeignKey("sources.number"), nullable=False),
    Column("created_at", Big, nullable=False),
    Column("revoked_at", Big),
    Column("ends_at", Big),  # Until when it works beside the one that it was rotated for, ms UTC.
    Index("write_keys_source", "source"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),  # SHA-256; the token itself is shown once.
    Column("created_at", Big, nullable=False),
    Column("revoked_at", Big),
    Column("role", Words),  # What it may do (core.roles); everything, without.
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    Column("login", Words, nullable=False, unique=True),
    Column("password", Words, nullable=False),  # Argon2id.
    Column("created_at", Big, nullable=False),
    Column("role", Words, nullable=False, server_default="owner"),  # core.roles
    Column("disabled_at", Big),
    Column(
        "one_time", Boolean, nullable=False, server_default=false()
    ),  # Whether the password must be replaced at once.
    Column("factor", Words),  # The second step's secret (store.second_step), sealed.
    Column("factor_since", Big),  # When it was proven to work; without, it is not asked for.
    Column("factor_step", Big),  # The newest interval whose code was taken: none is taken twice.
)

recovery_codes = Table(  # What a person signs in with who has lost the device, each once.
    "recovery_codes",
    metadata,
    Column("user", Integer, ForeignKey("users.id"), primary_key=True),
    Column("hash", LargeBinary, primary_key=True),  # SHA-256.
)

web_sessions = Table(
    "web_sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),  # SHA-256 of the cookie.
    Column("user", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_at", Big, nullable=False),
    Column("expires_at", Big, nullable=False),
    Column("seen_at", Big),  # A few minutes old; ms UTC.
    Column("address", Words),  # Where from, and with what, they signed in.
    Column("agent", Words),
    Index("web_sessions_expires", "expires_at"),
)

sign_in_tries = Table(  # Passwords and codes that were wrong (store.sign_in_tries); few, and soon let go.
    "sign_in_tries",
    metadata,
    Column("key", Words, primary_key=True),  # A digest of a login or an address.
    Column("failures", Integer, nullable=False),
    Column("until", Big, nullable=False),  # When the next try may be made, ms UTC.
    Index("sign_in_tries_until", "until"),
    sqlite_with_rowid=False,
)

connectors = Table(
    "connectors",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("api_key", Words, nullable=False, unique=True),
    Column("api_secret", Words, nullable=False),  # Sealed (store.secrets).
    Column("source", Integer, ForeignKey("sources.number"), nullable=False),  # Through which `/segment` posts arrive.
    Column("created_at", Big, nullable=False),
    Column("deleted_at", Big),
    sqlite_autoincrement=True,
)

retired_keys = Table(  # What a connector issued before, for as long as it still works beside the new pair.
    "retired_keys",
    metadata,
    Column("api_key", Words, primary_key=True),
    Column("connector", Integer, ForeignKey("connectors.number"), nullable=False),
    Column("api_secret", Words, nullable=False),  # Sealed.
    Column("ends_at", Big, nullable=False),
)

destinations = Table(
    "destinations",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("catalog_id", Words, nullable=False),
    Column("settings", Words, nullable=False),  # JSON: apiKey as it is, apiSecret sealed.
    Column("endpoint", Words, nullable=False),  # "account" or a URL.
    Column("enabled", Boolean, nullable=False),
    Column("filters", Words, nullable=False),  # JSON array.
    Column("created_at", Big, nullable=False),
    Column("deleted_at", Big),
    sqlite_autoincrement=True,
)

destination_sources = Table(
    "destination_sources",
    metadata,
    Column("destination", Integer, ForeignKey("destinations.number"), primary_key=True),
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
)

delivery_requests = Table(  # What is asked of a delivery, until whoever serves its destination has done it.
    "delivery_requests",
    metadata,
    Column("delivery", Big, primary_key=True, autoincrement=False),
    Column("destination", Integer, nullable=False),  # Its number.
    Column("action", Words, nullable=False),  # "drop" or "retry".
    Column("at", Big, nullable=False),  # ms UTC
    Column("asked_by", Words),  # A login, or the name of a token.
)

imports = Table(  # How far `richpanel import` got with a file.
    "imports",
    metadata,
    Column("source", Integer, ForeignKey("sources.number"), primary_key=True),
    Column("path", Words, primary_key=True),
    Column("head_bytes", Integer, nullable=False),  # What of its beginning was looked at, to know it again.
    Column("head_hash", LargeBinary, nullable=False),
    Column("offset", Big, nullable=False),  # Bytes of the file that are in the log.
    Column("lines", Big, nullable=False),
    Column("accepted", Big, nullable=False),
    Column("discarded", Big, nullable=False),
    Column("updated_at", Big, nullable=False),
)

replays = Table(  # Jobs that send again what is stored (store.replays); nobody's id is in them.
    "replays",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("destination", Integer, ForeignKey("destinations.number"), nullable=False),
    Column("delivery", Big),  # The one delivery that is sent again, where it is one.
    Column("source", Integer, ForeignKey("sources.number")),
    Column("person", Words),  # The keyed hash of a uid.
    Column("from_at", Big),  # receivedAt from and before which, ms UTC.
    Column("to_at", Big),
    Column("outcome", Words, nullable=False),
    Column("until", Big, nullable=False),  # The place in the log where it ends: what was applied when it was asked for.
    Column("rate", Integer, nullable=False),  # Messages a second at the most.
    Column("status", Words, nullable=False),
    Column("matched", Big, nullable=False),
    Column("replayed", Big, nullable=False),
    Column("low", Big, nullable=False),  # How far it is: store.replay_matching.Place.
    Column("cursor", Big, nullable=False),
    Column("message", Big, nullable=False),
    Column("chunk", Integer, nullable=False),  # How many chunks are.
    Column("pending", LargeBinary),  # The chunk that may be under way (store.replays.Chunk), as JSON.
    Column("created_at", Big, nullable=False),
    Column("finished_at", Big),
    Column("problem", Words),  # Why it does not get on.
    Index(
        "replays_running",
        "destination",
        unique=True,
        sqlite_where=text("status = 'running' AND delivery IS NULL"),
        postgresql_where=text("status = 'running' AND delivery IS NULL"),
    ),
    sqlite_autoincrement=True,
)

computations = Table(  # Audiences and computed traits (store.computations); what is deleted keeps its key.
    "computations",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("kind", Words, nullable=False),  # "audience" or "trait".
    Column("key", Words, nullable=False, unique=True),
    Column("name", Words, nullable=False),
    Column("destinations", Words),  # Ids of those that are told, as a JSON array; all of the Engage source without.
    Column("tracks", Boolean, nullable=False),  # Whether a track call goes with each identify.
    Column("created_at", Big, nullable=False),
    Column("paused_at", Big),
    Column("deleted_at", Big),
    Column("released_at", Big),  # When what was told had become plain traits, after it was deleted.
    sqlite_autoincrement=True,
)

plans = Table(  # Versions of them: an edit is another one, computed beside the one that is live.
    "plans",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),  # What the state calls it; never used again.
    Column("computation", Integer, ForeignKey("computations.number"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("defined", Words, nullable=False),  # core.defined.Defined as JSON, with all that it asks for.
    Column("status", Words, nullable=False),  # "draft", "computing", "live", "failed" or "retired".
    Column("boundary", Big),  # The newest message when it began: those up to it are read for it.
    Column("done", Big, nullable=False),  # How far the first run is, of how much.
    Column("total", Big, nullable=False),
    Column("problem", Words),  # Why it failed.
    Column("created_at", Big, nullable=False),
    Column("live_at", Big),
    Column("retired_at", Big),
    Column("swept_at", Big),  # When nothing of it was left in the state.
    Column("made_by", Words),  # A login, or the name of a token.
    Column("size", Big),  # How many were in, or had a value, when another version took its place.
    Index("plans_version", "computation", "version", unique=True),
    sqlite_autoincrement=True,
)

backfills = Table(  # What destinations that are connected later are told of them (store.backfills).
    "backfills",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("computation", Integer, ForeignKey("computations.number"), nullable=False),
    Column("destination", Integer, ForeignKey("destinations.number"), nullable=False),
    Column("everybody", Boolean, nullable=False),  # Who left, too: it was connected before.
    Column("reached", Big, nullable=False),  # The number of the uid behind which it goes on.
    Column("mark", Words),  # The keyed hash of that uid.
    Column("done", Big, nullable=False),  # How many it told of, of how many.
    Column("total", Big),
    Column("created_at", Big, nullable=False),
    Column("finished_at", Big),
    Column("ended_at", Big),  # When the destination was told no more.
    sqlite_autoincrement=True,
)

sizes = Table(  # How many are in an audience, over time.
    "sizes",
    metadata,
    Column("computation", Integer, ForeignKey("computations.number"), primary_key=True, autoincrement=False),
    Column("at", Big, primary_key=True, autoincrement=False),  # ms UTC
    Column("size", Big, nullable=False),
    sqlite_with_rowid=False,
)

views = Table(  # Saved views of the lists of people (store.views).
    "views",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("owner", Words, nullable=False),  # A login.
    Column("shared", Boolean, nullable=False),
    Column("people", Words, nullable=False, server_default="customers"),  # Whose list: customers or visitors.
    Column("query", Words, nullable=False),  # Of the list's page.
    Column("created_at", Big, nullable=False),
    Column("mended_at", Big),  # When what named somebody who was erased was taken out of it, ms UTC.
    Index("views_owner", "owner"),
)

# The ledger (store.ledger): what was forgotten, so that it stays forgotten when the state or the log are older.

regulations = Table(
    "regulations",
    metadata,
    Column("number", Integer, Identity(), primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("type", Words, nullable=False),
    Column("status", Words, nullable=False),
    Column("created_at", Big, nullable=False),  # receivedAt of its record, ms UTC.
    Column("finished_at", Big),
    Column("record", LargeBinary, nullable=False),  # core.regulation.Regulation as JSON: keyed hashes alone.
    Column("erased", Words),  # What is gone, by table, while the rest is still being done: JSON.
    Column("problem", Words),  # Why it does not get on.
    Column("place", Integer, unique=True),  # Of its receipt in the chain.
    Column("receipt", Words),  # core.regulation.Receipt as JSON.
    sqlite_autoincrement=True,
)

tombstones = Table(  # Keyed hashes of ids, each with when it was theirs.
    "tombstones",
    metadata,
    Column("hash", Words, primary_key=True),
    Column("kind", Integer, primary_key=True),
    Column("from_t", Big, primary_key=True),
    Column("to_t", Big, primary_key=True),
    Column("regulation", Integer, primary_key=True),
    Column("parts", Boolean, nullable=False),  # Whether the id starts afresh at `to_t`.
    Column("person", Words, nullable=False),  # The hash of the id that they went by.
    sqlite_with_rowid=False,
)

erased_messages = Table(  # Keyed hashes of (source, messageId), as in the state's message_ids.
    "erased_messages",
    metadata,
    Column("hash", Big, primary_key=True),
    sqlite_with_rowid=False,
)

refusals = Table(  # Messages refused for privacy.
    "refusals",
    metadata,
    Column("source", Words, primary_key=True),
    Column("hour", Big, primary_key=True),  # Its beginning, ms UTC.
    Column("code", Words, primary_key=True),
    Column("count", Big, nullable=False),
    sqlite_with_rowid=False,
)


def random_text(length: int) -> str:
    """Give `length` random letters and digits (5.9 bits each)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def new_id(prefix: str) -> str:
    """Give a new public id, such as `src_3kTzYx0bW9vQ2mLe`."""
    return f"{prefix}_{random_text(16)}"


def definitions_version(conn: Connection) -> int:
    """Give a number that grows with every change to the definitions; 0 before the first start. One row is read."""
    return conn.execute(select(account.c.version).where(account.c.id == 1)).scalar() or 0


def changed(conn: Connection) -> None:
    """Say, within the transaction that changes a definition, that snapshots of them are out of date."""
    conn.execute(update(account).where(account.c.id == 1).values(version=account.c.version + 1))
