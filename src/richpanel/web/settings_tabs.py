"""The settings: one area with a tab for each page of it that somebody may see."""

from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency as Given
from litestar.response import Redirect

from richpanel.web.access import Viewer
from richpanel.web.pages import Context, Pages
from richpanel.web.permissions import sees

_TABS: Final = (
    ("/settings/account", "My account"),
    ("/settings/shop", "Shop"),
    ("/settings/people", "People"),
    ("/settings/tokens", "Tokens and keys"),
    ("/settings/audit", "Audit log"),
)


def tabs_of(viewer: Viewer) -> list[tuple[str, str]]:
    """Give the tabs that somebody may see."""
    return [each for each in _TABS if sees(viewer.role, each[0])]


def settings_page(
    pages: Pages, viewer: Viewer, template: str, tab: str, context: Context, *, status: int = 200
) -> Response[str]:
    """Answer a page of the settings."""
    frame: dict[str, Any] = {"active": "/settings", "tab": tab, "tabs": tabs_of(viewer)}
    return pages.plain(template, frame | context, status=status, viewer=viewer)


@get("/settings", include_in_schema=False)
async def settings_home(viewer: Given[Viewer]) -> Redirect:
    """Go to the first tab."""
    del viewer
    return Redirect(_TABS[0][0], status_code=303)
