"""REST: `/replays`: send again what a destination did not take, once its settings are right (contract.md, "Bodies")."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody

from richpanel.core.retrying import STATUSES
from richpanel.core.timestamps import iso
from richpanel.store import replay_deliveries, replay_matching, replays
from richpanel.store.database import reading as snapshot
from richpanel.store.delivery_reading import read_delivery
from richpanel.store.replay_matching import Match
from richpanel.store.replays import DEFAULT_RATE, Outcome, ReplayRow, RunningError, Scope, Status
from richpanel.web.paging import Identifier, Paged, answer_bad_values
from richpanel.web.paths import decode_id, segment
from richpanel.web.regulations import number_of
from richpanel.web.replay_plans import Conflict, NewReplay, Planned, Setup, begin, plan
from richpanel.web.stores import Definitions, Reading, Stores

_ID: Final = re.compile(r"[1-9][0-9]{0,17}")
_PATH: Final = "/api/v1/replays/%s"
_RAISES: Final = [NotFoundException, Conflict]
_VIEW_NAMES: Final = {"from_": "from", "created_at": "createdAt", "finished_at": "finishedAt", "dry_run": "dryRun"}


class _Told(msgspec.Struct, kw_only=True, rename=_VIEW_NAMES):
    matched: int
    replayed: int
    destination: str
    source: str | None
    person: str | None
    from_: str | None
    to: str | None
    outcome: Outcome
    delivery: int | None
    rate: int
    finished_at: str | None
    problem: str | None


class ReplayView(_Told, kw_only=True, rename=_VIEW_NAMES):
    """A replay and how far it is: `matched` messages when it began, `replayed` ones so far.

    `person` is the keyed hash of a uid. `delivery` is set where it is for that one alone. `problem` says why it does
    not get on.
    """

    id: str
    status: Status
    created_at: str


class AskedReplay(_Told, kw_only=True, rename=_VIEW_NAMES):
    """A replay as it was asked for. After a dry run nothing has begun: `id`, `status` and `createdAt` are null.

    `breakdown` counts the messages by type and by what the destination made of them: `failed`, `dead`, `filtered`,
    `kept`, or `undecided` where it was off or not there yet; the code says why.
    """

    id: str | None
    status: Status | None
    created_at: str | None
    dry_run: bool
    breakdown: list[Match]


class ReplayList(msgspec.Struct):
    """A page of replays, the newest first."""

    data: list[ReplayView]
    next: str | None


def view(row: ReplayRow, destinations: Mapping[int, str], sources: Mapping[int, str]) -> ReplayView:
    """Show a replay; ids by number."""
    return ReplayView(
        id=row.id,
        status=row.status,
        created_at=iso(row.created_at),
        **_told(row.scope, destinations, sources),
        matched=row.matched,
        replayed=row.replayed,
        rate=row.rate,
        finished_at=None if row.finished_at is None else iso(row.finished_at),
        problem=row.problem,
    )


def _told(scope: Scope, destinations: Mapping[int, str], sources: Mapping[int, str]) -> dict[str, Any]:
    return {
        "destination": destinations.get(scope.destination, ""),
        "source": None if scope.source is None else sources.get(scope.source, ""),
        "person": scope.person,
        "from_": None if scope.from_at is None else iso(scope.from_at),
        "to": None if scope.to_at is None else iso(scope.to_at),
        "outcome": scope.outcome,
        "delivery": scope.delivery,
    }


def asked_view(planned: Planned, rate: int, row: ReplayRow | None, sources: Mapping[int, str]) -> AskedReplay:
    """Show a replay that begins, or without a row one that does not."""
    return AskedReplay(
        id=None if row is None else row.id,
        status=None if row is None else row.status,
        created_at=None if row is None else iso(row.created_at),
        dry_run=row is None,
        breakdown=planned.matches,
        **_told(planned.scope, {planned.row.number: planned.row.id}, sources),
        matched=planned.matched,
        replayed=0,
        rate=rate,
        finished_at=None,
        problem=None,
    )


def _sources(known: Definitions) -> dict[int, str]:
    return {number: source.id for number, source in known.sources.items()}


def _shown(known: Definitions, row: ReplayRow) -> ReplayView:
    return view(row, known.destination_ids, _sources(known))


def planned_of(reading: Reading, asked: NewReplay) -> Planned:
    """Look what a replay would be for. Raises ValidationException, Conflict."""
    known = reading.known
    setup = Setup(known.destination_rows, _sources(known), known.account.hash_key, known.account.blocked_ids)
    return plan(asked, setup, reading.state, reading.deliveries)


@post("/replays", operation_id="addReplay", tags=["Replays"], status_code=202, raises=[Conflict])
async def add_replay(stores: Given[Stores], data: JSONBody[NewReplay]) -> Response[AskedReplay]:
    """Send again what a destination did not take, with its settings as they are now.

    With `dryRun` the answer is what it would be for, and nothing begins. Else it is a job: ask for it by its id until
    its status is `done`. One runs per destination at a time.
    """
    planned = await stores.read(lambda reading: planned_of(reading, data))
    if data.dry_run:
        known = await stores.definitions()
        return Response(asked_view(planned, data.rate, None, _sources(known)), status_code=200)
    return _accepted(await _begun(stores, planned, data.rate))


async def _begun(stores: Stores, planned: Planned, rate: int) -> AskedReplay:
    """Begin a replay. Raises Conflict."""
    row = await stores.define(lambda account: begin(account, planned, rate, stores.now()))
    return asked_view(planned, rate, row, _sources(await stores.definitions()))


def _accepted(shown: AskedReplay) -> Response[AskedReplay]:
    return Response(shown, status_code=202, headers={"Location": _PATH % segment(shown.id or "")})


@get("/replays", operation_id="listReplays", tags=["Replays"])
async def list_replays(stores: Given[Stores], asked: Given[Paged]) -> ReplayList:
    """List replays, the newest first."""
    return await read_page(stores, asked.cursor, asked.limit)


async def read_page(stores: Stores, cursor: str | None, limit: int) -> ReplayList:
    """Read a page of the list. Raises ValidationException."""
    before = answer_bad_values(lambda: number_of(cursor))
    known = await stores.definitions()
    rows = await stores.look_up(lambda account: replays.newest(account, limit + 1, before))
    more = str(rows[limit - 1].number) if len(rows) > limit else None
    return ReplayList([_shown(known, row) for row in rows[:limit]], more)


@get("/replays/{replay_id:str}", operation_id="getReplay", tags=["Replays"], raises=[NotFoundException])
async def get_replay(stores: Given[Stores], replay_id: Identifier) -> ReplayView:
    """Tell how far a replay is."""
    return await _known(stores, decode_id(replay_id))


@post("/replays/{replay_id:str}/cancel", operation_id="cancelReplay", tags=["Replays"], status_code=200, raises=_RAISES)
async def cancel_replay(stores: Given[Stores], replay_id: Identifier) -> ReplayView:
    """Stop a replay; what is sent again already stays so, and it can be resumed."""
    return await cancel(stores, decode_id(replay_id))


async def cancel(stores: Stores, wanted: str) -> ReplayView:
    """Stop a replay. Raises NotFoundException, Conflict."""
    await _known(stores, wanted)
    if not await stores.define(lambda account: replays.cancel(account, wanted, now=stores.now())):
        raise Conflict("The replay is not running.")
    return await _known(stores, wanted)


@post("/replays/{replay_id:str}/resume", operation_id="resumeReplay", tags=["Replays"], status_code=200, raises=_RAISES)
async def resume_replay(stores: Given[Stores], replay_id: Identifier) -> ReplayView:
    """Let a replay that was cancelled, or failed, go on where it was."""
    return await resume(stores, decode_id(replay_id))


async def resume(stores: Stores, wanted: str) -> ReplayView:
    """Let a replay go on. Raises NotFoundException, Conflict."""
    await _known(stores, wanted)
    try:
        resumed = await stores.define(lambda account: replays.resume(account, wanted))
    except RunningError as error:
        raise Conflict(f"Replay {error.replay} of this destination is running.") from None
    if not resumed:
        raise Conflict("The replay was not cancelled, and did not fail.")
    return await _known(stores, wanted)


async def _known(stores: Stores, id: str) -> ReplayView:
    """Give a replay. Raises NotFoundException."""
    row = await stores.look_up(lambda account: replays.find(account, id))
    if row is None:
        raise NotFoundException("There is no replay with this id.")
    return _shown(await stores.definitions(), row)


@post(
    "/deliveries/{delivery_id:str}/replay",
    operation_id="replayDelivery",
    tags=["Deliveries"],
    status_code=202,
    raises=_RAISES,
)
async def replay_delivery(stores: Given[Stores], delivery_id: Identifier) -> Response[AskedReplay]:
    """Send the message of one delivery again that was given up: a dead letter, or one that was refused."""
    return _accepted(await replay_one(stores, decode_id(delivery_id)))


async def replay_one(stores: Stores, id: str) -> AskedReplay:
    """Begin the replay of one delivery. Raises NotFoundException, Conflict."""
    planned = await stores.read(lambda reading: _one(reading, id))
    return await _begun(stores, planned, DEFAULT_RATE)


def can_replay(reading: Reading, id: str) -> bool:
    """Tell whether a delivery can be replayed by itself, as things are."""
    try:
        _one(reading, id)
    except (NotFoundException, Conflict):
        return False
    return True


def _one(reading: Reading, id: str) -> Planned:
    with snapshot(reading.deliveries) as connection:
        read = read_delivery(connection, reading.known.destination_ids, int(id) if _ID.fullmatch(id) else 0)
    if read is None:
        raise NotFoundException("There is no delivery with this id.")
    found = read[1]
    row = next((row for row in reading.known.destination_rows if row.number == found.destination), None)
    if row is None or not row.enabled:
        raise Conflict("The destination is not there any more, or it is off.")
    with snapshot(reading.deliveries) as connection:
        place = replay_deliveries.given_up(connection, found.destination, found.id)
    if place is None:
        raise Conflict("Only what was given up can be replayed, and only the message's last delivery.")
    kind = replay_matching.type_at(reading.state, row.number, place)
    if kind is None:
        raise Conflict("The person is gone, or is kept out.")
    scope = Scope(row.number, "failed", place + 1, delivery=found.id)
    return Planned(row, scope, [Match(kind, STATUSES[found.status], found.code, 1)])


replays_api = [add_replay, list_replays, get_replay, cancel_replay, resume_replay, replay_delivery]
