"""Alarms: what is watched, with which limit, and who is told."""

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, Row, insert, select, update

from richpanel.core.alarms import Kind
from richpanel.store import watching_schema
from richpanel.store.definitions import changed, new_id, random_text
from richpanel.store.secrets import SecretBox

_decode: Final = msgspec.json.Decoder(list[str]).decode


class AlarmRow(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm. `subject` is the id of the one source or destination that it is about, None for all.

    `remind_hours`: an open alarm is told of again after so many, never where 0.
    """

    number: int
    id: str
    name: str
    kind: Kind
    enabled: bool
    threshold: int
    subject: str | None
    webhook: str | None
    emails: list[str]
    remind_hours: int
    created_at: int


class AlarmChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to set of an alarm; what is left UNSET stays."""

    name: str | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    threshold: int | UnsetType = UNSET
    subject: str | UnsetType | None = UNSET
    webhook: str | UnsetType | None = UNSET
    emails: list[str] | UnsetType = UNSET
    remind_hours: int | UnsetType = UNSET


def _row(row: Row[Any]) -> AlarmRow:
    fields = {name: getattr(row, name) for name in AlarmRow.__struct_fields__}
    return AlarmRow(**fields | {"emails": _decode(row.emails)})


def list_alarms(conn: Connection) -> list[AlarmRow]:
    """List the alarms by number."""
    table = watching_schema.alarms
    rows = conn.execute(select(table).where(table.c.deleted_at.is_(None)).order_by(table.c.number))
    return [_row(row) for row in rows.all()]


def get_alarm(conn: Connection, alarm_id: str) -> AlarmRow | None:
    """Find an alarm by its id."""
    table = watching_schema.alarms
    row = conn.execute(select(table).where(table.c.id == alarm_id, table.c.deleted_at.is_(None))).first()
    return None if row is None else _row(row)


def _values(changes: AlarmChanges) -> dict[str, Any]:
    values = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    if "emails" in values:
        values["emails"] = msgspec.json.encode(values["emails"]).decode()
    return values


def add_alarm(conn: Connection, box: SecretBox, changes: AlarmChanges, *, now: int) -> tuple[AlarmRow, str]:
    """Add an alarm, of which name, kind and threshold are set; give it and the secret that signs its webhook."""
    secret = f"whsec_{random_text(40)}"
    values: dict[str, Any] = {"enabled": True, "subject": None, "webhook": None, "emails": "[]", "remind_hours": 0}
    made = new_id("alm")
    conn.execute(
        insert(watching_schema.alarms).values(
            **values | _values(changes) | {"id": made, "secret": box.seal(secret), "created_at": now}
        )
    )
    changed(conn)
    row = get_alarm(conn, made)
    if row is None:
        raise LookupError(made)
    return row, secret


def update_alarm(conn: Connection, alarm_id: str, changes: AlarmChanges) -> AlarmRow | None:
    """Change an alarm; None where there is no such alarm."""
    table, values = watching_schema.alarms, _values(changes)
    if values:
        conn.execute(update(table).where(table.c.id == alarm_id, table.c.deleted_at.is_(None)).values(**values))
        changed(conn)
    return get_alarm(conn, alarm_id)


def delete_alarm(conn: Connection, alarm_id: str, *, now: int) -> bool:
    """Delete an alarm and what was still to be told of it; False where there is no such alarm."""
    row = get_alarm(conn, alarm_id)
    if row is None:
        return False
    conn.execute(
        update(watching_schema.alarms).where(watching_schema.alarms.c.number == row.number).values(deleted_at=now)
    )
    told = watching_schema.notices
    conn.execute(
        update(told)
        .where(told.c.alarm == row.number, told.c.due_at.is_not(None))
        .values(due_at=None, problem="The alarm was deleted.")
    )
    changed(conn)
    return True


def signing_secret(conn: Connection, box: SecretBox, number: int) -> str | None:
    """Read what an alarm's webhook is signed with."""
    table = watching_schema.alarms
    sealed = conn.execute(select(table.c.secret).where(table.c.number == number)).scalar()
    return box.open(sealed) if sealed else None
