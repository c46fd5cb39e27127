"""REST: `/destinations`, where messages are delivered; secrets are never answered back (contract.md, "Bodies")."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from litestar import Router, delete, get, patch, post
from litestar.di import NamedDependency as Given
from litestar.exceptions import NotFoundException
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import Connection

from richpanel.core.endpoints import endpoint_fault
from richpanel.core.filters import Filter
from richpanel.core.timestamps import iso
from richpanel.store import backfills
from richpanel.store.destinations import (
    ACCOUNT,
    DestinationChanges,
    DestinationRow,
    SecretNeededError,
    SignatureMode,
    TooManyInstancesError,
    UnknownSourceError,
    add_destination,
    delete_destination,
    get_destination,
    list_destinations,
    update_destination,
)
from richpanel.store.secrets import SecretBox
from richpanel.web.filters import checked, try_filter
from richpanel.web.paging import Identifier, Listed, bad_field
from richpanel.web.paths import decode_id
from richpanel.web.sources import Mode, Name
from richpanel.web.stores import Stores

Endpoint = Annotated[str, Meta(pattern=r"^(account|https?://[!-~]+)(?![\s\S])", max_length=2_000)]
"""`account` or a URL in ASCII. The look-ahead is the end of the text in every dialect; `$` lets a newline through."""
BATCH_EVENTS: Final = 25
"""Calls in a request at the most (facts of Richpanel 1)."""
Secret = Annotated[str, Meta(max_length=1_000)]


class EndpointPolicy(NamedTuple):
    """Whether an endpoint may be private, or without TLS."""

    allow_private: bool


class ShownSettings(msgspec.Struct, rename="camel"):
    """A destination's settings; of the API Secret only whether there is one."""

    api_key: str
    has_api_secret: bool
    signature_mode: SignatureMode
    batch_size: int
    rate: int | None


