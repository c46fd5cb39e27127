"""REST: `/alarms`: what is watched, with which limit, who is told, and what was told when."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Connection

from richpanel.core.alarms import INFO, Happening, Kind, Measured
from richpanel.core.endpoints import webhook_fault
from richpanel.core.timestamps import iso
from richpanel.store import alarm_history
from richpanel.store.alarm_history import Channel, Opening, Said, Told
from richpanel.store.alarms import AlarmChanges, AlarmRow, add_alarm, delete_alarm, get_alarm, list_alarms, update_alarm
from richpanel.store.destinations import list_destinations
from richpanel.store.secrets import SecretBox
from richpanel.store.sources import list_sources
from richpanel.web.destinations import EndpointPolicy
from richpanel.web.paging import Identifier, Listed, bad_field
from richpanel.web.paths import decode_id
from richpanel.web.sources import Name
from richpanel.web.stores import Stores

SHOWN: Final = 50
MOST_EMAILS: Final = 20
Address = Annotated[str, Meta(min_length=3, max_length=254, pattern=r"^[!-+./0-9;=?A-Z^-~-]+@[0-9A-Za-z.-]+$")]
Emails = Annotated[list[Address], Meta(max_length=MOST_EMAILS)]
Webhook = Annotated[str, Meta(min_length=1, max_length=2_000)]
Threshold = Annotated[int, Meta(ge=1, le=1_000_000, description="In the kind's unit; what is out of range is said.")]
Hours = Annotated[int, Meta(ge=0, le=720, description="An open alarm is told of again after so many; 0 for never.")]


class OpeningView(msgspec.Struct, rename="camel"):
    """A time that an alarm was open; it is where `resolvedAt` is null. `subject` is a source's or destination's id."""

    subject: str | None
    name: str
    value: float
    opened_at: str
    resolved_at: str | None


class NoticeView(msgspec.Struct, rename="camel"):
    """What was told by a channel: it arrived where `sentAt` is set, and is tried again at `nextTry`, if it is."""

    id: str
    happening: Happening
    channel: Channel
    at: str
    tries: int
    sent_at: str | None
    next_try: str | None
    problem: str | None


class AlarmView(msgspec.Struct, rename="camel"):
    """An alarm, and how often it is open just now."""

    id: str
    name: str
    kind: Kind
    enabled: bool
    threshold: int
    unit: str
    subject: str | None
    webhook: str | None
    emails: list[str]
    remind_hours: int
    created_at: str
    open: int


class AlarmDetail(AlarmView, rename="camel"):
    """An alarm with its history, the newest first."""

    openings: list[OpeningView]
    notices: list[NoticeView]


class AddedAlarm(AlarmView, rename="camel"):
    """An alarm as it is added: the only time that the secret, by which its webhook is signed, is told."""

    webhook_secret: str


class NewAlarm(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An alarm to add. `subject` is the id of the one source or destination that it is about; all of them without."""

    kind: Kind
    name: Name | UnsetType = UNSET
    threshold: Threshold | UnsetType = UNSET
    subject: str | None = None
    enabled: bool = True
    webhook: Webhook | None = None
    emails: Emails = []
    remind_hours: Hours = 24


class AlarmPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What to change of an alarm; what is left out stays."""

    name: Name | UnsetType = UNSET
    threshold: Threshold | UnsetType = UNSET
    subject: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    webhook: Webhook | UnsetType | None = UNSET
    emails: Emails | UnsetType = UNSET
    remind_hours: Hours | UnsetType = UNSET


def opening_view(each: Opening) -> OpeningView:
    """Show an opening."""
    resolved = None if each.resolved_at is None else iso(each.resolved_at)
    return OpeningView(each.subject or None, each.name, each.value, iso(each.opened_at), resolved)


def notice_view(each: Told) -> NoticeView:
    """Show a notice."""
    return NoticeView(
        each.notice.id,
        each.notice.happening,
        each.channel,
        iso(each.created_at),
        each.tries,
        None if each.sent_at is None else iso(each.sent_at),
        None if each.due_at is None else iso(each.due_at),
        each.problem,
    )


def view(row: AlarmRow, opened: int) -> AlarmView:
    """Show an alarm that is open so many times."""
    shown = {name: getattr(row, name) for name in AlarmRow.__struct_fields__ if name not in ("number", "created_at")}
    return AlarmView(**shown, unit=INFO[row.kind].unit, created_at=iso(row.created_at), open=opened)


def _opened(openings: Sequence[Opening], row: AlarmRow) -> int:
    return sum(each.alarm == row.number for each in openings)


def check(conn: Connection, kind: Kind, changes: AlarmChanges, policy: EndpointPolicy) -> None:
    """Check what types do not tell; raises ValidationException, which names the field."""
    info = INFO[kind]
    if changes.threshold is not UNSET and not info.least <= changes.threshold <= info.most:
        raise bad_field("threshold", f"The limit is from {info.least:,} to {info.most:,} ({info.unit}).")
    if changes.webhook is not UNSET and changes.webhook is not None:
        fault = webhook_fault(changes.webhook, allow_private=policy.allow_private)
        if fault is not None:
            raise bad_field("webhook", fault)
    if changes.emails is not UNSET and any(each.endswith("\n") for each in changes.emails):  # `$` lets one pass.
        raise bad_field("emails", "An e-mail address ends without a line feed.")
    if changes.subject is not UNSET and changes.subject is not None:
        if info.of is None:
            raise bad_field("subject", "This kind of alarm is about the whole system: it has no subject.")
        rows = list_sources(conn) if info.of == "source" else list_destinations(conn)
        if changes.subject not in {row.id for row in rows}:
            raise bad_field("subject", f"There is no {info.of} with this id.")


async def enter(stores: Stores, secrets: SecretBox, policy: EndpointPolicy, data: NewAlarm) -> tuple[AlarmRow, str]:
    """Add an alarm; raises ValidationException."""
    info = INFO[data.kind]
    changes = AlarmChanges(
        name=info.title if data.name is UNSET else data.name,
        kind=data.kind,
        enabled=data.enabled,
        threshold=info.usual if data.threshold is UNSET else data.threshold,
        subject=data.subject,
        webhook=data.webhook,
        emails=list(dict.fromkeys(data.emails)),
        remind_hours=data.remind_hours,
    )

    def add(conn: Connection) -> tuple[AlarmRow, str]:
        check(conn, data.kind, changes, policy)
        return add_alarm(conn, secrets, changes, now=stores.now())

    return await stores.define(add)


async def amend(stores: Stores, policy: EndpointPolicy, alarm_id: str, data: AlarmPatch) -> AlarmRow:
    """Change an alarm; raises ValidationException, and NotFoundException."""
    changes = AlarmChanges(**msgspec.structs.asdict(data))

    def change(conn: Connection) -> AlarmRow | None:
        row = get_alarm(conn, alarm_id)
        if row is None:
            return None
        check(conn, row.kind, changes, policy)
        return update_alarm(conn, alarm_id, changes)

    row = await stores.define(change)
    if row is None:
        raise NotFoundException("There is no alarm with this id.")
    return row


async def send_test(stores: Stores, alarm_id: str) -> AlarmRow:
    """Put a test notice out by each of an alarm's channels; raises NotFoundException, ValidationException."""

    def put(conn: Connection) -> AlarmRow | None:
        row = get_alarm(conn, alarm_id)
        if row is None:
            return None
        if not row.webhook and not row.emails:
            raise bad_field("webhook", "Nobody is told of this alarm: give it a webhook or an e-mail address first.")
        now = stores.now()
        alarm_history.tell(conn, row, Said("test", Measured("", "", 0.0), now), now=now, link=None)
        return row

    row = await stores.define(put)
    if row is None:
        raise NotFoundException("There is no alarm with this id.")
    return row


