"""A person's sessions as people see them (contract.md, "REST API"; `semantics.md` 5)."""

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection

from richpanel.core.profile import Profile, unpack, unpack_session
from richpanel.core.session import Mark, Session
from richpanel.core.timestamps import iso
from richpanel.store.bulk import LISTED, fetch, listed
from richpanel.store.paging import Page, read_cursor, write_cursor
from richpanel.store.person import decode_campaign


class SessionView(msgspec.Struct, rename="camel", kw_only=True):
    """A session. `seconds` is its length; `campaign` the name of the first campaign in it."""

    session_id: str
    started_at: str
    ended_at: str
    seconds: float
    events: int
    generated: bool
    landing_page: str | None
    last_page: str | None
    referrer: str | None
    campaign: str | None
    source: str | None
    medium: str | None
    device: str | None


def list_sessions(connection: Connection, profile: int, *, cursor: str | None, limit: int) -> Page[SessionView]:
    """List a profile's sessions, the one that started last first."""
    at = read_cursor(cursor, int, str)
    before = at[0] if at is not None else 1 << 62
    known = profile_of(connection, profile)
    found = list(known.open) if known is not None else []
    rows = fetch(
        connection,
        "SELECT data FROM sessions WHERE profile = ? AND key = '' AND start <= ? ORDER BY start DESC LIMIT ?",
        profile,
        before,
        limit + 2,
    )
    rows = [*rows, *fetch(connection, "SELECT data FROM sessions WHERE profile = ? AND key <> ''", profile)]
    found += [unpack_session(row[0]) for row in rows]
    found.sort(key=lambda session: (session.start, session.id), reverse=True)
    if at is not None:
        found = [session for session in found if (session.start, session.id) < (at[0], at[1])]
    shown = found[:limit]
    more = write_cursor(shown[-1].start, shown[-1].id) if len(found) > limit else None
    return Page([_shown(session) for session in shown], more)


def sessions_of(connection: Connection, profile: int, ids: Iterable[str], from_t: int, to_t: int) -> list[SessionView]:
    """Give those of a profile's sessions that have these ids; generated ones had events in `from_t..to_t`."""
    wanted = set(ids)
    known = profile_of(connection, profile)
    if known is None:
        return []
    rows = fetch(
        connection, f"SELECT data FROM sessions WHERE profile = ? AND key IN {LISTED}", profile, listed(wanted - {""})
    )
    found = {session.id: session for session in (unpack_session(row[0]) for row in rows)}
    found |= {session.id: session for session in generated_between(connection, profile, known, from_t, to_t)}
    found |= {session.id: session for session in known.open}
    return [_shown(session) for name, session in found.items() if name in wanted]


def profile_of(connection: Connection, number: int) -> Profile | None:
    """Give a profile, whose row holds its newest sessions; None where there is none."""
    rows = fetch(connection, "SELECT state FROM profiles WHERE id = ?", number)
    return unpack(rows[0][0]) if rows else None


def generated_between(connection: Connection, number: int, profile: Profile, from_t: int, to_t: int) -> list[Session]:
    """Give the generated sessions of a profile with events in `from_t..to_t`, and its newest ones, oldest first."""
    found = [session for session in profile.open if not session.key]
    if profile.closed:  # Else none has a row.
        rows = fetch(
            connection,
            "SELECT data FROM sessions WHERE profile = ?1 AND key = '' AND start <= ?3 AND start >= coalesce("
            "(SELECT max(start) FROM sessions WHERE profile = ?1 AND key = '' AND start <= ?2), 0)",
            *(number, from_t, to_t),
        )
        found += [unpack_session(row[0]) for row in rows]
    return sorted(found, key=lambda session: session.first)


def _value(mark: Mark | None) -> str | None:
    return None if mark is None else mark[1]


def _shown(session: Session) -> SessionView:
    campaign: tuple[str | None, ...] = (None, None, None)
    if session.campaign is not None:
        campaign = decode_campaign(session.campaign[1])
    return SessionView(
        session_id=session.id,
        started_at=iso(session.start),
        ended_at=iso(session.end),
        seconds=(session.end - session.start) / 1000,
        events=session.events,
        generated=not session.key,
        landing_page=_value(session.landing),
        last_page=_value(session.exit),
        referrer=_value(session.referrer),
        campaign=campaign[0],
        source=campaign[1],
        medium=campaign[2],
        device=_value(session.device),
    )
