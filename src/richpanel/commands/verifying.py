"""What `richpanel erase --verify` looks at: the chain of receipts, the state, the log and the files."""

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import msgspec
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Connection, Engine

from richpanel.commands.invocation import console, print_json, state
from richpanel.core.codes import Code
from richpanel.core.regulation import broken
from richpanel.log.contract import LogDamaged, LogGone
from richpanel.log.segments import SegmentReader
from richpanel.process.definitions import Watch
from richpanel.process.incoming import open_batch
from richpanel.process.refusing import sift
from richpanel.process.scrubbing import others
from richpanel.store import erased, erasing, ledger
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.status import processed

_BYTES: Final = 4 << 20


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
        f"messages looked for in the state and in {found.log_bytes / 1e6:,.1f} MB of the log"
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
    problems += [f"{name} is a file of the state that is not in force" for name in others(directory.path)]
    with reading(engine) as connection:
        problems += _in_state(connection, key, covered, messages)
        end = processed(connection).position
        owed = {each.place for each in erasing.owed(connection)}
    if owed:
        problems.append(f"{len(owed):,} bodies in the log are still to be erased: a running server does that")
    with closing(SegmentReader(directory.log)) as log:
        problems += _in_log(log, watch, end, owed, bar)
        first = log.first()
    return Verified(len(rows), len(chain), len(covered), len(messages), end - first, problems)


def _in_state(connection: Connection, key: bytes, covered: erased.Covered, messages: set[int]) -> Iterator[str]:
    """Tell what of erased people is in the state."""
    for kind, count in erased.rows_of(connection, key, covered).items():
        yield f"{count:,} {kind} of people who were erased are in the state"
    if found := erased.messages_among(connection, messages):
        yield f"{found:,} messages that were erased are in the state"


def _in_log(log: SegmentReader, watch: Watch, end: int, owed: set[int], bar: Progress) -> Iterator[str]:
    """Read every record, and tell where something stands that must not."""
    known = watch.current()
    try:
        position = log.first()
        task = bar.add_task("reading the log", total=end - position)
        while position < end and (entries := log.read(position, _BYTES)):
            opened = sift(open_batch(entries, known), known, log.slice, watch.erased_among)
            position = opened.end
            bar.advance(task, position - entries[0].start)
            for each in opened.private:
                if each.code is Code.ERASED and each.place not in owed and each.place < end:
                    yield f"the log has a body of somebody who was erased at {each.place:,}"
    except (LogDamaged, LogGone) as error:
        yield f"the log cannot be read: {error}"


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    out = console(stderr=True)
    return Progress(*columns, console=out, disable=not out.is_terminal, transient=True)
