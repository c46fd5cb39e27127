"""What `richpanel doctor` looks at of a cluster's log: its servers, the stream, what waits, what an answer is worth."""

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from rich.filesize import decimal
from sqlalchemy.exc import DatabaseError

from richpanel.commands.checks import Check, State
from richpanel.log.greeting import greeting, place_of
from richpanel.log.opening import stream_of
from richpanel.log.promise import StreamStatus, can_sync
from richpanel.log.stream import Stream, sequence_at
from richpanel.log.stream_reader import JetStreamReader
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.status import processed

_SECONDS: Final = 5.0
_NEARLY_FULL: Final = 0.8
_FULL: Final = 0.97
_RECORD_BYTES: Final = 1 << 20
"""What a request of the largest size needs in one message."""


def stream(directory: DataDirectory) -> Iterator[Check]:
    """Look at the log of a cluster."""
    wanted = stream_of(directory.log_url or "")
    for server in wanted.servers:
        yield _server(server)
    with closing(JetStreamReader(wanted, seconds=_SECONDS)) as log:
        try:
            status = log.status()
            last = log.durable()
        except ConnectionError as error:
            yield Check("log", "problem", f"{error}; calls are refused (429) until it is there")
            return
    yield _room(status)
    yield _replicas(wanted, status)
    yield Check("durability", "ok" if status.replicas >= 3 or can_sync(status.version) else "note", status.promise)
    yield _processing(directory, last, status.pending)


def _server(server: str) -> Check:
    name, place = "NATS", place_of(server)
    try:
        said = greeting(server)
    except OSError as error:
        return Check(name, "problem", f"{place} does not answer: {error.strerror or error}")
    text = f"{said.name or place} at {place}, nats-server {said.version}"
    if not said.has_jetstream:
        return Check(name, "problem", f"{text}: JetStream is off, start it with -js and a store on a disk of its own")
    if said.max_payload < _RECORD_BYTES:
        least = f"max_payload is {said.max_payload:,}, and a large call needs {_RECORD_BYTES:,}"
        return Check(name, "problem", f"{text}: {least}")
    return Check(name, "ok", text)


def _room(status: StreamStatus) -> Check:
    used = status.bytes / status.max_bytes
    text = f"stream {status.name}: {status.messages:,} records, {decimal(status.bytes)} of {decimal(status.max_bytes)}"
    if used < _NEARLY_FULL:
        return Check("log", "ok", text)
    state: State = "problem" if used >= _FULL else "note"
    return Check("log", state, f"{text}: once it is full, calls are refused (429) until the workers have caught up")


def _replicas(wanted: Stream, status: StreamStatus) -> Check:
    if status.replicas == 1:
        alone = len(wanted.servers) < 3
        text = "one server keeps each record" + ("" if alone else ": `replicas=3` in log_url has three keep it")
        return Check("replicas", "ok" if alone else "note", text)
    if status.leader is None:
        return Check("replicas", "problem", f"of {status.replicas} servers too few are there to take anything")
    return Check("replicas", "ok", f"{status.replicas} servers keep each record, {status.leader} leads")


def _processing(directory: DataDirectory, last: int, pending: int) -> Check:
    engine = open_engine(directory.state_url, read_only=True, cache_mib=1)
    try:
        with reading(engine) as connection:
            position = processed(connection).position
    except DatabaseError as error:
        return Check("processing", "problem", f"its position cannot be read: {error.orig}")
    finally:
        engine.dispose()
    if sequence_at(position) > sequence_at(last):
        todo = "restart the servers that take calls in: they go on above it"
        return Check("processing", "problem", f"has applied more than the stream has, which lost its end: {todo}")
    if position >= last and not pending:
        return Check("processing", "ok", "has applied all")
    behind = sequence_at(last) - sequence_at(position)
    return Check("processing", "ok", f"{behind:,} records from the first that waits, {pending:,} not acknowledged")
