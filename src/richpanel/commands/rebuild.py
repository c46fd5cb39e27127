"""`richpanel rebuild`: a new state from the log, compared with the one in force, which it then replaces.

The command folds the log into a file of its own. Who holds `process.lock` makes the switch: the server where one runs,
else this command (docs/decisions/0010). A server whose account has other settings than its state was folded with starts
it by itself (`roles.rebuilding`): `python -m richpanel.commands.rebuild`, its settings on stdin.
"""

import json as stdlib_json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.filesize import decimal
from sqlalchemy import Engine
from sqlalchemy.exc import DatabaseError

from richpanel import telemetry
from richpanel.commands.invocation import AsJson, Data, directory_of, fail, ready
from richpanel.commands.rebuild_cluster import remake
from richpanel.commands.rebuild_shown import Bar, Choice, Outcome, show_tallies
from richpanel.commands.rebuild_told import CHANGED, ENDING, Telling, told
from richpanel.commands.stopping import stopping
from richpanel.config import read_settings
from richpanel.log.segments import SegmentReader
from richpanel.process.definitions import Watch
from richpanel.process.rebuilding import Known, Rebuild, RebuildError, compare_states, position_of
from richpanel.process.worker import CACHE_MIB
from richpanel.roles.parent import die_with_parent
from richpanel.roles.succession import succeed
from richpanel.store import copying, progress, state_files
from richpanel.store.account import made_anew
from richpanel.store.comparison import Tally
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.migrating import migrate

_NICE: Final = 10
_NEAR_BYTES: Final = 4 << 20
"""How near to the state in force the new one is brought before anything is made to wait for it."""
_ROUNDS: Final = 20
_LOOK_SECONDS: Final = 0.2


