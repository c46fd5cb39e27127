"""Pages: the alarms with what is open and what was, and each with its settings and what was told of it."""

import re
from typing import Any, Final, Literal, NamedTuple

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import HTTPException, NotFoundException
from litestar.params import URLEncodedBody
from litestar.response import Redirect
from sqlalchemy import Connection

from richpanel.core.alarms import INFO, KINDS, Kind, sentence
from richpanel.store import alarm_history
from richpanel.store.alarm_history import Opening
from richpanel.store.alarms import AlarmRow, delete_alarm, get_alarm, list_alarms, signing_secret
from richpanel.store.destinations import ACCOUNT
from richpanel.store.secrets import SecretBox
from richpanel.web.access import Viewer
from richpanel.web.alarms import SHOWN, AlarmPatch, NewAlarm, amend, enter, send_test
from richpanel.web.destination_forms import faults_of
from richpanel.web.destinations import EndpointPolicy
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query, bad_field
from richpanel.web.paths import decode_id, segment
from richpanel.web.signin import Door
from richpanel.web.stores import Reading

ICONS: Final[dict[Kind, str]] = {
    "no_events": "clock",
    "failing": "send",
    "waiting": "truck",
    "dead_letters": "mail",
    "behind": "list",
    "disk": "server",
}
_LATEST: Final = 15
_APART: Final = re.compile(r"[\s,;]+")
_TEXTS: Final = {
    "name": "A name of 1 to 100 characters is needed.",
    "threshold": "The limit is a whole number.",
    "webhook": "A webhook is an address that begins with https://.",
    "emails": "These are not all e-mail addresses; 20 are possible.",
    "remindHours": "From 0 (never) to 720 hours.",
}


class AlarmsQuery(Query, kw_only=True):
    """Of which kind an alarm is to be added."""

    kind: Kind | None = None


class AlarmForm(msgspec.Struct, kw_only=True):
    """What an alarm is to be. An empty limit is the usual one; a checkbox that is set is "on"."""

    kind: Kind = "no_events"
    name: str = ""
    threshold: str = ""
    subject: str = ""
    webhook: str = ""
    emails: str = ""
    remind: str = "24"
    enabled: str = ""
    action: Literal["save", "test", "enable", "disable", "delete"] = "save"


class Opened(NamedTuple):
    """An opening, beside the alarm that it is of; `text` says what was wrong."""

    opening: Opening
    alarm: AlarmRow
    text: str


def opened(openings: list[Opening], alarms: list[AlarmRow]) -> list[Opened]:
    """Say of openings what was wrong; those of deleted alarms are left out."""
    rows = {row.number: row for row in alarms}
    return [
        Opened(each, row, sentence(row.kind, each.name, each.value, row.threshold))
        for each in openings
        if (row := rows.get(each.alarm)) is not None
    ]


def open_alarms(conn: Connection) -> list[Opened]:
    """List what is open now, for the first page."""
    openings = alarm_history.open_now(conn)
    return opened(openings, list_alarms(conn)) if openings else []


def _choices(reading: Reading, kind: Kind) -> list[tuple[str, str]]:
    """List what an alarm of a kind may be about, as ids with names."""
    of = INFO[kind].of
    if of == "source":
        wanted = ("web", "mobile", "server", "segment")
        rows = [row for row in reading.sources.values() if row.deleted_at is None and row.type in wanted]
        return [(row.id, row.name) for row in rows]
    if of == "destination":
        return [(row.id, row.name) for row in reading.known.destination_rows if row.endpoint != ACCOUNT]
    return []


def _names(reading: Reading) -> dict[str, str]:
    return {row.id: row.name for row in reading.sources.values()} | dict(reading.known.destinations)


class _Listed(NamedTuple):
    rows: list[AlarmRow]
    now: list[Opened]
    before: list[Opened]


def _read_list(conn: Connection) -> _Listed:
    rows = list_alarms(conn)
    newest = alarm_history.newest(conn, _LATEST)
    before = [each for each in newest if each.resolved_at is not None]
    return _Listed(rows, opened(alarm_history.open_now(conn), rows), opened(before, rows))


async def _list_page(
    pages: Pages, viewer: Viewer, form: AlarmForm, *, adding: bool, error: HTTPException | None = None
) -> Response[str]:
    found = await pages.stores.look_up(_read_list)

    def build(reading: Reading) -> Context:
        return {
            "alarms": found.rows,
            "opened": found.now,
            "open_numbers": {each.alarm.number for each in found.now},
            "before": found.before,
            "kinds": [(kind, INFO[kind], ICONS[kind]) for kind in KINDS],
            "info": INFO,
            "icons": ICONS,
            "names": _names(reading),
            "adding": adding,
            "form": form,
            "choices": _choices(reading, form.kind),
            "faults": faults_of(error),
        }

    return await pages.show(viewer, "alarms.html", "/alarms", build, status=400 if error else 200)


@get("/alarms", include_in_schema=False)
async def alarms_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[AlarmsQuery]) -> Response[str]:
    """Show the alarms, what is open, and the form for a new one."""
    form = AlarmForm(kind=asked.kind or "no_events")
    return await _list_page(pages, viewer, form, adding=asked.kind is not None)


