"""A regulation where no server runs: this command owns the log and the state until all of it is done."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from time import time

from sqlalchemy import Connection, Engine

from richpanel.commands.appending import appending
from richpanel.core import record
from richpanel.core.record import Meta
from richpanel.core.regulation import DOOR, Regulation, encode_regulation
from richpanel.log.contract import LogFull
from richpanel.log.segments import SegmentReader, SegmentWriter
from richpanel.process.definitions import Watch
from richpanel.process.scrubbing import (
    Debt,
    ScrubbingError,
    conclude,
    copy_state,
    debt,
    erase_bodies,
    erase_deliveries,
    scrub_definitions,
)
from richpanel.process.worker import CACHE_MIB, Worker
from richpanel.store import ledger, state_files
from richpanel.store.database import open_engine
from richpanel.store.directory import DataDirectory
from richpanel.store.sources import list_sources

Say = Callable[[str], None]
"""Hears what is being done."""
Asked = tuple[Regulation, int]
"""A regulation, and when it came in (ms UTC)."""


def regulate(directory: DataDirectory, asked: Sequence[Asked], say: Say) -> None:
    """Put regulations into the log, apply all that is in it, and scrub the files.

    The caller has made sure that nobody else uses the directory. Raises LogLocked, LogDamaged, OSError and
    sqlalchemy.exc.DatabaseError; whatever was begun is ended by the next start of a server.
    """
    with _opened(directory) as (account, reader):
        watch = Watch(account)
        asyncio.run(append(directory, watch, asked))
        say("processing the log")
        _process(directory, watch, reader)
        say("scrubbing the files")
        try:
            _scrub(directory, watch)
        except ScrubbingError as error:  # Somebody reads, or a rebuild runs.
            raise OSError(str(error)) from None


@contextmanager
def _opened(directory: DataDirectory) -> Iterator[tuple[Engine, SegmentReader]]:
    account, reader = open_engine(directory.account_url, cache_mib=1), SegmentReader(directory.log)
    try:
        yield account, reader
    finally:
        reader.close()
        account.dispose()


async def append(directory: DataDirectory, watch: Watch, asked: Sequence[Asked]) -> None:
    """Note regulations in the ledger, and put them into the log. Raises LogLocked, LogFull, LogUnsure, OSError."""
    source = next(row for row in watch.look_up(lambda conn: list_sources(conn, deleted=True)) if row.type == "channel")
    async with appending(directory) as writer:
        for regulation, at in asked:
            watch.write(partial(_note, regulation=regulation, at=at))
            meta = Meta(at=at, source=source.id, sizes=[], door=DOOR)
            try:
                await writer.append(record.encode(meta, [encode_regulation(regulation)]))
            except (LogFull, OSError):
                watch.write(partial(ledger.withdraw, regulation_id=regulation.id))
                raise


def _note(connection: Connection, *, regulation: Regulation, at: int) -> None:
    ledger.note(connection, regulation, at)


def _process(directory: DataDirectory, watch: Watch, reader: SegmentReader) -> None:
    state = open_engine(directory.state_url, cache_mib=CACHE_MIB)
    worker = Worker(reader, state, watch)
    try:
        while worker.step() is not None:
            pass
    finally:
        worker.close()
        state.dispose()


def _scrub(directory: DataDirectory, watch: Watch) -> None:
    state = open_engine(directory.state_url)
    try:
        owed = debt(state, watch)
        if owed is None:
            return
        if owed.spans:
            asyncio.run(_erase(directory, owed))
        _erase_deliveries(directory, watch, owed)
        if owed.erases:
            state.dispose()
            _switch(directory)
        scrub_definitions(watch, owed)
        conclude(state, watch, owed, int(time() * 1000))
    finally:
        state.dispose()


async def _erase(directory: DataDirectory, owed: Debt) -> None:
    writer = SegmentWriter.open(directory.log)
    try:
        await erase_bodies(writer, owed)
    finally:
        await writer.close()


def _erase_deliveries(directory: DataDirectory, watch: Watch, owed: Debt) -> None:
    delivery = open_engine(directory.delivery_url, cache_mib=1)
    try:
        erase_deliveries(delivery, watch, owed)
    finally:
        delivery.dispose()


def _switch(directory: DataDirectory) -> None:
    """Put the clean copy in force, and remove what it replaces."""
    replaced = state_files.switch(directory.path, copy_state(directory.path))
    state_files.take_back(directory.path)
    state_files.remove(directory.path, replaced)
