"""Limits how often a password or a code may be tried: after five failures, each further one makes the next wait longer.

The tries stand beside the definitions, so that they count together on all nodes. A try counts as failed from its
beginning until it is known to be right: those that come at once pass no sooner than those that come one by one.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from richpanel.store.bulk import LISTED, fetch, listed, on_postgres, run

MOST: Final = 10_000
"""So many keys are remembered; of more, those whose wait is over first are forgotten."""
_FREE: Final = 5
_LONGEST_SECONDS: Final = 300
_LET_GO: Final = 100
"""So many old ones are let go at a time: nobody's try pays for a flood of others."""
_NOTED: Final = (
    "INSERT INTO sign_in_tries (key, failures, until) VALUES (?, 0, 0) "
    "ON CONFLICT (key) DO UPDATE SET failures = sign_in_tries.failures RETURNING failures, until"
)


def wait_of(conn: Connection, keys: Sequence[str], *, now: int) -> int:
    """Give the seconds until the next try with these keys (a login, an address); 0 if it may be made `now` (ms UTC)."""
    rows = fetch(conn, f"SELECT until FROM sign_in_tries WHERE key IN {LISTED}", listed(_digests(keys)))
    return _seconds([until for (until,) in rows], now)


def begin_try(conn: Connection, keys: Sequence[str], *, now: int) -> int:
    """Note a try, as failed, and give 0; where it may not be made yet (`now` is ms UTC), give the seconds to wait."""
    _let_go(conn, now)
    digests = _digests(keys)
    found = [fetch(conn, _NOTED, digest)[0] for digest in digests]  # Each row is held from here to the commit.
    wait = _seconds([until for _, until in found], now)
    if wait:
        return wait
    for digest, (failures, until) in zip(digests, found, strict=True):
        count = 1 if now - until > _LONGEST_SECONDS * 1_000 else failures + 1  # Quiet for long enough: afresh.
        pause = min(2 ** (count - _FREE), _LONGEST_SECONDS) if count >= _FREE else 0
        run(conn, "UPDATE sign_in_tries SET failures = ?, until = ? WHERE key = ?", count, now + pause * 1_000, digest)
    return 0


def was_right(conn: Connection, keys: Sequence[str]) -> None:
    """Forget the failures of these keys."""
    for digest in _digests(keys):
        run(conn, "DELETE FROM sign_in_tries WHERE key = ?", digest)


def _digests(keys: Sequence[str]) -> list[str]:
    """Give what is kept of keys, in the one order in which all nodes take rows: what somebody typed is not kept."""
    return sorted(sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32] for key in keys)


def _seconds(untils: Sequence[int], now: int) -> int:
    return max((-(-(until - now) // 1_000) for until in untils if until > now), default=0)


def _let_go(conn: Connection, now: int) -> None:
    """Let go of some whose wait is long over, and of some that are too many."""
    over = fetch(conn, "SELECT count(*) FROM sign_in_tries")[0][0] - MOST
    others = "FOR UPDATE SKIP LOCKED" if on_postgres(conn) else ""  # What is held, somebody else is trying with.
    statement = (
        f"DELETE FROM sign_in_tries WHERE key IN (SELECT key FROM sign_in_tries WHERE until < ? "
        f"ORDER BY until LIMIT ? {others})"
    )
    run(conn, statement, now - _LONGEST_SECONDS * 1_000, _LET_GO)
    if over > 0:
        run(conn, statement, 1 << 62, min(over, _LET_GO))