def _given(form: AlarmForm) -> dict[str, Any]:
    """Read a form's fields as the API's."""
    given: dict[str, Any] = {
        "name": form.name.strip(),
        "subject": form.subject or None,
        "webhook": form.webhook.strip() or None,
        "emails": [each for each in _APART.split(form.emails) if each],
        "remindHours": _number(form.remind or "0", "remindHours"),
    }
    if form.threshold.strip():
        given["threshold"] = _number(form.threshold, "threshold")
    return given


def _number(text: str, field: str) -> int:
    try:
        return int(text.strip().replace(",", ""))
    except ValueError:
        raise bad_field(field, _TEXTS[field]) from None


def _as(kind: type[Any], given: dict[str, Any]) -> Any:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`").partition("[")[0]
        raise bad_field(field, _TEXTS.get(field, message)) from None


@post("/alarms", include_in_schema=False, status_code=303)
async def add_form(
    viewer: Given[Viewer],
    door: Given[Door],
    secrets: Given[SecretBox],
    policy: Given[EndpointPolicy],
    *,
    data: URLEncodedBody[AlarmForm],
) -> Response[str] | Redirect:
    """Add an alarm, and go to it."""
    try:
        given = _given(data) | {"kind": data.kind}
        if not given["name"]:
            del given["name"]
        row, _ = await enter(door.stores, secrets, policy, _as(NewAlarm, given))
    except HTTPException as error:
        return await _list_page(door.pages, viewer, data, adding=True, error=error)
    return Redirect(f"/alarms/{segment(row.id)}", status_code=303)


def form_of(row: AlarmRow) -> AlarmForm:
    """Fill the form in with what an alarm has."""
    return AlarmForm(
        kind=row.kind,
        name=row.name,
        threshold=str(row.threshold),
        subject=row.subject or "",
        webhook=row.webhook or "",
        emails=", ".join(row.emails),
        remind=str(row.remind_hours),
    )


async def _one_page(
    door: Door,
    viewer: Viewer,
    box: SecretBox,
    alarm_id: str,
    *,
    form: AlarmForm | None = None,
    error: HTTPException | None = None,
) -> Response[str]:
    def read(conn: Connection) -> tuple[AlarmRow, list[Opening], list[alarm_history.Told], str | None]:
        row = get_alarm(conn, alarm_id)
        if row is None:
            raise NotFoundException("There is no alarm with this id.")
        openings = alarm_history.newest(conn, SHOWN, alarm=row.number)
        secret = signing_secret(conn, box, row.number) if row.webhook else None
        return row, openings, alarm_history.told(conn, SHOWN, alarm=row.number), secret

    row, openings, told, secret = await door.stores.look_up(read)

    def build(reading: Reading) -> Context:
        return {
            "alarm": row,
            "info": INFO[row.kind],
            "icon": ICONS[row.kind],
            "history": opened(openings, [row]),
            "told": told,
            "secret": secret,
            "waits": any(each.due_at is not None for each in told),
            "names": _names(reading),
            "form": form or form_of(row),
            "choices": _choices(reading, row.kind),
            "faults": faults_of(error),
        }

    return await door.pages.show(viewer, "alarm.html", "/alarms", build, status=400 if error else 200)


@get("/alarms/{alarm_id:str}", include_in_schema=False)
async def alarm_page(
    viewer: Given[Viewer], door: Given[Door], secrets: Given[SecretBox], alarm_id: Identifier
) -> Response[str]:
    """Show an alarm, with its settings and its history."""
    return await _one_page(door, viewer, secrets, decode_id(alarm_id))


async def _change(door: Door, policy: EndpointPolicy, alarm_id: str, form: AlarmForm) -> None:
    """Do what a form asks; raises HTTPException."""
    stores = door.stores
    match form.action:
        case "test":
            await send_test(stores, alarm_id)
        case "enable" | "disable":
            await amend(stores, policy, alarm_id, AlarmPatch(enabled=form.action == "enable"))
        case "delete":
            await stores.define(lambda conn: delete_alarm(conn, alarm_id, now=stores.now()))
        case "save":
            await amend(stores, policy, alarm_id, _as(AlarmPatch, _given(form)))


@post("/alarms/{alarm_id:str}", include_in_schema=False, status_code=303)
async def change_form(
    viewer: Given[Viewer],
    door: Given[Door],
    secrets: Given[SecretBox],
    policy: Given[EndpointPolicy],
    *,
    alarm_id: Identifier,
    data: URLEncodedBody[AlarmForm],
) -> Response[str] | Redirect:
    """Change, test, turn on or off, or delete an alarm."""
    wanted = decode_id(alarm_id)
    try:
        await _change(door, policy, wanted, data)
    except NotFoundException:
        raise
    except HTTPException as error:
        form = data if data.action == "save" else None
        return await _one_page(door, viewer, secrets, wanted, form=form, error=error)
    return Redirect("/alarms" if data.action == "delete" else f"/alarms/{segment(wanted)}", status_code=303)


alarm_pages = [alarms_page, add_form, alarm_page, change_form]
