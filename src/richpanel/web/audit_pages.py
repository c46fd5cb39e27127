"""The audit log, read: its page in the settings, and REST `GET /audit`."""

from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency as Given
from msgspec import Meta

from richpanel.core.identity import UID
from richpanel.core.timestamps import iso
from richpanel.store.audit import AuditRow, Filter, Kind, names_of, newest
from richpanel.store.database import reading as snapshot
from richpanel.store.paging import Page
from richpanel.store.users import list_users
from richpanel.web.access import Viewer
from richpanel.web.audit import DAY_MS, person_hash
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Paged, answer_bad_values
from richpanel.web.settings_tabs import tabs_of
from richpanel.web.stores import Reading, Stores

AUDIT: Final = "/settings/audit"
_KINDS: Final = (("look", "Looks"), ("change", "Changes"), ("sign-in", "Sign-ins"))
_SPANS: Final = ((1, "Last day"), (7, "Last 7 days"), (30, "Last 30 days"), (90, "Last 90 days"))


class AuditQuery(Paged, kw_only=True):
    """What to list of the audit log."""

    who: Annotated[str, Meta(description="A login, or the name of a token.")] | None = None
    kind: Kind | None = None
    about: (
        Annotated[str, Meta(description="A uid, anonymousId or messageId: who looked at it, or changed it.")] | None
    ) = None
    days: Annotated[int, Meta(ge=1, le=36_500, description="How far back.")] | None = None


class AuditPerson(msgspec.Struct):
    """Whom it concerned, as long as they are known: who was erased has only the hash."""

    hash: str
    kind: str | None
    id: str | None


class AuditView(msgspec.Struct):
    """One thing that was done; `token` is the token's id, where it was one."""

    at: str
    kind: Kind
    who: str
    token: str | None
    verb: str
    noun: str
    object: str | None
    person: AuditPerson | None
    address: str
    details: Mapping[str, str]


class AuditList(msgspec.Struct):
    """A page of the audit log, the newest first."""

    data: list[AuditView]
    next: str | None


def read_audit(reading: Reading, asked: AuditQuery) -> AuditList:
    """List what was done, with the ids of those it concerned who are still known."""
    secret = reading.account.hash_key
    about = (
        [person_hash(secret, noun, asked.about) for noun in ("customer", "visitor", "message")] if asked.about else None
    )
    since = None if asked.days is None else reading.now - asked.days * DAY_MS
    wanted = Filter(who=asked.who, kind=asked.kind, persons=about, since=since)
    with snapshot(reading.definitions) as connection:
        rows: Page[AuditRow] = answer_bad_values(
            lambda: newest(connection, wanted, limit=asked.limit, cursor=asked.cursor)
        )
    known = names_of(reading.state, secret, {row.person for row in rows.data if row.person})
    return AuditList([_view(row, known) for row in rows.data], rows.next)


def _view(row: AuditRow, known: Mapping[str, tuple[int, str]]) -> AuditView:
    person = None
    if row.person is not None:
        kind, id_ = known.get(row.person, (None, None))
        person = AuditPerson(row.person, None if kind is None else "uid" if kind == UID else "anonymousId", id_)
    return AuditView(
        *(iso(row.at), row.kind, row.who, row.token, row.verb, row.noun, row.object),
        *(person, row.address, row.details),
    )


@get("/audit", operation_id="listAudit", tags=["Audit"])
async def list_audit(stores: Given[Stores], asked: Given[AuditQuery]) -> AuditList:
    """List who changed what, and who looked at whom, the newest first."""
    return await stores.read(lambda reading: read_audit(reading, asked))


def _page(reading: Reading, viewer: Viewer, asked: AuditQuery) -> Context:
    filters = {"who": asked.who, "kind": asked.kind, "about": asked.about, "days": asked.days}
    with snapshot(reading.definitions) as connection:
        logins = [user.login for user in list_users(connection)]
    return {
        "tabs": tabs_of(viewer),
        "tab": AUDIT,
        "rows": read_audit(reading, asked),
        "chosen": asked,
        "filters": filters,
        "filtered": any(filters.values()),
        "kinds": _KINDS,
        "spans": _SPANS,
        "people": [(login, login) for login in logins],
        "cursor": asked.cursor,
    }


@get(AUDIT, include_in_schema=False)
async def audit_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[AuditQuery]) -> Response[str]:
    """Show the audit log."""
    return await pages.show(viewer, "audit.html", "/settings", lambda reading: _page(reading, viewer, asked))


audit_pages = [audit_page]
