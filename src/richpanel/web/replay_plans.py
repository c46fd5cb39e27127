"""Planning a replay: what is asked for, checked against the definitions, and which messages that are."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from litestar.exceptions import ClientException
from msgspec import Meta
from sqlalchemy import Connection, Engine

from richpanel.core.identity import UID
from richpanel.core.ids import clean_id
from richpanel.core.regulation import hashed
from richpanel.core.timestamps import parse
from richpanel.store import ledger, replay_matching, replays
from richpanel.store.destinations import DestinationRow
from richpanel.store.replay_matching import Match, target_of
from richpanel.store.replays import DEFAULT_RATE, MAX_RATE, Outcome, ReplayRow, RunningError, Scope
from richpanel.store.status import processed
from richpanel.web.paging import bad_field

_Moment = Annotated[str, Meta(max_length=40)] | None


class Conflict(ClientException):
    """Something else has to happen first."""

    status_code = 409


class NewReplay(
    msgspec.Struct, rename={"from_": "from", "dry_run": "dryRun"}, forbid_unknown_fields=True, kw_only=True
):
    """Which messages of a destination to send again; `from` and `to` are times of arrival, ISO 8601, `to` excluded.

    `outcome`: `failed` (default) is what failed or could not be delivered; `discarded` what the integrations object or
    filters kept back; `all` everything of its sources, also what came while it was off or not there yet. `rate` is in
    messages a second. `dryRun` counts and begins nothing.
    """

    destination: str
    source: str | None = None
    uid: str | None = None
    from_: _Moment = None
    to: _Moment = None
    outcome: Outcome = "failed"
    rate: Annotated[int, Meta(ge=1, le=MAX_RATE)] = DEFAULT_RATE
    dry_run: bool = False


class Planned(NamedTuple):
    """A replay that may begin: of which destination, which messages, and what was found of them."""

    row: DestinationRow
    scope: Scope
    matches: list[Match]

    @property
    def matched(self) -> int:
        """How many messages match."""
        return sum(match.count for match in self.matches)


class Setup(NamedTuple):
    """The definitions that a replay is checked against: `rows` are the destinations, `sources` all ids by number."""

    rows: Sequence[DestinationRow]
    sources: Mapping[int, str]
    hash_key: bytes
    blocked_ids: frozenset[str]


def plan(asked: NewReplay, setup: Setup, state: Connection, delivery: Engine) -> Planned:
    """Look what a replay would be for. Raises ValidationException, Conflict."""
    row = next((row for row in setup.rows if row.id == asked.destination), None)
    if row is None:
        raise bad_field("destination", "There is no destination with this id.")
    if not row.enabled:
        raise Conflict("The destination is off: switch it on first.")
    scope = Scope(
        row.number,
        asked.outcome,
        processed(state).position,
        _source(asked.source, setup, row),
        _person(asked.uid, setup),
        _moment("from", asked.from_),
        _moment("to", asked.to),
    )
    return Planned(row, scope, replay_matching.preview(state, delivery, target_of(row), scope))


def _source(source: str | None, setup: Setup, row: DestinationRow) -> int | None:
    if source is None:
        return None
    number = next((number for number, id_ in setup.sources.items() if id_ == source), None)
    if number is None:
        raise bad_field("source", "There is no source with this id.")
    if number not in row.source_numbers:
        raise bad_field("source", "The source is not connected to this destination.")
    return number


def _person(uid: str | None, setup: Setup) -> str | None:
    if uid is None:
        return None
    cleaned = clean_id(uid, setup.blocked_ids)
    if cleaned is None:
        raise bad_field("uid", "This id stands for nobody.")
    return hashed(setup.hash_key, UID, cleaned)


def _moment(field: str, text: str | None) -> int | None:
    if text is None:
        return None
    found = parse(text)
    if found is None:
        raise bad_field(field, "This is no ISO 8601 time.")
    return found


def begin(account: Connection, planned: Planned, rate: int, now: int) -> ReplayRow:
    """Begin a replay. Raises Conflict."""
    if ledger.is_erasing(account):
        raise Conflict("Somebody is being erased: replay once that is done.")
    try:
        return replays.add(account, planned.scope, rate=rate, matched=planned.matched, now=now)
    except RunningError as error:
        raise Conflict(
            f"Replay {error.replay} of this destination is running: wait for it, or cancel it first."
        ) from None
