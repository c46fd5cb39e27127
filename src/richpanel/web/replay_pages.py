"""Pages: the replays, with a form that counts first what one would be for (mission rows S6 and B4)."""

from typing import Final, Literal

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import ClientException
from litestar.params import URLEncodedBody
from litestar.response import Redirect

from richpanel.store.replays import Outcome
from richpanel.web.access import Viewer
from richpanel.web.message_pages import source_names
from richpanel.web.pages import Context, Pages
from richpanel.web.paging import Identifier, Query
from richpanel.web.paths import decode_id
from richpanel.web.replay_plans import NewReplay, Planned, begin
from richpanel.web.replays import cancel, planned_of, read_page, replay_one, resume
from richpanel.web.signin import Door
from richpanel.web.stores import Reading

_LIST: Final = 20
OUTCOMES: Final[dict[Outcome, str]] = {
    "failed": "What failed or could not be delivered",
    "discarded": "What filters kept back",
    "all": "Everything",
}
_STATUS: Final = {
    "running": ("accent", "Running"),
    "done": ("good", "Done"),
    "cancelled": ("quiet", "Cancelled"),
    "failed": ("bad", "Stopped"),
}


class ReplaysQuery(Query, kw_only=True, rename={"from_": "from"}):
    """Where in the list, or what a replay is to be for; with `count` it is counted."""

    cursor: str | None = None
    destination: str = ""
    source: str = ""
    uid: str = ""
    from_: str = ""
    to: str = ""
    outcome: Outcome = "failed"
    count: Literal["1"] | None = None


class StartForm(msgspec.Struct, kw_only=True, rename={"from_": "from"}):
    """The form that begins one."""

    destination: str
    source: str = ""
    uid: str = ""
    from_: str = ""
    to: str = ""
    outcome: Outcome = "failed"


class ActionForm(msgspec.Struct):
    """The buttons of one that is there."""

    action: Literal["cancel", "resume"]


def _asked(form: ReplaysQuery | StartForm) -> NewReplay:
    return NewReplay(
        destination=form.destination,
        source=form.source or None,
        uid=form.uid.strip() or None,
        from_=form.from_ or None,
        to=form.to or None,
        outcome=form.outcome,
    )


@get("/replays", include_in_schema=False)
async def replays_page(pages: Given[Pages], viewer: Given[Viewer], asked: Given[ReplaysQuery]) -> Response[str]:
    """Show the replays, and what one would be for."""
    stores = pages.stores
    rows = await read_page(stores, asked.cursor, _LIST)
    fault: str | None = None
    planned: Planned | None = None
    if asked.count:
        try:
            planned = await stores.read(lambda reading: planned_of(reading, _asked(asked)))
        except ClientException as error:
            fault = error.detail

    def build(reading: Reading) -> Context:
        return {
            "rows": rows,
            "destinations": reading.known.destination_rows,
            "names": dict(reading.known.destinations),
            "source_names": source_names(reading),
            "outcomes": OUTCOMES,
            "statuses": _STATUS,
            "running": any(row.status == "running" for row in rows.data),
            "form": asked,
            "fault": fault,
            "planned": planned,
        }

    return await pages.show(viewer, "replays.html", "/destinations", build, status=400 if fault else 200)


@post("/replays", include_in_schema=False, status_code=303)
async def start_form(viewer: Given[Viewer], door: Given[Door], data: URLEncodedBody[StartForm]) -> Redirect:
    """Begin a replay."""
    del viewer
    asked, stores = _asked(data), door.stores
    planned = await stores.read(lambda reading: planned_of(reading, asked))
    row = await stores.define(lambda account: begin(account, planned, asked.rate, stores.now()))
    return Redirect(f"/replays#{row.id}", status_code=303)


@post("/replays/{replay_id:str}", include_in_schema=False, status_code=303)
async def change_form(
    viewer: Given[Viewer],
    door: Given[Door],
    replay_id: Identifier,
    data: URLEncodedBody[ActionForm],
) -> Redirect:
    """Cancel a replay, or let it go on."""
    del viewer
    wanted = decode_id(replay_id)
    row = await (cancel if data.action == "cancel" else resume)(door.stores, wanted)
    return Redirect(f"/replays#{row.id}", status_code=303)


@post("/deliveries/{delivery_id:str}/replay", include_in_schema=False, status_code=303)
async def replay_form(
    viewer: Given[Viewer],
    door: Given[Door],
    delivery_id: Identifier,
) -> Redirect:
    """Send the message of one delivery again."""
    del viewer
    shown = await replay_one(door.stores, decode_id(delivery_id))
    return Redirect(f"/replays#{shown.id}", status_code=303)


replay_pages = [replays_page, start_form, change_form, replay_form]
