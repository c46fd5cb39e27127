"""Scrubbing: what is gone from every answer goes from the files, too (docs/decisions/0012).

Bodies are erased in the log. The state's file keeps old bytes in what its pages do not use, so a clean copy of it takes
its place, as a rebuilt one does. Every step can be made again after a crash: what is owed stands in the state until all
of it is done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, Engine

from richpanel.core.regulation import Wal, digest_of
from richpanel.log.contract import LogEraser, LogReader
from richpanel.process.definitions import Watch
from richpanel.store import erasing, ledger, state_files
from richpanel.store.copying import clean_copy
from richpanel.store.database import reading
from richpanel.store.delivery_erasing import erase, named
from richpanel.store.erasing import Owed
from richpanel.store.status import processed

SPANS_AT_ONCE: Final = 1_000_000
"""How many bodies the log's owner is asked to erase at a time: each time it writes every file anew that has some."""


class ScrubbingError(Exception):
    """It cannot be done just now; the text says why."""


@dataclass(frozen=True)
class Debt:
    """All that is owed at a moment: `last` is its newest number, `regulations` those that are done with it.

    `places` has those of the bodies by the regulation that they are owed for.
    """

    last: int
    spans: Sequence[tuple[int, int]]
    regulations: Sequence[str]
    erases: bool
    places: Mapping[str | None, Sequence[int]]

    @staticmethod
    def of(owed: Sequence[Owed], erasing_ids: set[str]) -> "Debt":
        """Sum up; `erasing_ids` are the regulations that erase, for whose sake the file is made anew."""
        ids = list(dict.fromkeys(each.regulation for each in owed if each.regulation is not None))
        spans = [(each.place, each.size) for each in owed if each.size]
        places: dict[str | None, list[int]] = {}
        for each in owed:
            places.setdefault(each.regulation, []).append(each.place)
        return Debt(owed[-1].id, spans, ids, not erasing_ids.isdisjoint(ids), places)


def debt(state: Engine, watch: Watch) -> Debt | None:
    """Tell what is owed; None where nothing is."""
    with reading(state) as connection:
        owed = erasing.owed(connection)
    if not owed:
        return None
    ids = {each.regulation for each in owed if each.regulation is not None}

    def erasing_ids(ledgers: Connection) -> set[str]:
        rows = [ledger.find(ledgers, each) for each in ids]
        return {row.id for row in rows if row is not None and row.regulation.deletes}

    return Debt.of(owed, watch.look_up(erasing_ids))


def give_up_lost(state: Engine, watch: Watch, log: LogReader, before: int) -> None:
    """Say of regulations noted before an instant (ms UTC) that never got into the log that they must be asked for anew.

    The server that was to append one was killed.
    """
    if not watch.look_up(lambda ledgers: ledger.lost(ledgers, before)):
        return
    with reading(state) as connection:
        if processed(connection).position < log.end_now():
            return
    watch.write(lambda ledgers: ledger.give_up(ledgers, before))


async def erase_bodies(log: LogEraser, owed: Debt) -> None:
    """Erase the bodies in the log. Raises what `LogEraser.erase` raises."""
    for start in range(0, len(owed.spans), SPANS_AT_ONCE):
        await log.erase(owed.spans[start : start + SPANS_AT_ONCE])


def erase_deliveries(delivery: Engine, watch: Watch, owed: Debt) -> None:
    """Erase what was sent outside, or waits to be, of the bodies that are owed. Raises ScrubbingError.

    The receipt's figures are noted first: a second time there is nothing left to count.
    """
    secret = watch.current().account.hash_key
    counted = {id_: named(delivery, owed.places[id_]) for id_ in owed.regulations if id_ in owed.places}
    told = {id_: {"deliveries": digest_of(secret, keys)} for id_, keys in counted.items() if keys}
    if told:
        watch.write(lambda ledgers: ledger.also_erased(ledgers, told))
    if not erase(delivery, [place for places in owed.places.values() for place in places]):
        raise ScrubbingError("somebody reads the deliveries for a long time: their write-ahead log cannot be cut")


def scrub_definitions(watch: Watch, owed: Debt) -> None:
    """Let go of what the definitions' files still have of saved views that named somebody. Raises ScrubbingError."""
    if owed.erases and not watch.scrub():
        raise ScrubbingError("somebody reads the definitions for a long time: their write-ahead log cannot be cut")


def copy_state(directory: Path) -> str:
    """Make a clean copy of the state in force and hand it over, as a rebuilt one is; give its name.

    Raises ScrubbingError where a rebuild runs: what that makes may take this one's place.
    """
    with state_files.try_lock(directory / state_files.REBUILDING) as free:
        if not free:
            raise ScrubbingError("a rebuild runs: the state's file is made anew when it has ended")
        path = state_files.create(directory)
        try:
            clean_copy(directory / state_files.STATE, path)
            state_files.hand_over(directory, path.name)
        except BaseException:
            state_files.remove(directory, path.name)
            raise
    return path.name


def others(directory: Path) -> list[str]:
    """Name the state's files beside the one in force: what is erased may still stand in them."""
    force = state_files.in_force(directory)
    known = {force, *(f"{force}{suffix}" for suffix in ("-wal", "-shm"))}
    if force != state_files.STATE:
        known.add(state_files.STATE)  # The link.
    return sorted(path.name for path in directory.glob("state*.db*") if path.name not in known)


def conclude(state: Engine, watch: Watch, owed: Debt, now: int, wal: Wal | UnsetType = UNSET) -> None:
    """Write the receipts of what is done, and owe it no longer. `now` is ms UTC."""
    secret = watch.current().account.hash_key

    def finish(ledgers: Connection) -> None:
        for regulation in owed.regulations:
            ledger.finish(ledgers, secret, regulation, now, wal)

    watch.write(finish)
    with state.begin() as connection:
        erasing.done(connection, owed.last)