def rebuild(
    *,
    dry_run: Annotated[bool, Parameter(negative=(), help="Compare, and do not switch.")] = False,
    yes: Annotated[bool, Parameter(negative=(), help="Switch although the two differ, without asking.")] = False,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Make the state anew, compare, and switch."""
    _run_on(ready(data), Choice(dry_run=dry_run, yes=yes, json=json))


def main() -> None:
    """Make the state anew as a server wants it, and switch; the settings are on stdin. Ends with that server."""
    die_with_parent()
    settings = read_settings(stdlib_json.load(sys.stdin), {}).settings
    _run_on(directory_of(settings), Choice(dry_run=False, yes=True, json=True))


def _run_on(directory: DataDirectory, choice: Choice) -> None:
    telemetry.configure_logging("rebuild", style="auto", level="error")
    os.nice(_NICE)
    stopping.listen()
    if directory.database_url is not None:
        remake(directory, directory.database_url, choice)
    else:
        _rebuild(directory, choice)


def _rebuild(directory: DataDirectory, choice: Choice) -> None:
    started = time.monotonic()
    with state_files.try_lock(directory.path / state_files.REBUILDING) as alone:
        if not alone:
            fail(f"another rebuild runs on {directory.path}: wait for it, or stop it")
        _clean(directory.path)
        try:
            with told(directory, dry_run=choice.dry_run) as telling, _opened(directory) as sides:
                tallies = _run(sides, choice, telling)
        except ENDING as error:
            fail(f"{error}; the state in force is what it was")
        except DatabaseError as error:
            fail(f"the database cannot be used: {error.orig}; the state in force is what it was")
    switched = state_files.in_force(directory.path) == sides.path.name
    Outcome(sides.position, switched, time.monotonic() - started, tallies).tell(choice)


@dataclass
class Sides:
    """The state in force, the file of the new one, what both are folded from; `position` is where they compare."""

    directory: DataDirectory
    path: Path
    log: SegmentReader
    account: Engine
    ledger: Engine
    old: Engine
    position: int = 0

    @property
    def url(self) -> str:
        """Where the new state is."""
        return self.directory.state_file_url(self.path.name)


def _clean(directory: Path) -> None:
    """Remove what a killed rebuild left, unless the server is just taking it over."""
    found = state_files.handed_over(directory)
    if found is not None and found.refused is None:
        with state_files.try_lock(directory / state_files.PROCESSING) as free:
            if not free:
                fail("the server is just switching to an earlier rebuild: try again when it has")
            state_files.take_back(directory)
    state_files.clean(directory)


@contextmanager
def _opened(directory: DataDirectory) -> Iterator[Sides]:
    """Open the state in force and make the file of a new one; it is removed unless it was handed over."""
    log = SegmentReader(directory.log)
    account = open_engine(directory.account_url, read_only=True, cache_mib=1)
    ledger = open_engine(directory.account_url, cache_mib=1)
    old = open_engine(directory.state_url, read_only=True)
    sides = Sides(directory, state_files.create(directory.path), log, account, ledger, old)
    try:
        if (first := log.first()) > 0:
            raise RebuildError(f"the log begins at {first:,}: what was before is gone, and would be missing")
        _see_to_room(directory)
        yield sides
    finally:
        log.close()
        for engine in (account, ledger, old):
            engine.dispose()
        found = state_files.handed_over(directory.path)
        if found is None or found.refused is not None:
            if found is not None:
                state_files.take_back(directory.path)
            state_files.remove(directory.path, sides.path.name)


def _see_to_room(directory: DataDirectory) -> None:
    """See to it that the disk has room for the state once more: a full one refuses calls. Raises RebuildError."""
    with copying.frozen(directory.state_url) as state:
        needed, free = copying.size(state), shutil.disk_usage(directory.path).free
    if needed > free:
        raise RebuildError(
            f"{decimal(needed)} are needed in {directory.path} for a while, and {decimal(free)} are free"
        )


def _run(sides: Sides, choice: Choice, telling: Telling) -> list[Tally]:
    migrate(sides.url, "state")
    definitions = Watch(sides.account, sides.ledger)
    settings = definitions.current().account
    with Bar(telling) as bar:
        new = open_engine(sides.url, cache_mib=CACHE_MIB)
        with closing(Rebuild(sides.log, new, sides.old, definitions)) as made:
            _follow(made, sides.old, bar)
            tallies = _compare(sides, made, definitions, bar)
            bar.stop()
            if not choice.json:
                show_tallies(tallies)
            if not choice.switches(tallies):
                return tallies
            _follow(made, sides.old, bar)
        if definitions.current().account != settings:
            raise RebuildError(CHANGED)
        bar.say("switch")
        _switch(sides, definitions)
        definitions.write(lambda account: made_anew(account, settings))
    return tallies


def _follow(made: Rebuild, old: Engine, bar: Bar) -> None:
    """Fold up to where the state in force is, and again what that has gained meanwhile, until little is left."""
    for _ in range(_ROUNDS):
        until = position_of(old)
        if until - made.position < _NEAR_BYTES:
            return
        made.advance(until, bar.folded(until))


def _compare(sides: Sides, made: Rebuild, definitions: Watch, bar: Bar) -> list[Tally]:
    """Compare the new state with a snapshot of the old one, both at the snapshot's position."""
    read_only = open_engine(sides.url, read_only=True)
    try:
        with reading(sides.old) as old:
            sides.position = progress.read(old).position
            made.advance(sides.position, bar.folded(sides.position))
            now = round(time.time() * 1000)
            made.settle(old, now)
            known = definitions.current()
            rows = {source.number: source for source in known.sources.values()}
            with reading(read_only) as new:
                return compare_states(old, new, Known(known.account.hash_key, rows, sides.log.slice, now), bar.compared)
    finally:
        read_only.dispose()


def _switch(sides: Sides, definitions: Watch) -> None:
    """Hand the new state over, and wait until it is in force; where nobody processes, this command makes the switch."""
    path = sides.directory.path
    state_files.hand_over(path, sides.path.name)
    try:
        while True:
            with state_files.try_lock(path / state_files.PROCESSING) as free:
                replaced = succeed(sides.directory, sides.log, definitions, lambda: True) if free else None
            if replaced is not None:
                time.sleep(state_files.GRACE_SECONDS)
                state_files.remove(path, replaced)
            found = state_files.handed_over(path)
            if found is None:
                return
            if found.refused is not None:
                raise RebuildError(f"the new state could not be put in force: {found.refused}")
            stopping.obey()
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        fail("the new state is handed over already: the server, or its next start, switches to it", 130)


if __name__ == "__main__":
    main()
