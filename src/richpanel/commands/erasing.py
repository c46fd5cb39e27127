"""`richpanel erase`: a person gone from every store, with a receipt; `--verify` looks whether that is still so."""

import asyncio
import json as stdlib_json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from typing import Annotated, Any, Final

import msgspec
from cyclopts import Parameter
from litestar.exceptions import ValidationException
from rich.status import Status
from sqlalchemy.exc import DatabaseError

from richpanel.commands.delivery import connect
from richpanel.commands.invocation import (
    AsJson,
    Data,
    console,
    definitions,
    fail,
    print_json,
    print_table,
    ready,
    state,
)
from richpanel.commands.regulating import append, regulate
from richpanel.commands.running import Running, log_owner, running_server
from richpanel.commands.verifying import verify_all
from richpanel.core.regulation import Regulation, RegulationType
from richpanel.log.contract import LogDamaged, LogFull, LogLocked, LogUnsure
from richpanel.process.definitions import Watch
from richpanel.store import ledger, state_files
from richpanel.store.account import read_account
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory
from richpanel.store.identities import provisional
from richpanel.store.tokens import add_token, revoke_tokens
from richpanel.web.regulations import NewRegulation, RegulationView, Wanted, check, keys_of, regulation_of, view

_LOOK_SECONDS: Final = 0.3
_BY: Final = "richpanel erase"
"""Who asks: the name of its token, which lives as long as the command, and what the ledger says."""
_SAYS: Final = {
    "INITIALIZED": "in the log, and not yet processed",
    "RUNNING": "gone from all answers; scrubbing the files",
}
Ids = Annotated[list[str] | None, Parameter(consume_multiple=True, negative=())]