@get("/", operation_id="listAlarms")
async def list_all(stores: Given[Stores]) -> Listed[AlarmView]:
    """List the alarms."""

    def read(conn: Connection) -> list[AlarmView]:
        openings = alarm_history.open_now(conn)
        return [view(row, _opened(openings, row)) for row in list_alarms(conn)]

    return Listed(await stores.look_up(read))


@get("/{alarm_id:str}", operation_id="getAlarm", raises=[NotFoundException])
async def get_one(stores: Given[Stores], alarm_id: Identifier) -> AlarmDetail:
    """Get an alarm, when it was open, and what was told."""
    wanted = decode_id(alarm_id)

    def read(conn: Connection) -> AlarmDetail | None:
        row = get_alarm(conn, wanted)
        if row is None:
            return None
        openings = alarm_history.newest(conn, SHOWN, alarm=row.number)
        told = alarm_history.told(conn, SHOWN, alarm=row.number)
        shown = view(row, _opened(alarm_history.open_now(conn), row))
        return AlarmDetail(
            **msgspec.structs.asdict(shown),
            openings=[opening_view(each) for each in openings],
            notices=[notice_view(each) for each in told],
        )

    found = await stores.look_up(read)
    if found is None:
        raise NotFoundException("There is no alarm with this id.")
    return found


@post("/", operation_id="addAlarm")
async def add(
    stores: Given[Stores], secrets: Given[SecretBox], policy: Given[EndpointPolicy], data: JSONBody[NewAlarm]
) -> AddedAlarm:
    """Add an alarm. What is left out is as usual for its kind."""
    row, secret = await enter(stores, secrets, policy, data)
    return AddedAlarm(**msgspec.structs.asdict(view(row, 0)), webhook_secret=secret)


@patch("/{alarm_id:str}", operation_id="updateAlarm", raises=[NotFoundException])
async def update(
    stores: Given[Stores], policy: Given[EndpointPolicy], alarm_id: Identifier, data: JSONBody[AlarmPatch]
) -> AlarmView:
    """Change an alarm. One that is turned off resolves without a word."""
    row = await amend(stores, policy, decode_id(alarm_id), data)
    openings = await stores.look_up(alarm_history.open_now)
    return view(row, _opened(openings, row))


@post("/{alarm_id:str}/test", operation_id="testAlarm", status_code=202, raises=[NotFoundException])
async def test(stores: Given[Stores], alarm_id: Identifier) -> Response[AlarmView]:
    """Send a test notice by each of its channels; what came of it is among its notices a moment later."""
    row = await send_test(stores, decode_id(alarm_id))
    return Response(view(row, 0), status_code=202)


@delete("/{alarm_id:str}", operation_id="deleteAlarm", raises=[NotFoundException])
async def remove(stores: Given[Stores], alarm_id: Identifier) -> None:
    """Delete an alarm; what was still to be told of it is not."""
    wanted = decode_id(alarm_id)
    if not await stores.define(lambda conn: delete_alarm(conn, wanted, now=stores.now())):
        raise NotFoundException("There is no alarm with this id.")


alarms_api = Router("/alarms", route_handlers=[list_all, get_one, add, update, test, remove], tags=["Alarms"])
