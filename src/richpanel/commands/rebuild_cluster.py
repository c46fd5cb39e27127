"""`richpanel rebuild` on a cluster: a new state in a schema of its own, which takes the old one's name.

Workers and pages go on meanwhile. At the end, and for as long as it takes to take up what came last, workers wait for
this command, which makes the switch: one transaction, so that whenever it is killed either state is in force.
"""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from richpanel.commands.invocation import fail
from richpanel.commands.rebuild_shown import Bar, Choice, Outcome, show_tallies
from richpanel.commands.rebuild_told import CHANGED, ENDING, Telling, told
from richpanel.process.definitions import Watch
from richpanel.process.rebuilding import Known, RebuildError, compare_states
from richpanel.process.remaking import Remake, nowhere, refuse_while_erasing
from richpanel.store import moving, progress, status, successor, turns
from richpanel.store.account import made_anew
from richpanel.store.advisory import Seat
from richpanel.store.comparison import Tally
from richpanel.store.database import open_engine, reading
from richpanel.store.definitions import changed
from richpanel.store.directory import DataDirectory
from richpanel.store.successor import StillReadError
from richpanel.store.urls import schema_url

_PATIENCE_SECONDS: Final = 60.0
"""How long we wait for locks that others hold."""
_SWITCH_SECONDS: Final = 600.0
"""How long we wait for somebody who reads the state in force: an export, for one."""
_RETRY_SECONDS: Final = 1.0


@dataclass
class Sides:
    """The state in force and the new one, by what may write and what may not; `position` is where they compare."""

    database_url: str
    word: str
    watch: Watch
    old: Engine
    new: Engine
    position: int = 0
    switched: bool = False


def remake(directory: DataDirectory, database_url: str, choice: Choice) -> None:
    """Make the state anew, compare, and switch."""
    started = time.monotonic()
    with closing(Seat(database_url, "rebuild")) as seat:
        if not seat.is_held():
            fail(f"another rebuild runs on {directory.databases}: wait for it, or stop it")
        try:
            with told(directory, dry_run=choice.dry_run) as telling, _opened(directory, database_url) as sides:
                tallies = _run(sides, choice, telling)
        except ENDING as error:
            fail(f"{error}; the state in force is what it was")
        except DatabaseError as error:
            fail(f"the database cannot be used: {error.orig}; the state in force is what it was")
    Outcome(sides.position, sides.switched, time.monotonic() - started, tallies).tell(choice)


@contextmanager
def _opened(directory: DataDirectory, database_url: str) -> Iterator[Sides]:
    """Open the state in force and make the schema of a new one; whichever is not in force at the end is dropped."""
    account = open_engine(directory.account_url, read_only=True)
    ledger = open_engine(directory.account_url)
    old = open_engine(directory.state_url, read_only=True)
    new = open_engine(schema_url(database_url, successor.SUCCESSOR), busy_seconds=_PATIENCE_SECONDS)
    watch = Watch(account, ledger)
    try:
        refuse_while_erasing(watch)
        word = ""
        try:
            word = successor.make(database_url)
            successor.furnish(database_url)
            yield Sides(database_url, word, watch, old, new)
        except DatabaseError:
            if word and not _is_there(old, word):
                raise RebuildError("somebody was erased meanwhile: run it again") from None
            raise
        finally:
            old.dispose()
            new.dispose()
            successor.drop(database_url)
    finally:
        for engine in (account, ledger, old, new):
            engine.dispose()


def _is_there(old: Engine, word: str) -> bool:
    with reading(old) as connection:
        return successor.is_there(connection, word)


def _run(sides: Sides, choice: Choice, telling: Telling) -> list[Tally]:
    settings = sides.watch.current().account
    with Bar(telling) as bar:
        made = Remake(sides.old, sides.new, sides.watch)
        _advance(sides, made, bar)
        with sides.new.begin() as connection:
            moving.analyze(connection)
        tallies = _compare(sides, made, bar)
        bar.stop()
        if not choice.json:
            show_tallies(tallies)
        if not choice.switches(tallies):
            return tallies
        _advance(sides, made, bar)
        bar.say("switch")
        if sides.watch.current().account != settings:
            raise RebuildError(CHANGED)
        _switch(sides, made, bar)
        sides.watch.write(lambda account: made_anew(account, settings))
    return tallies


def _advance(sides: Sides, made: Remake, bar: Bar) -> None:
    made.advance(bar.taken_up(_waiting(sides, made)))


def _waiting(sides: Sides, made: Remake) -> int:
    """Count the messages that are still to be taken up."""
    with reading(sides.old) as connection:
        counts = status.source_counts(connection)
    return sum(sum(each.values()) for each in counts.values()) - made.items


def _compare(sides: Sides, made: Remake, bar: Bar) -> list[Tally]:
    """Compare the new state with a snapshot of the old one, once it has all that is in there."""
    with reading(sides.old) as old:
        sides.position = progress.read(old).position
        made.follow(old, bar.taken_up(_waiting(sides, made)))
        with sides.new.begin() as new:
            successor.hand_down_counts(old, new)
        now = round(time.time() * 1000)
        made.settle(old, now)
        known = sides.watch.current()
        rows = {source.number: source for source in known.sources.values()}
        read_only = open_engine(schema_url(sides.database_url, successor.SUCCESSOR), read_only=True)
        try:
            with reading(read_only) as new:
                return compare_states(old, new, Known(known.account.hash_key, rows, nowhere, now), bar.compared)
        finally:
            read_only.dispose()


def _switch(sides: Sides, made: Remake, bar: Bar) -> None:
    """Put the new state in force as soon as nobody reads the old one; workers wait for a moment each time we try."""
    old = open_engine(schema_url(sides.database_url, successor.STATE), busy_seconds=_PATIENCE_SECONDS)
    until = time.monotonic() + _SWITCH_SECONDS
    try:
        while True:
            try:
                _put_in_force(sides, made, old)
            except StillReadError:
                if time.monotonic() > until:
                    raise
                bar.say("switch")
                time.sleep(_RETRY_SECONDS)
            else:
                sides.switched = True
                return
    finally:
        old.dispose()


def _put_in_force(sides: Sides, made: Remake, old: Engine) -> None:
    """Take up what came last while no worker writes, and switch. Raises RebuildError, StillReadError."""
    with old.begin() as connection:
        turns.alone(connection)
        if made.is_erasing() or not successor.is_there(connection, sides.word):
            raise RebuildError("somebody was erased meanwhile: run it again")
        if not successor.is_of_one_version(connection):
            raise RebuildError("another version was started meanwhile: run it again")
        made.follow(connection, lambda _: None)
        successor.stop_writers(connection)
        with sides.new.begin() as new:
            successor.hand_down_counts(connection, new)
            handed_down = successor.hand_down(new, made.owed)
        successor.keep_others_out(connection, handed_down)
        # Before it is in force: who remembers something of the old one writes nothing now, and forgets it with this.
        sides.watch.write(changed)
        successor.rename(connection)
