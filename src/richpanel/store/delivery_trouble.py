"""Trouble: destinations outside that do not take what is sent, told in a few short questions for the first page."""

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection

from richpanel.core.timestamps import iso
from richpanel.store.bulk import fetch
from richpanel.store.deliveries import DEAD, FAILED, RETRYING
from richpanel.store.destinations import ACCOUNT, DestinationRow

COUNTED: Final = 10_000
"""Waiting calls are counted up to here."""
SOON_MS: Final = 10_000
"""A failed try is no trouble before so long has passed: the next one is made within a second or two."""
RECENT_MS: Final = 3_600_000


class Trouble(msgspec.Struct, kw_only=True):
    """A destination in trouble.

    `waiting` calls (up to `COUNTED`) wait, and one has been tried in vain since `since`, the last time with `code` and
    the status `answer`, if there was an answer. `refused` were given up in the last hour, `dead` of them after the last
    try, most often for `refusal`.
    """

    destination: str
    name: str
    waiting: int = 0
    since: str | None = None
    code: str | None = None
    answer: int | None = None
    refused: int = 0
    dead: int = 0
    refusal: str | None = None


def troubles(delivery: Connection, destinations: Iterable[DestinationRow], now: int) -> list[Trouble]:
    """Find the destinations that are in trouble; `now` is ms UTC."""
    found = []
    for row in destinations:
        if row.endpoint == ACCOUNT:
            continue
        trouble = Trouble(destination=row.id, name=row.name)
        _in_vain(delivery, trouble, row.number, now)
        _refused(delivery, trouble, row.number, now)
        if trouble.waiting or trouble.refused:
            found.append(trouble)
    return found


def _in_vain(delivery: Connection, trouble: Trouble, number: int, now: int) -> None:
    oldest = fetch(
        delivery, "SELECT id FROM deliveries WHERE destination = ? AND status = ? ORDER BY id LIMIT 1", number, RETRYING
    )
    if not oldest:
        return
    tries = fetch(delivery, "SELECT at, status_code, code FROM attempts WHERE delivery = ? ORDER BY number", *oldest[0])
    if not tries or tries[0][0] > now - SOON_MS:
        return
    ((waiting,),) = fetch(
        delivery,
        "SELECT count(*) FROM (SELECT 1 FROM deliveries WHERE destination = ? AND status < 2 LIMIT ?) counted",
        *(number, COUNTED),
    )
    trouble.waiting, trouble.since = int(waiting), iso(tries[0][0])
    _, trouble.answer, trouble.code = tries[-1]


def _refused(delivery: Connection, trouble: Trouble, number: int, now: int) -> None:
    """Count what was given up, but not by a person, who knows."""
    rows = fetch(
        delivery,
        "SELECT status, code, sum(count) FROM figures WHERE destination = ? AND minute >= ? AND status IN (?, ?) "
        "AND code <> 'dropped' GROUP BY status, code ORDER BY 3 DESC, 2",
        *(number, now - RECENT_MS, FAILED, DEAD),
    )
    trouble.refused = sum(int(count) for _, _, count in rows)
    trouble.dead = sum(int(count) for status, _, count in rows if status == DEAD)
    trouble.refusal = rows[0][1] or None if trouble.refused else None
