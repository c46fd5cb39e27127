"""What `richpanel doctor` looks at of what is delivered outside."""

import time
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DatabaseError

from richpanel.commands.checks import Check
from richpanel.core.timestamps import iso
from richpanel.store.bulk import fetch
from richpanel.store.database import open_engine, reading
from richpanel.store.delivery_waiting import Waiting, waiting
from richpanel.store.destinations import ACCOUNT, list_destinations
from richpanel.store.directory import DataDirectory

_LONG_MS: Final = 15 * 60_000
"""What waits for so long, while nothing arrives, does not wait for its turn."""


def deliveries(directory: DataDirectory) -> Iterator[Check]:
    """Look at each destination outside: what waits for it, since when, and whether anything arrives."""
    account = open_engine(directory.account_url, read_only=True, cache_mib=1)
    delivery = open_engine(directory.delivery_url, read_only=True, cache_mib=1)
    try:
        with reading(account) as connection:
            names = {row.number: row.name for row in list_destinations(connection) if row.endpoint != ACCOUNT}
        if not names:
            return
        with reading(delivery) as connection:
            for each in waiting(lambda query: fetch(connection, query), names):
                yield _check(names[each.destination], each, round(time.time() * 1000))
    except DatabaseError as error:
        yield Check("deliveries", "problem", f"cannot be read: {error.orig}")
    finally:
        account.dispose()
        delivery.dispose()


def _check(name: str, found: Waiting, now: int) -> Check:
    waits = f"{found.queued + found.retrying:,} wait"
    dead = f", {found.dead:,} are dead letters: replay or drop them" if found.dead else ""
    oldest = found.oldest_at
    if oldest is not None and now - oldest > _LONG_MS and (found.delivered_at or 0) < now - _LONG_MS:
        last = (
            "nothing has arrived yet" if found.delivered_at is None else f"the last arrived {iso(found.delivered_at)}"
        )
        todo = (
            "look at its tries under /deliveries, and at its endpoint and key; is a node with the role deliver there?"
        )
        return Check(f"deliveries to {name}", "problem", f"{waits} since {iso(oldest)}, {last}: {todo}{dead}")
    return Check(f"deliveries to {name}", "note" if dead else "ok", f"{waits}{dead}")
