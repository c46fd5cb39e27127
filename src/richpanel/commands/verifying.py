"""What `richpanel erase --verify` looks at: the chain of receipts, the state, the log and the files."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing

import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection, Engine

from richpanel.commands.invocation import console, print_json, state
from richpanel.commands.kept_records import in_log, in_tables
from richpanel.core.codes import Code
from richpanel.core.regulation import broken
from richpanel.log.contract import Entry, LogDamaged
from richpanel.log.opening import open_reader
from richpanel.process.definitions import Watch
from richpanel.process.incoming import open_batch
from richpanel.process.refusing import sift
from richpanel.process.saved_views import count_naming
from richpanel.process.scrubbing import others
from richpanel.process.shared_batch import InHand
from richpanel.store import erased, erasing, ledger
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.status import processed


class Verified(msgspec.Struct, rename="camel"):
    """What was looked at, and what is wrong with it."""

    regulations: int
    receipts: int
    ids: int
    messages: int
    log_bytes: int
    problems: list[str]

    @property
    def verified(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_all(directory: DataDirectory, *, json: bool) -> None:
    """Look, and say what was found; the exit code is 1 where something is wrong."""
    account = open_engine(directory.account_url, read_only=True, cache_mib=1)
    try:
        with state(directory) as engine, _bar() as bar:
            found = _look(directory, account, engine, bar)
    finally:
        account.dispose()
    if json:
        print_json({"verified": found.verified, **msgspec.to_builtins(found)})
    else:
        console().print(_said(found))
    if not found.verified:
        sys.exit(1)


def _said(found: Verified) -> str:
    looked = (
        f"{found.regulations:,} regulations with {found.receipts:,} receipts; {found.ids:,} ids and {found.messages:,} "
        f"messages looked for in the state and in {found.log_bytes / 1e6:,.1f} MB of records"
    )
    if found.verified:
        return f"{looked}: the chain is whole, and nothing of them is there."
    return "\n".join([f"{looked}:", *(f"- {problem}" for problem in found.problems)])


def _look(directory: DataDirectory, account: Engine, engine: Engine, bar: Progress) -> Verified:
    watch = Watch(account)
    with reading(account) as connection:
        rows, chain = ledger.oldest_first(connection), ledger.chain(connection)
        covered, _ = ledger.all_tombstones(connection)
        messages = ledger.all_erased_messages(connection)
    key = watch.current().account.hash_key
    problems = [] if (wrong := broken(key, chain)) is None else [f"{wrong}: somebody has changed the ledger"]
    finished = {receipt.regulation for receipt in chain}
    problems += [
        f"{row.id} ({row.regulation.type}) is not done yet" + (f": {row.problem}" if row.problem else "")
        for row in rows
        if row.id not in finished and row.status != "FAILED"
    ]
    if directory.is_embedded:
        problems += [f"{name} is a file of the state that is not in force" for name in others(directory.path)]
    with reading(engine) as connection:
        problems += _in_state(connection, key, covered, messages)
        end = processed(connection).position
        owed = {each.place for each in erasing.owed(connection)}
    if owed:
        problems.append(f"{len(owed):,} bodies in the log are still to be erased: a running server does that")
    problems += _in_views(account, watch, covered)
    looked = _Looked(watch, bar)
    try:
        with closing(open_reader(directory.log, directory.log_url)) as log:
            found = looked.through("the log", in_log(log, end), first=log.first(), end=end)
            problems += [each for place, each in found if place < end and place not in owed]
    except (LogDamaged, ConnectionError) as error:
        problems.append(f"the log cannot be read: {error}")
    if not directory.is_embedded:
        strays: list[int] = []
        with reading(engine) as connection:
            stored = looked.through("the table of bodies", in_tables(connection, strays), first=0, end=end)
            problems += [each for _, each in stored]
        problems += [f"the table of bodies has one that belongs to no record at {place:,}" for place in strays]
    return Verified(len(rows), len(chain), len(covered), len(messages), looked.size, problems)


def _in_state(connection: Connection, key: bytes, covered: erased.Covered, messages: set[int]) -> Iterator[str]:
    """Tell what of erased people is in the state."""
    for kind, count in erased.rows_of(connection, key, covered).items():
        yield f"{count:,} {kind} of people who were erased are in the state"
    if found := erased.messages_among(connection, messages):
        yield f"{found:,} messages that were erased are in the state"


def _in_views(account: Engine, watch: Watch, covered: erased.Covered) -> Iterator[str]:
    """Tell of saved views that name an erased id; a name alone cannot be told from others', once it is gone."""
    with reading(account) as connection:
        if found := count_naming(connection, watch.current().account, covered):
            yield f"{found:,} saved views of the customers' list name people who were erased"


class _Looked:
    """Reads records, and tells where something stands that must not."""

    def __init__(self, watch: Watch, bar: Progress) -> None:
        self.size = 0
        """Bytes that were looked at."""
        self._watch = watch
        self._known = watch.current()
        self._bar = bar

    def through(self, what: str, records: Iterable[list[Entry]], *, first: int, end: int) -> Iterator[tuple[int, str]]:
        """Give the place of each body of somebody who was erased, and what to say of it."""
        task = self._bar.add_task(f"reading {what}", total=end - first)
        for entries in records:
            left = entries
            while left:
                opened = sift(open_batch(left, self._known), self._known, InHand(left), self._watch.erased_among)
                left = [entry for entry in left if entry.start >= opened.end]
                for each in opened.private:
                    if each.code is Code.ERASED:
                        yield each.place, f"{what} has a body of somebody who was erased at {each.place:,}"
            self.size += sum(len(entry.payload) for entry in entries)
            self._bar.update(task, completed=entries[-1].end - first)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    return Progress(*columns, console=out, disable=not out.is_terminal, transient=True)
