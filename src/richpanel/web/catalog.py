"""REST: `/catalog`, what a source can be connected to. It holds one entry: Richpanel (`facts` of Segment's catalog)."""

from typing import Annotated, Final, Literal

import msgspec
from litestar import get
from litestar.di import NamedDependency as Given
from msgspec import Meta

from richpanel.store.destinations import CATALOG_ID
from richpanel.web.paging import Listed, Query


class Setting(msgspec.Struct, rename="camel"):
    """One setting that a destination asks for."""

    name: str
    label: str
    type: Literal["string"]
    required: bool
    description: str


class Modes(msgspec.Struct):
    """Which connection modes a kind of source may use."""

    cloud: bool
    device: bool


class Component(msgspec.Struct):
    """A part of the integration, and whose it is."""

    type: Literal["SERVER"]
    owner: Literal["partner"]


class CatalogEntry(msgspec.Struct, rename="camel"):
    """A kind of destination: whose it is, which calls it takes, from which sources, with which settings."""

    id: str
    name: str
    description: str
    owner: Literal["partner"]
    status: Literal["public"]
    components: list[Component]
    integrations_name: str
    modes: dict[str, Modes]
    calls: dict[str, bool]
    settings: list[Setting]


class CatalogQuery(Query, kw_only=True):
    """A search."""

    q: Annotated[str, Meta(description="Words that the name or the description holds.")] | None = None


_CLOUD: Final = Modes(cloud=True, device=False)
RICHPANEL: Final = CatalogEntry(
    id=CATALOG_ID,
    name="Richpanel",
    description="Helpdesk software for e-commerce teams: calls become customers with a timeline.",
    owner="partner",
    status="public",
    components=[Component("SERVER", "partner")],
    integrations_name="Richpanel",
    modes={"web": _CLOUD, "mobile": _CLOUD, "server": _CLOUD},
    calls={"identify": True, "track": True, "page": True, "screen": False, "group": False, "alias": False},
    settings=[
        Setting("apiKey", "API Key", "string", True, "Find the API Key in Data Source section of Richpanel"),
        Setting("apiSecret", "API Secret", "string", False, "Find the API Secret in Data Source section of Richpanel"),
    ],
)


def found(q: str | None) -> list[CatalogEntry]:
    """Give the entries that hold every word."""
    text = f"{RICHPANEL.name} {RICHPANEL.description}".lower()
    return [RICHPANEL] if all(word in text for word in (q or "").lower().split()) else []


@get("/catalog", operation_id="searchCatalog", tags=["Destinations"])
async def search_catalog(asked: Given[CatalogQuery]) -> Listed[CatalogEntry]:
    """Search the catalog of destinations."""
    return Listed(found(asked.q))