class GivenSettings(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A destination's settings: API Key (required), API Secret (optional; null removes it).

    For an endpoint outside also how requests are signed (which needs the secret), how many calls go into one, and how
    many requests in 30 seconds are sent at the most (null: as many as it takes).
    """

    api_key: Secret | UnsetType = UNSET
    api_secret: Secret | UnsetType | None = UNSET
    signature_mode: SignatureMode | UnsetType = UNSET
    batch_size: Annotated[int, Meta(ge=1, le=BATCH_EVENTS)] | UnsetType = UNSET
    rate: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType | None = UNSET


class DestinationView(msgspec.Struct, rename="camel"):
    """A destination."""

    id: str
    name: str
    catalog_id: str
    sources: list[str]
    settings: ShownSettings
    endpoint: str
    enabled: bool
    filters: list[Filter]
    created_at: str


class NewDestination(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A destination to add. `sources` are source ids; `endpoint` is `account` (the built-in one) or a URL."""

    name: Name
    settings: GivenSettings
    catalog_id: Literal["richpanel"] = "richpanel"
    sources: list[str] = []
    endpoint: Endpoint = "account"
    enabled: bool = True
    filters: list[Filter] = []
    mode: Mode = "cloud"


class DestinationPatch(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """What to change of a destination; what is left out stays."""

    name: Name | UnsetType = UNSET
    settings: GivenSettings | UnsetType = UNSET
    sources: list[str] | UnsetType = UNSET
    endpoint: Endpoint | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    filters: list[Filter] | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET


def _view(row: DestinationRow) -> DestinationView:
    return DestinationView(
        id=row.id,
        name=row.name,
        catalog_id=row.catalog_id,
        sources=list(row.sources),
        settings=ShownSettings(row.api_key, row.has_secret, row.signature_mode, row.batch_size, row.rate),
        endpoint=row.endpoint,
        enabled=row.enabled,
        filters=msgspec.convert(row.filters, list[Filter]),
        created_at=iso(row.created_at),
    )


def _changes(data: NewDestination | DestinationPatch) -> DestinationChanges:
    settings = GivenSettings() if data.settings is UNSET else data.settings
    return DestinationChanges(
        name=data.name,
        sources=data.sources if data.sources is UNSET else list(dict.fromkeys(data.sources)),
        api_key=settings.api_key,
        api_secret=settings.api_secret,
        signature_mode=settings.signature_mode,
        batch_size=settings.batch_size,
        rate=settings.rate,
        endpoint=data.endpoint,
        enabled=data.enabled,
        filters=data.filters if data.filters is UNSET else checked(data.filters),
    )


def _check_endpoint(endpoint: str, policy: EndpointPolicy) -> None:
    fault = None if endpoint == ACCOUNT else endpoint_fault(endpoint, allow_private=policy.allow_private)
    if fault is not None:
        raise bad_field("endpoint", fault)


@contextmanager
def _told_as_fields() -> Iterator[None]:
    """Say what the store refuses of the field that it concerns."""
    try:
        yield
    except (UnknownSourceError, TooManyInstancesError) as error:
        raise bad_field("sources", str(error)) from None
    except SecretNeededError as error:
        raise bad_field("settings.signatureMode", str(error)) from None


@get("/", operation_id="listDestinations")
async def list_all(stores: Given[Stores]) -> Listed[DestinationView]:
    """List the destinations."""
    return Listed([_view(row) for row in await stores.look_up(list_destinations)])


@get("/{destination_id:str}", operation_id="getDestination", raises=[NotFoundException])
async def get_one(stores: Given[Stores], destination_id: Identifier) -> DestinationView:
    """Get a destination."""
    wanted = decode_id(destination_id)
    row = await stores.look_up(lambda conn: get_destination(conn, wanted))
    if row is None:
        raise NotFoundException("There is no destination with this id.")
    return _view(row)


async def enter(stores: Stores, secrets: SecretBox, policy: EndpointPolicy, data: NewDestination) -> DestinationRow:
    """Add a destination; raises ValidationException, which names the field."""
    if not data.settings.api_key:
        raise bad_field("settings.apiKey", "An API Key is required.")
    _check_endpoint(data.endpoint, policy)
    changes = _changes(data)
    with _told_as_fields():
        return await stores.define(
            lambda conn: add_destination(conn, secrets, data.catalog_id, changes, now=stores.now())
        )


async def amend(
    stores: Stores, secrets: SecretBox, policy: EndpointPolicy, destination_id: str, data: DestinationPatch
) -> DestinationRow:
    """Change a destination; raises ValidationException, which names the field, and NotFoundException."""
    if data.endpoint is not UNSET:
        _check_endpoint(data.endpoint, policy)
    changes = _changes(data)

    def change(conn: Connection) -> DestinationRow | None:
        changed = update_destination(conn, secrets, destination_id, changes)
        backfills.leave(conn, now=stores.now())
        return changed

    with _told_as_fields():
        row = await stores.define(change)
    if row is None:
        raise NotFoundException("There is no destination with this id.")
    return row


@post("/", operation_id="addDestination")
async def add(
    stores: Given[Stores], secrets: Given[SecretBox], policy: Given[EndpointPolicy], data: JSONBody[NewDestination]
) -> DestinationView:
    """Add a destination and connect it to sources."""
    return _view(await enter(stores, secrets, policy, data))


@patch("/{destination_id:str}", operation_id="updateDestination", raises=[NotFoundException])
async def update(
    stores: Given[Stores],
    secrets: Given[SecretBox],
    policy: Given[EndpointPolicy],
    destination_id: Identifier,
    data: JSONBody[DestinationPatch],
) -> DestinationView:
    """Change a destination."""
    return _view(await amend(stores, secrets, policy, decode_id(destination_id), data))


@delete("/{destination_id:str}", operation_id="deleteDestination", raises=[NotFoundException])
async def remove(stores: Given[Stores], destination_id: Identifier) -> None:
    """Delete a destination; the decisions made for it stay in the traces."""
    wanted = decode_id(destination_id)
    if not await stores.define(lambda conn: delete_destination(conn, wanted, now=stores.now())):
        raise NotFoundException("There is no destination with this id.")


destinations_api = Router(
    "/destinations", route_handlers=[list_all, get_one, add, update, remove, try_filter], tags=["Destinations"]
)
