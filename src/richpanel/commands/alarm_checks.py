"""What `richpanel doctor` looks at of alarms: whether those who are to be told can be."""

import smtplib
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DatabaseError

from richpanel.commands.checks import Check
from richpanel.config import Settings
from richpanel.roles.mailing import mailer_of
from richpanel.store import alarm_history
from richpanel.store.alarms import list_alarms
from richpanel.store.database import open_engine, reading
from richpanel.store.directory import DataDirectory

_LATEST: Final = 200


def alarms(directory: DataDirectory, settings: Settings) -> Iterator[Check]:
    """Look at the alarms' channels: the server for mail is asked, of webhooks the last notice tells."""
    engine = open_engine(directory.account_url, read_only=True, cache_mib=1)
    try:
        with reading(engine) as connection:
            rows = [row for row in list_alarms(connection) if row.enabled]
            told = alarm_history.told(connection, _LATEST) if rows else []
            opened = alarm_history.open_now(connection)
    except DatabaseError:  # Whoever looks at the databases says it.
        return
    finally:
        engine.dispose()
    if not rows:
        return
    yield Check("alarms", "note" if opened else "ok", f"{len(rows)} on, {len(opened)} open")
    if any(row.emails for row in rows) or settings.smtp_url is not None:
        yield _mail(settings)
    last = {(each.alarm, each.channel): each for each in reversed(told)}
    for row in rows:
        notice = last.get((row.number, "webhook"))
        if row.webhook and notice is not None and notice.sent_at is None and notice.problem is not None:
            yield Check(
                "webhook", "note", f"{row.name}: the last notice did not arrive at its webhook. {notice.problem}"
            )


def _mail(settings: Settings) -> Check:
    mailer = mailer_of(settings.smtp_url, settings.smtp_from)
    if mailer is None:
        return Check("mail of alarms", "problem", "alarms have e-mail addresses, and there is no server: set smtp_url")
    try:
        with mailer.connected() as server:
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        return Check("mail of alarms", "problem", f"{mailer.shown} cannot be used: {error}")
    return Check("mail of alarms", "ok", f"{mailer.shown} takes mail, from {mailer.sender}")
