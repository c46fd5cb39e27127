"""`richpanel replay`: send again what a destination did not take, once its settings are right.

The job is noted with the definitions; a server does it, and this command shows how far it is.
"""

import signal
import time
from types import FrameType
from typing import Annotated, Final

from cyclopts import Parameter
from litestar.exceptions import HTTPException, ValidationException
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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
from richpanel.commands.running import log_owner
from richpanel.store import replays
from richpanel.store.account import read_account
from richpanel.store.database import open_engine, reading
from richpanel.store.destinations import DestinationRow, all_numbers, list_destinations
from richpanel.store.directory import DataDirectory
from richpanel.store.replays import DEFAULT_RATE, MAX_RATE, Outcome, ReplayRow, RunningError
from richpanel.store.sources import list_sources, match_sources
from richpanel.web.replay_plans import NewReplay, Planned, Setup, begin, plan
from richpanel.web.replays import asked_view, view

_LOOK_SECONDS: Final = 0.3


def replay(
    *,
    destination: Annotated[str | None, Parameter(help="Whose messages: the destination's name or id.")] = None,
    source: Annotated[str | None, Parameter(help="Only those of this source: its name or id.")] = None,
    uid: Annotated[str | None, Parameter(help="Only those of this person.")] = None,
    from_: Annotated[
        str | None, Parameter(name="--from", help="Only those that arrived from then on (ISO 8601).")
    ] = None,
    to: Annotated[str | None, Parameter(help="Only those that arrived before then.")] = None,
    outcome: Annotated[
        Outcome, Parameter(help="failed; discarded: kept back by filters or the integrations object; all.")
    ] = "failed",
    rate: Annotated[int, Parameter(help="Messages a second at the most.")] = DEFAULT_RATE,
    dry_run: Annotated[bool, Parameter(negative=(), help="Count the messages, and begin nothing.")] = False,
    resume: Annotated[str | None, Parameter(help="Go on with a replay that was cancelled or failed: its id.")] = None,
    json: AsJson = False,
    data: Data = None,
) -> None:
    """Replay, and show how far it is."""
    directory = ready(data)
    if resume is not None:
        _follow(directory, _resumed(directory, resume), json=json)
        return
    if destination is None:
        fail("name the destination: --destination NAME", 2)
    if not 1 <= rate <= MAX_RATE:
        fail(f"--rate is between 1 and {MAX_RATE:,} messages a second", 2)
    asked = NewReplay(
        destination=destination, source=source, uid=uid, from_=from_, to=to, outcome=outcome, rate=rate, dry_run=dry_run
    )
    try:
        planned = _planned(directory, asked)
        if dry_run or not planned.matched:
            _preview(directory, planned, rate, json=json)
            return
        with definitions(directory, write=True) as connection:
            row = begin(connection, planned, rate, _now())
    except ValidationException as error:
        fail(_said(error), 2)
    except HTTPException as error:
        fail(_said(error))
    _follow(directory, row, json=json)


def _said(error: HTTPException) -> str:
    text = error.detail.rstrip(".")
    return text[:1].lower() + text[1:]


def _now() -> int:
    return int(time.time() * 1000)


def _planned(directory: DataDirectory, asked: NewReplay) -> Planned:
    """Look what it would be for; destination and source may be names. Raises ValidationException, Conflict."""
    with definitions(directory) as connection:
        account, rows = read_account(connection), list_destinations(connection)
        sources = {row.number: row.id for row in list_sources(connection, deleted=True)}
        asked.destination = _the_one(asked.destination, rows).id
        if asked.source is not None:
            found = match_sources(connection, asked.source)
            if len(found) != 1:
                fail(f"{len(found) or 'no'} sources are called {asked.source}: name one by its id")
            asked.source = found[0].id
    setup = Setup(rows, sources, account.hash_key, account.blocked_ids)
    delivery = open_engine(directory.delivery_url, read_only=True, cache_mib=1)
    try:
        with state(directory) as engine, reading(engine) as connection:
            return plan(asked, setup, connection, delivery)
    finally:
        delivery.dispose()


def _the_one(wanted: str, rows: list[DestinationRow]) -> DestinationRow:
    found = [row for row in rows if row.id == wanted] or [row for row in rows if row.name == wanted]
    if len(found) != 1:
        meant = found or rows
        listed = ", ".join(f"{row.name} ({row.id})" for row in meant) or "none"
        fail(f"{len(found) or 'no'} destinations are called {wanted}: name one by its id; there are {listed}")
    return found[0]


def _preview(directory: DataDirectory, planned: Planned, rate: int, *, json: bool) -> None:
    if json:
        print_json(asked_view(planned, rate, None, _ids(directory)[1]))
        return
    rows = [[each.type, each.outcome, each.code, f"{each.count:,}"] for each in planned.matches]
    print_table(["type", "outcome", "code", "messages"], rows, empty="No message matches: there is nothing to replay.")
    if rows:
        console().print(f"{planned.matched:,} messages would be replayed.")


def _ids(directory: DataDirectory) -> tuple[dict[int, str], dict[int, str]]:
    with definitions(directory) as connection:
        destinations = {number: id_ for id_, number in all_numbers(connection).items()}
        return destinations, {row.number: row.id for row in list_sources(connection, deleted=True)}


def _resumed(directory: DataDirectory, id: str) -> ReplayRow:
    try:
        with definitions(directory, write=True) as connection:
            if replays.find(connection, id) is None:
                fail(f"there is no replay {id}")
            replays.resume(connection, id)  # One that runs is followed.
            return replays.get(connection, id)
    except RunningError as error:
        fail(f"replay {error.replay} of this destination is running: wait for it, or cancel it first")


def _follow(directory: DataDirectory, row: ReplayRow, *, json: bool) -> None:
    """Show how far it is until it has ended; Ctrl-C cancels it."""
    out = console(stderr=True)
    if row.status == "running" and directory.is_embedded and log_owner(directory.path) is None:
        out.print(f"No server is running: {row.id} begins when one starts. Ctrl-C cancels it.")
    stop = _Stop()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, disable=not out.is_terminal, transient=True) as bar:
        task = bar.add_task("replay", total=row.matched, completed=row.replayed)
        said = None
        while row.status == "running":
            if stop.asked:
                with definitions(directory, write=True) as connection:
                    replays.cancel(connection, row.id, now=_now())
            else:
                time.sleep(_LOOK_SECONDS)
            with definitions(directory) as connection:
                row = replays.get(connection, row.id)
            bar.update(task, completed=row.replayed)
            if row.problem not in (None, said):
                said = row.problem
                out.print(f"richpanel: {said}; it is tried again")
    _report(directory, row, json=json)


class _Stop:
    """Whether Ctrl-C, or SIGTERM, has asked to stop."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


def _report(directory: DataDirectory, row: ReplayRow, *, json: bool) -> None:
    if json:
        print_json(view(row, *_ids(directory)))
    if row.status == "cancelled":
        fail(
            f"cancelled: {row.replayed:,} of {row.matched:,} messages are replayed and stay so; "
            f"`richpanel replay --resume {row.id}` goes on",
            130,
        )
    if row.status == "failed":
        fail(f"{row.problem}; `richpanel replay --resume {row.id}` goes on once that is put right")
    if not json:
        console().print(f"{row.replayed:,} messages replayed ({row.id}).")
