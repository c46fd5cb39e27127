"""Pages: rendered in a thread together with their queries, so that the event loop only passes them on."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from litestar import Response
from litestar.enums import MediaType
from litestar.response import Redirect
from litestar.types import Scope

from richpanel.core.roles import May, allows
from richpanel.web.access import AnyRequest, SignInRequired, Viewer
from richpanel.web.permissions import sees
from richpanel.web.problems import NotAllowed, SentOn, api_error, log_unforeseen, problem_of
from richpanel.web.rendering import environment, load_all
from richpanel.web.static import Assets
from richpanel.web.stores import Reading, Stores

SECTIONS: Final = (
    ("", (("/", "overview", "Overview"), ("/alarms", "bell", "Alarms"))),
    (
        "People",
        (
            ("/customers", "people", "Customers"),
            ("/visitors", "visitor", "Visitors"),
            ("/audiences", "funnel", "Audiences"),
            ("/traits", "sum", "Computed traits"),
        ),
    ),
    (
        "Connections",
        (
            ("/catalog", "grid", "Catalog"),
            ("/sources", "globe", "Sources"),
            ("/destinations", "send", "Destinations"),
            ("/deliveries", "truck", "Deliveries"),
            ("/messages", "list", "Messages"),
        ),
    ),
    (
        "Account",
        (
            ("/integrations", "plug", "Integrations"),
            ("/privacy", "shield", "Privacy"),
            ("/settings", "sliders", "Settings"),
        ),
    ),
)
Context = dict[str, Any]


class Pages:
    """Renders templates for a viewer."""

    def __init__(self, stores: Stores, assets: Assets, *, secure_cookies: bool, origin: Callable[[Scope], str]) -> None:
        self.stores: Final = stores
        self._env = environment(assets)
        self.secure_cookies: Final = secure_cookies
        self.origin: Final = origin

    def load(self) -> None:
        """Load what a page needs, before anybody asks for one."""
        load_all(self._env)

    async def show(
        self, viewer: Viewer, template: str, active: str, build: Callable[[Reading], Context], *, status: int = 200
    ) -> Response[str]:
        """Answer a page of the section `active`, with what `build` reads for it."""
        html = await self.stores.read(lambda reading: self._render(template, viewer, active, build(reading)))
        return Response(html, media_type=MediaType.HTML, status_code=status)

    def plain(
        self, template: str, context: Context, *, status: int = 200, viewer: Viewer | None = None
    ) -> Response[str]:
        """Answer a page that needs no query."""
        return Response(self._render(template, viewer, "", context), media_type=MediaType.HTML, status_code=status)

    def piece(self, template: str, context: Context) -> str:
        """Write a piece of a page."""
        return self._env.get_template(template).render(context)

    def _render(self, template: str, viewer: Viewer | None, active: str, context: Context) -> str:
        frame = {
            "viewer": viewer.login if viewer else None,
            "csrf": viewer.csrf if viewer else "",
            "role": viewer.role if viewer else None,
            "may": lambda permission: viewer is not None and allows(viewer.role, May(permission)),
            "sections": sections_of(viewer) if viewer else (),
            "active": active,
        }
        return self._env.get_template(template).render(frame | context)


def sections_of(viewer: Viewer) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """Give the sections that somebody may see."""
    seen = [(title, [link for link in links if sees(viewer.role, link[0])]) for title, links in SECTIONS]
    return [(title, links) for title, links in seen if links]


async def provide_viewer(request: AnyRequest) -> Viewer:
    """Give the person who looks: whom the guard has let in (`web.guard`)."""
    viewer: Viewer = request.state.viewer
    return viewer


async def provide_guest(request: AnyRequest) -> Viewer | None:
    """Give the person who looks, or None."""
    viewer: Viewer | None = request.state.get("viewer")
    return viewer


def answer_error(request: AnyRequest, error: Exception) -> Response[Any]:
    """Answer an error: problem details below `/api`, else a page; who must sign in first comes back here afterwards."""
    if request.scope["path"].startswith("/api/"):
        return api_error(request, error)
    if isinstance(error, SignInRequired):
        back = request.scope["path"]
        if request.scope["query_string"]:
            back += "?" + request.scope["query_string"].decode("latin-1")
        return Redirect(f"/?next={quote(back, safe='')}" if request.method == "GET" else "/", status_code=303)
    if isinstance(error, SentOn):
        return Redirect(error.path, status_code=303)
    log_unforeseen(request, error)
    problem, headers = problem_of(error)
    pages: Pages = request.app.state.pages
    viewer = request.state.get("viewer")
    template, ask = ("forbidden.html", error.ask) if isinstance(error, NotAllowed) else ("error.html", ())
    again = headers.get("Retry-After") if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    context = {"problem": problem, "ask": ask, "again": again if request.method == "GET" else None}
    answer = pages.plain(template, context, status=problem.status, viewer=viewer)
    answer.headers.update(headers)
    return answer
