"""What the tables of the state say of each other: nothing may stand in one that the others know nothing of."""

from collections import Counter
from typing import Any

from richpanel.core.identity import NOBODY, unpack
from richpanel.core.order import unpack as unpack_order
from richpanel.store import piece_rows
from richpanel.store.history import FOREVER
from tests.process.account import Account

OF_MESSAGES = ("history", "message_ids", "changes", "duplicates", "channel_activity", "manual")
DANGLING = {
    **{table: f"SELECT n FROM {table} WHERE n NOT IN (SELECT n FROM messages)" for table in OF_MESSAGES},
    "messages without an id": "SELECT n FROM messages WHERE n NOT IN (SELECT n FROM message_ids)",
    "no history": "SELECT n FROM messages WHERE outcome = 0 AND type < 7 AND n NOT IN (SELECT n FROM history)",
    "misplaced": "SELECT n FROM history h JOIN messages m USING (n) WHERE (h.t, h.identity) <> (m.t, m.identity)",
    "activity": "SELECT n FROM channel_activity c JOIN messages m USING (n) WHERE c.identity <> m.identity",
    "search": "SELECT rowid FROM search WHERE rowid NOT IN (SELECT id FROM profiles WHERE customer = 1)",
    "customers not found": "SELECT id FROM profiles WHERE customer = 1 AND id NOT IN (SELECT rowid FROM search)",
    "sessions": "SELECT profile FROM sessions WHERE profile NOT IN (SELECT id FROM profiles)",
    "orders": "SELECT owner FROM orders WHERE owner NOT IN (SELECT id FROM profiles)",
    "addresses": "SELECT t FROM addresses a WHERE NOT EXISTS "
    "(SELECT 1 FROM messages m WHERE m.identity = a.uid AND m.t = a.t AND m.outcome = 0) AND a.uid <> 0",
    "search of nobody": "SELECT rowid FROM search WHERE rowid NOT IN (SELECT id FROM identities)",
}
"""Queries that must find nothing."""
OF_BODIES = [f"SELECT place, lead FROM {table}" for table in ("messages", "duplicates", "discards")]


def leftovers(account: Account) -> dict[str, Any]:
    """What stands somewhere and should not."""
    found: dict[str, Any] = {name: account.rows(query) for name, query in DANGLING.items()}
    runs = {
        (run.uid, alias)
        for alias, packed in account.rows("SELECT id, runs FROM identities")
        for run in unpack(packed)
        if run.uid != NOBODY
    }
    found["ownership"] = runs ^ set(account.rows("SELECT uid, alias FROM ownership"))
    taken = {
        (entry.profile, number)
        for number, state in account.rows("SELECT id, state FROM orders")
        for entry in unpack_order(state).entries
    }
    found["order_profiles"] = taken ^ set(account.rows('SELECT profile, "order" FROM order_profiles'))
    found["pieces"] = _in_no_history(account)
    found["bodies"] = _misplaced_bodies(account) if account.database else ()
    found["counters"] = _miscounted(account)
    return {name: rows for name, rows in found.items() if rows}


def _misplaced_bodies(account: Account) -> set[int]:
    """The places that something points at where nothing is kept, and those of bodies and heads that nobody needs."""
    rows = [row for query in OF_BODIES for row in account.rows(query)]
    needed = {place for place, _ in rows} | {place - lead for place, lead in rows}
    return needed ^ {place for (place,) in account.rows("SELECT place FROM bodies")}


def _in_no_history(account: Account) -> list[tuple[int, int]]:
    """The messages, as identity and number, that a piece holds though none should, or another does, too.

    Channel activity may have moved to another identity: then the piece is given up when it is next needed.
    """
    history = set(account.rows("SELECT identity, n FROM history"))
    moved = {n for (n,) in account.rows("SELECT n FROM channel_activity")}
    with account.state() as connection:
        held = Counter(
            (identity, number)
            for (identity,) in account.rows("SELECT DISTINCT identity FROM pieces")
            for outline in piece_rows.outlines(connection, identity, 0, FOREVER)
            for number in outline.numbers
        )
    return [each for each, times in held.items() if times > 1 or (each not in history and each[1] not in moved)]


def _miscounted(account: Account) -> dict[Any, Any]:
    """The counters that do not say how many messages and repeats there are."""
    counted: Counter[tuple[int, str]] = Counter()
    outcomes = ("kept", "unsupported", "filtered", "failed", "told")
    for source, outcome in account.rows("SELECT source, outcome FROM messages"):
        counted[source, outcomes[outcome]] += 1
    for (source,) in account.rows("SELECT m.source FROM duplicates d JOIN messages m USING (n)"):
        counted[source, "duplicate"] += 1
    said = {(source, what): count for source, what, count in account.rows("SELECT source, what, count FROM counters")}
    return {key: (said.get(key, 0), counted[key]) for key in said.keys() | counted if said.get(key, 0) != counted[key]}
