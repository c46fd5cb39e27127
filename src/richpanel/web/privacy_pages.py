"""Pages: who is to be erased or kept out, how far that is, and the receipts (`semantics.md` 10)."""

from typing import Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.params import SkipValidation, URLEncodedBody
from litestar.response import Redirect

from richpanel.core.identity import KINDS, UID
from richpanel.core.regulation import RegulationType
from richpanel.log.contract import LogWriter
from richpanel.store import ledger, suppressed
from richpanel.store.ledger import Refusals
from richpanel.web.access import Viewer
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Query, answer_bad_values, bad_field
from richpanel.web.regulations import (
    NewRegulation,
    RegulationList,
    Wanted,
    check,
    enter,
    keys_of,
    list_page,
    number_of,
    with_provisional,
)
from richpanel.web.signin import Door
from richpanel.web.stores import Reading, Stores

_LIST: Final = 20
_HOURS: Final = 12
_SUPPRESSED: Final = 20
_NAMES: Final = {
    "DELETE": "Erase",
    "SUPPRESS": "Keep out",
    "SUPPRESS_WITH_DELETE": "Erase and keep out",
    "UNSUPPRESS": "Let in again",
}
_STATUS: Final = {
    "INITIALIZED": ("accent", "Accepted"),
    "RUNNING": ("warn", "Scrubbing files"),
    "FINISHED": ("good", "Finished"),
    "FAILED": ("bad", "Failed"),
}


class PrivacyQuery(Query, kw_only=True):
    """Where in the list."""

    cursor: str | None = None


class RegulationForm(msgspec.Struct):
    """The forms that ask for a regulation about one id; `kind` says what the id is."""

    type: RegulationType
    kind: Literal["uid", "anonymousId", "email", "phone", "address"]
    value: str


Asking = URLEncodedBody[RegulationForm]


def _page(reading: Reading, rows: RegulationList, refused: list[Refusals], cursor: str | None) -> Context:
    sources = {source.id: source.name for source in reading.sources.values()}
    kept_out = suppressed.listed_uids(reading.state, "", _SUPPRESSED + 1)
    return {
        "regulations": rows,
        "names": _NAMES,
        "statuses": _STATUS,
        "running": any(row.status != "FINISHED" for row in rows.data),
        "refused": [(each, sources.get(each.source, each.source)) for each in refused],
        "kept_out": kept_out[:_SUPPRESSED],
        "more_kept_out": len(kept_out) > _SUPPRESSED,
        "cursor": cursor,
    }


@get("/privacy", include_in_schema=False)
async def privacy_page(
    pages: Given[Pages], viewer: Given[Viewer], stores: Given[Stores], asked: Given[PrivacyQuery]
) -> Response[str]:
    """Show regulations, suppressions, and what was refused."""
    before = answer_bad_values(lambda: number_of(asked.cursor))
    rows = await stores.look_up(lambda conn: list_page(conn, before, _LIST))
    refused = await stores.look_up(lambda conn: ledger.refusals(conn, _HOURS))
    return await pages.show(
        viewer, "privacy.html", "/privacy", lambda reading: _page(reading, rows, refused, asked.cursor)
    )


@post("/privacy", include_in_schema=False, status_code=303)
async def ask_form(
    viewer: Given[Viewer],
    door: Given[Door],
    log_writer: Given[SkipValidation[LogWriter | None]],
    data: Asking,
) -> Redirect:
    """Ask for a regulation about one id."""
    keys = await _keys(door.stores, data)
    row = await enter(door.stores, log_writer, Wanted(data.type, keys, viewer.login))
    return Redirect(f"/privacy#{row.id}", status_code=303)


async def _keys(stores: Stores, form: RegulationForm) -> list[tuple[int, str]]:
    """Read the id as the API would."""
    value = form.value.strip()
    if not value:
        raise bad_field("value", "Say who is meant.")
    field = {"uid": "uids", "anonymousId": "anonymous_ids"}.get(form.kind, "addresses")
    asked = msgspec.structs.replace(NewRegulation(form.type), **{field: [value]})
    check(asked)
    found = keys_of(asked, (await stores.definitions()).account)
    return await stores.read(lambda reading: with_provisional(reading, found))


def erasable(kind: str, value: str) -> dict[str, str | bool]:
    """What a person's page needs to offer erasing them: their own id, and whether they can be kept out."""
    return {"kind": kind, "value": value, "is_uid": kind == KINDS[UID]}


privacy_pages = [privacy_page, ask_form]
