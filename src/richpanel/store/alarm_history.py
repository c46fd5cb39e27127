"""Openings of alarms, and the notices that tell of them: an outbox, so that a crash loses none.

A notice stands in the transaction that opens or resolves; it is sent afterwards, and again where nobody knows whether
it was: at least once, with an id by which a receiver drops repeats.
"""

from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection

from richpanel.core.alarms import Happening, Measured, Notice
from richpanel.core.timestamps import iso
from richpanel.store.alarms import AlarmRow
from richpanel.store.bulk import fetch, run
from richpanel.store.definitions import new_id

Channel = Literal["webhook", "email"]
KEPT_FOR_MS: Final = 90 * 86_400_000
"""How long what is over is kept."""
_encode = msgspec.json.Encoder().encode
_notice: Final = msgspec.json.Decoder(Notice).decode
_emails: Final = msgspec.json.Decoder(list[str]).decode


class Opening(NamedTuple):
    """A time that an alarm was, or is, open; times are ms UTC."""

    number: int
    alarm: int
    subject: str
    name: str
    value: float
    opened_at: int
    said_at: int
    resolved_at: int | None


class Told(NamedTuple):
    """A notice on its way by a channel, or done with: `sent_at` has when it arrived, `problem` why it did not.

    `due_at` is when it is tried next.
    """

    number: int
    alarm: int
    channel: Channel
    target: str
    notice: Notice
    created_at: int
    due_at: int | None
    tries: int
    sent_at: int | None
    problem: str | None

    @property
    def addresses(self) -> list[str]:
        """Whom a mail is for."""
        return _emails(self.target)


_OPENING: Final = "number, alarm, subject, name, value, opened_at, said_at, resolved_at"
_TOLD: Final = "number, alarm, channel, target, notice, created_at, due_at, tries, sent_at, problem"


def _opening(row: Any) -> Opening:
    number, alarm, subject, name, value, *times = row
    return Opening(number, alarm, subject, name, float(msgspec.json.decode(value)), *times)


def _told(row: Any) -> Told:
    number, alarm, channel, target, notice, *rest = row
    return Told(number, alarm, channel, target, _notice(notice), *rest)


def open_now(connection: Connection) -> list[Opening]:
    """List what is open, the oldest first."""
    rows = fetch(connection, f"SELECT {_OPENING} FROM alarm_openings WHERE resolved_at IS NULL ORDER BY number")
    return [_opening(row) for row in rows]


def newest(connection: Connection, limit: int, *, alarm: int | None = None) -> list[Opening]:
    """List openings, the newest first."""
    where, given = ("WHERE alarm = ?", [alarm]) if alarm is not None else ("", [])
    statement = f"SELECT {_OPENING} FROM alarm_openings {where} ORDER BY number DESC LIMIT ?"
    return [_opening(row) for row in fetch(connection, statement, *given, limit)]


def told(connection: Connection, limit: int, *, alarm: int | None = None) -> list[Told]:
    """List notices, the newest first."""
    where, given = ("WHERE alarm = ?", [alarm]) if alarm is not None else ("", [])
    statement = f"SELECT {_TOLD} FROM alarm_notices {where} ORDER BY number DESC LIMIT ?"
    return [_told(row) for row in fetch(connection, statement, *given, limit)]


class Said(NamedTuple):
    """What happened to an alarm's subject, with the value then, and since when it is open (ms UTC)."""

    happening: Happening
    measured: Measured
    since: int


def tell(connection: Connection, alarm: AlarmRow, said: Said, *, now: int, link: str | None) -> Notice:
    """Put a notice out by each channel of an alarm."""
    measured = said.measured
    notice = Notice(
        new_id("ntc"),
        alarm.id,
        alarm.name,
        alarm.kind,
        said.happening,
        measured.subject,
        measured.name,
        round(measured.value or 0.0, 1),
        alarm.threshold,
        iso(said.since),
        iso(now),
        link,
    )
    targets: list[tuple[Channel, str]] = []
    if alarm.webhook:
        targets.append(("webhook", alarm.webhook))
    if alarm.emails:
        targets.append(("email", _encode(alarm.emails).decode()))
    for channel, target in targets:
        run(
            connection,
            "INSERT INTO alarm_notices (id, alarm, channel, target, notice, created_at, due_at, tries) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            *(notice.id, alarm.number, channel, target, _encode(notice).decode(), now, now),
        )
    return notice


def begin(connection: Connection, alarm: AlarmRow, measured: Measured, *, now: int, link: str | None) -> None:
    """Open an alarm of a subject, and tell of it."""
    run(
        connection,
        "INSERT INTO alarm_openings (alarm, subject, name, value, opened_at, said_at) VALUES (?, ?, ?, ?, ?, ?)",
        *(alarm.number, measured.subject, measured.name, _encode(measured.value or 0.0).decode(), now, now),
    )
    tell(connection, alarm, Said("opened", measured, now), now=now, link=link)


def remind(
    connection: Connection, alarm: AlarmRow, opening: Opening, measured: Measured, *, now: int, link: str | None
) -> None:
    """Tell again of an alarm that is still open."""
    value = _encode(measured.value or 0.0).decode()
    run(connection, "UPDATE alarm_openings SET said_at = ?, value = ? WHERE number = ?", now, value, opening.number)
    tell(connection, alarm, Said("reminder", measured, opening.opened_at), now=now, link=link)


def end(
    connection: Connection, alarm: AlarmRow | None, opening: Opening, *, now: int, link: str | None, value: float
) -> None:
    """Resolve; of an alarm that was deleted or turned off (None) nothing is told."""
    run(connection, "UPDATE alarm_openings SET resolved_at = ? WHERE number = ?", now, opening.number)
    if alarm is not None:
        measured = Measured(opening.subject, opening.name, value)
        tell(connection, alarm, Said("resolved", measured, opening.opened_at), now=now, link=link)
    run(connection, "DELETE FROM alarm_openings WHERE resolved_at < ?", now - KEPT_FOR_MS)
    run(connection, "DELETE FROM alarm_notices WHERE due_at IS NULL AND created_at < ?", now - KEPT_FOR_MS)


def due(connection: Connection, now: int, limit: int) -> list[Told]:
    """List notices that are to be tried now, those first that have waited the longest."""
    statement = f"SELECT {_TOLD} FROM alarm_notices WHERE due_at <= ? ORDER BY due_at, number LIMIT ?"
    return [_told(row) for row in fetch(connection, statement, now, limit)]


class Tried(NamedTuple):
    """What came of a try: done (no `due_at`, with `sent_at` where it arrived), or to be tried again."""

    number: int
    tries: int
    due_at: int | None
    sent_at: int | None
    problem: str | None


def note(connection: Connection, tried: Iterable[Tried]) -> None:
    """Note what came of tries."""
    for each in tried:
        run(
            connection,
            "UPDATE alarm_notices SET tries = ?, due_at = ?, sent_at = ?, problem = ? WHERE number = ?",
            *(each.tries, each.due_at, each.sent_at, each.problem, each.number),
        )
