"""Alarming: what is watched is measured, and an alarm opens or resolves; its notice stands in the same transaction."""

from typing import Final

from sqlalchemy import Connection, Engine

from richpanel.core.alarms import Measured, Standing, is_reminder_due, judge
from richpanel.store import alarm_history
from richpanel.store.alarm_history import Opening
from richpanel.store.alarm_values import Figures, measure
from richpanel.store.alarms import AlarmRow, list_alarms
from richpanel.store.database import reading
from richpanel.store.destinations import list_destinations
from richpanel.store.samples import Sample
from richpanel.store.sources import list_sources

Key = tuple[int, str]
"""An alarm's number and its subject's id."""


class Alarming:
    """Judges every alarm once at each look. How long a value stands where it does is remembered here alone."""

    def __init__(self, state: Engine, delivery: Engine, account: Engine, public_url: str | None) -> None:
        """`public_url` is where people find the page of alarms."""
        self._state, self._delivery, self._account = state, delivery, account
        self._link: Final = None if public_url is None else f"{public_url}/alarms"
        self._standings: dict[Key, Standing] = {}

    def forget(self) -> None:
        """Begin afresh: another node has judged meanwhile."""
        self._standings.clear()

    def look(self, sample: Sample, now: int) -> None:
        """Measure and judge; `now` is ms UTC. Raises SQLAlchemyError."""
        with reading(self._account) as connection:
            alarms = [row for row in list_alarms(connection) if row.enabled]
            opened = {(each.alarm, each.subject): each for each in alarm_history.open_now(connection)}
            if not alarms and not opened:
                return
            sources, destinations = list_sources(connection), list_destinations(connection)
        with reading(self._state) as state, reading(self._delivery) as delivery:
            figures = Figures(state, delivery, sample, sources, destinations, now)
            found = [(row, each) for row in alarms for each in measure(figures, row.kind, row.subject)]
        changes = [each for each in (self._judge(*one, opened, now) for one in found) if each is not None]
        there = {(row.number, each.subject) for row, each in found}
        gone = [opening for key, opening in opened.items() if key not in there]
        self._standings = {key: standing for key, standing in self._standings.items() if key in there}
        if changes or gone:
            with self._account.begin() as connection:
                for row, measured, opening, happening in changes:
                    self._write(connection, row, measured, opening, happening=happening, now=now)
                for opening in gone:
                    alarm_history.end(connection, None, opening, now=now, link=None, value=opening.value)

    def _judge(
        self, row: AlarmRow, measured: Measured, opened: dict[Key, Opening], now: int
    ) -> tuple[AlarmRow, Measured, Opening | None, str] | None:
        key = row.number, measured.subject
        opening = opened.get(key)
        standing, happening = judge(
            self._standings.get(key, Standing()),
            is_open=opening is not None,
            value=measured.value,
            limit=row.threshold,
            now=now,
        )
        self._standings[key] = standing
        if happening is not None:
            return row, measured, opening, happening
        if (
            opening is not None
            and measured.value is not None
            and is_reminder_due(opening.said_at, row.remind_hours, now)
        ):
            return row, measured, opening, "reminder"
        return None

    def _write(
        self,
        connection: Connection,
        row: AlarmRow,
        measured: Measured,
        opening: Opening | None,
        *,
        happening: str,
        now: int,
    ) -> None:
        if opening is None:
            alarm_history.begin(connection, row, measured, now=now, link=self._link)
        elif happening == "reminder":
            alarm_history.remind(connection, row, opening, measured, now=now, link=self._link)
        else:
            alarm_history.end(connection, row, opening, now=now, link=self._link, value=measured.value or 0.0)