def erase(
    uid: Annotated[list[str] | None, Parameter(help="Whom to erase: one or more uids.", negative=())] = None,
    /,
    *,
    anonymous_id: Annotated[Ids, Parameter(help="Whom to erase, by anonymousIds.")] = None,
    address: Annotated[Ids, Parameter(help="Whom to erase, by emails or phone numbers.")] = None,
    suppress: Annotated[bool, Parameter(negative=(), help="Keep them out from now on, too (uids alone).")] = False,
    verify: Annotated[
        bool, Parameter(negative=(), help="Erase nobody: check the receipts, and look for whom they name.")
    ] = False,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Erase people, or verify that those who were erased are."""
    directory = ready(data)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if verify:
        if uid or anonymous_id or address:
            fail("--verify looks for everybody who was erased: name nobody", 2)
        verify_all(directory, json=json)
        return
    kind: RegulationType = "SUPPRESS_WITH_DELETE" if suppress else "DELETE"
    asked = NewRegulation(kind, list(uid or ()), list(anonymous_id or ()), list(address or ()))
    try:
        check(asked)
        running = running_server(directory.path)
        with _said() as status:
            if not directory.is_embedded:
                done = _by_cluster(directory, asked, status)
            else:
                done = _ask(directory, running, asked, status) if running else _alone(directory, asked, status)
    except ValidationException as error:
        fail(error.detail)
    except (LogFull, LogUnsure, LogLocked, LogDamaged, OSError, HTTPException) as error:
        fail(f"{error}; what was begun is ended by the server: ask with `richpanel erase --verify`")
    except DatabaseError as error:
        fail(f"a database cannot be used: {error.orig}; what was begun is ended by the next start of the server")
    _report(done, json=json)


@contextmanager
def _said() -> Iterator[Status]:
    """Show what is being done, on a terminal."""
    out = console(stderr=True)
    status = Status("erasing", console=out)
    if not out.is_terminal:
        yield status
        return
    with status:
        yield status


def _alone(directory: DataDirectory, asked: NewRegulation, status: Status) -> RegulationView:
    """Do all of it here, where no server runs."""
    if log_owner(directory.path) is not None:
        raise LogLocked(f"another command writes to the log of {directory.path}: wait for it")
    with state_files.try_lock(directory.path / state_files.PROCESSING) as free:
        if not free:
            raise LogLocked(f"a server is just starting or ending on {directory.path}: try again in a moment")
        regulation = _regulation(directory, asked)
        regulate(directory, [(regulation, int(time.time() * 1000))], status.update)
    with definitions(directory) as connection:
        row = ledger.find(connection, regulation.id)
    if row is None or row.status != "FINISHED":
        raise OSError("the files could not be scrubbed")
    return view(row)


def _by_cluster(directory: DataDirectory, asked: NewRegulation, status: Status) -> RegulationView:
    """Put it into the stream, and wait until the cluster's servers have done it."""
    regulation = _regulation(directory, asked)
    engine = open_engine(directory.account_url)
    try:
        watch = Watch(engine)
        asyncio.run(append(directory, watch, [(regulation, int(time.time() * 1000))]))

        def look() -> RegulationView:
            return view(watch.look_up(lambda connection: ledger.get(connection, regulation.id)))

        return _finished(look(), look, status)
    finally:
        engine.dispose()


def _regulation(directory: DataDirectory, asked: NewRegulation) -> Regulation:
    with definitions(directory) as connection:
        account = read_account(connection)
    keys = keys_of(asked, account)
    with state(directory) as engine, reading(engine) as connection:
        keys += provisional(connection, account.hash_key, [str(uid) for uid in asked.uids])
    return regulation_of(Wanted(asked.type, keys, _BY), account.hash_key)


def _ask(directory: DataDirectory, running: Running, asked: NewRegulation, status: Status) -> RegulationView:
    """Have the running server do it, and wait until it has."""
    with _token(directory) as token:
        server = _Api(running, token)
        job = server.call("POST", "/regulations", asked)
        return _finished(job, lambda: server.call("GET", f"/regulations/{job.id}"), status)


def _finished(job: RegulationView, look: Callable[[], RegulationView], status: Status) -> RegulationView:
    """Wait until a job is finished, and show meanwhile how it stands. Raises OSError where it failed."""
    said = None
    while job.status != "FINISHED":
        if job.status == "FAILED":
            raise OSError(job.problem or "the regulation failed")
        status.update(job.problem or _SAYS.get(job.status, job.status))
        if job.problem not in (None, said):
            said = job.problem
            sys.stderr.write(f"richpanel: {said}; it is tried again\n")
        time.sleep(_LOOK_SECONDS)
        job = look()
    return job


@contextmanager
def _token(directory: DataDirectory) -> Iterator[str]:
    """Make a token that lives as long as this command."""
    with definitions(directory, write=True) as connection:
        row, token = add_token(connection, _BY, now=int(time.time() * 1000))
    try:
        yield token
    finally:
        with definitions(directory, write=True) as connection:
            revoke_tokens(connection, row.id, now=int(time.time() * 1000))


class _Api:
    """Calls the server's REST API."""

    def __init__(self, running: Running, token: str) -> None:
        self._running = running
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> RegulationView:
        """Call, and read the job. Raises OSError, HTTPException."""
        connection = connect(self._running)
        try:
            content = None if body is None else msgspec.json.encode(body)
            connection.request(method, f"/api/v1{path}", content, self._headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status not in (200, 202):
            raise OSError(f"the server at {self._running.url} answered {response.status}: {_detail(text)}")
        return msgspec.json.decode(text, type=RegulationView)


def _detail(text: bytes) -> str:
    try:
        found: Any = stdlib_json.loads(text)["detail"]
    except (ValueError, KeyError, TypeError):
        return text[:200].decode(errors="replace")
    return str(found)


def _report(job: RegulationView, *, json: bool) -> None:
    if json:
        print_json(job)
        return
    receipt = job.receipt
    if receipt is None:
        fail("there is no receipt")
    rows: list[Sequence[object]] = [
        [table, f"{erased.count:,}", erased.hash[:16]] for table, erased in receipt.tables.items() if erased.count
    ]
    print_table(
        ["erased", "", "hash"], rows, empty="Nothing of these ids was there; what comes late of them is refused."
    )
    console().print(f"{job.id}, finished {job.finished_at}; receipt {receipt.hash}.")
