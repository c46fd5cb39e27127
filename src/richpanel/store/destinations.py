"""Destinations: where a source's messages are delivered, with which settings (mission rows S1, S2, S6)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from richpanel.store import definitions
from richpanel.store.definitions import changed, new_id
from richpanel.store.secrets import SecretBox

CATALOG_ID: Final = "richpanel"
MOST_OF_A_SOURCE: Final = 25
"""So many instances of a destination may one source have, as at Segment (its "Add a destination")."""
ACCOUNT: Final = "account"
"""The endpoint of the built-in account; any other endpoint is a URL."""


class UnknownSourceError(ValueError):
    """A destination names a source that does not exist."""


class TooManyInstancesError(ValueError):
    """A source is to be connected to more destinations than it may be."""


class SecretNeededError(ValueError):
    """A destination is to sign what it sends, and has nothing to sign with."""


SignatureMode = Literal["none", "md5", "sha256"]


class DestinationSettings(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What the catalog asks for: API Key (required) and API Secret (optional; sealed where it is stored).

    For an endpoint outside also how requests are signed, how many calls go into one, and how many requests in 30 s are
    sent at the most.
    """

    api_key: str = ""
    api_secret: str | None = None
    signature_mode: SignatureMode = "none"
    batch_size: int = 1
    rate: int | None = None


class DestinationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A destination without its secret: `has_secret` tells whether it has one.

    `sources` are ids, `source_numbers` the same as numbers, both by number. `filters` are as contract.md "Bodies" says.
    """

    number: int
    id: str
    name: str
    catalog_id: str
    sources: tuple[str, ...]
    source_numbers: tuple[int, ...]
    api_key: str
    has_secret: bool
    endpoint: str
    enabled: bool
    filters: list[dict[str, Any]]
    created_at: int
    signature_mode: SignatureMode = "none"
    batch_size: int = 1
    rate: int | None = None


class DestinationChanges(msgspec.Struct, frozen=True, kw_only=True):
    """What to set of a destination; what is left UNSET stays. `sources` are ids; an `api_secret` of None removes it."""

    name: str | UnsetType = UNSET
    sources: Sequence[str] | UnsetType = UNSET
    api_key: str | UnsetType = UNSET
    api_secret: str | UnsetType | None = UNSET
    endpoint: str | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    filters: list[dict[str, Any]] | UnsetType = UNSET
    signature_mode: SignatureMode | UnsetType = UNSET
    batch_size: int | UnsetType = UNSET
    rate: int | UnsetType | None = UNSET


def _settings(text: str) -> DestinationSettings:
    return msgspec.json.decode(text, type=DestinationSettings)


def _row(row: Row[Any], sources: list[tuple[int, str]]) -> DestinationRow:
    settings = _settings(row.settings)
    return DestinationRow(
        number=row.number,
        id=row.id,
        name=row.name,
        catalog_id=row.catalog_id,
        sources=tuple(source_id for _, source_id in sources),
        source_numbers=tuple(number for number, _ in sources),
        api_key=settings.api_key,
        has_secret=settings.api_secret is not None,
        endpoint=row.endpoint,
        enabled=row.enabled,
        filters=msgspec.json.decode(row.filters),
        created_at=row.created_at,
        signature_mode=settings.signature_mode,
        batch_size=settings.batch_size,
        rate=settings.rate,
    )


def list_destinations(conn: Connection) -> list[DestinationRow]:
    """List the destinations by number; deleted sources are left out of them."""
    table, links, sources = definitions.destinations, definitions.destination_sources, definitions.sources
    query = select(links.c.destination, sources.c.number, sources.c.id).join(
        sources, sources.c.number == links.c.source
    )
    connected: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for destination, number, source_id in conn.execute(
        query.where(sources.c.deleted_at.is_(None)).order_by(sources.c.number)
    ):
        connected[destination].append((number, source_id))
    rows = conn.execute(select(table).where(table.c.deleted_at.is_(None)).order_by(table.c.number))
    return [_row(row, connected[row.number]) for row in rows.all()]


def all_numbers(conn: Connection) -> dict[str, int]:
    """Number all destinations that there ever were, by id."""
    table = definitions.destinations
    return {row.id: row.number for row in conn.execute(select(table.c.id, table.c.number))}


def outside(conn: Connection) -> dict[str, int]:
    """Number the destinations that are not the built-in account, by id; deleted ones are among them."""
    table = definitions.destinations
    return {
        row.id: row.number
        for row in conn.execute(select(table.c.id, table.c.number).where(table.c.endpoint != ACCOUNT))
    }


def get_destination(conn: Connection, destination_id: str) -> DestinationRow | None:
    """Find a destination by its id."""
    return next((row for row in list_destinations(conn) if row.id == destination_id), None)


def add_destination(
    conn: Connection, box: SecretBox, catalog_id: str, changes: DestinationChanges, *, now: int
) -> DestinationRow:
    """Add a destination; what `changes` leaves UNSET gets its default (endpoint: the built-in account; enabled).

    Raises UnknownSourceError for a source id that does not exist, TooManyInstancesError, SecretNeededError.
    """
    destination_id = new_id("dst")
    values = {"name": "Richpanel", "settings": "{}", "endpoint": ACCOUNT, "enabled": True, "filters": "[]"}
    conn.execute(
        insert(definitions.destinations).values(id=destination_id, catalog_id=catalog_id, created_at=now, **values)
    )
    update_destination(conn, box, destination_id, changes)
    return next(row for row in list_destinations(conn) if row.id == destination_id)


def update_destination(
    conn: Connection, box: SecretBox, destination_id: str, changes: DestinationChanges
) -> DestinationRow | None:
    """Change a destination; None where there is no such one.

    Raises UnknownSourceError, TooManyInstancesError, SecretNeededError.
    """
    table = definitions.destinations
    row = conn.execute(select(table).where(table.c.id == destination_id, table.c.deleted_at.is_(None))).first()
    if row is None:
        return None
    given = {key: value for key, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    settings = _settings(row.settings)
    if secret := given.get("api_secret"):
        given["api_secret"] = box.seal(secret)
    names = [name for name in DestinationSettings.__struct_fields__ if name in given]
    settings = msgspec.structs.replace(settings, **{name: given.pop(name) for name in names})
    if settings.signature_mode != "none" and not settings.api_secret:
        raise SecretNeededError("Requests are signed with the API Secret, and there is none.")
    if "sources" in given:
        _connect(conn, row.number, given.pop("sources"))
    if "filters" in given:
        given["filters"] = msgspec.json.encode(given["filters"]).decode()
    given["settings"] = msgspec.json.encode(settings).decode()
    conn.execute(update(table).where(table.c.number == row.number).values(**given))
    changed(conn)
    return get_destination(conn, destination_id)


def _connect(conn: Connection, destination: int, source_ids: Sequence[str]) -> None:
    """Connect a destination to exactly these sources."""
    links, sources = definitions.destination_sources, definitions.sources
    query = select(sources.c.id, sources.c.number).where(sources.c.id.in_(source_ids), sources.c.deleted_at.is_(None))
    numbers = {row.id: row.number for row in conn.execute(query)}
    unknown = [source_id for source_id in source_ids if source_id not in numbers]
    if unknown:
        raise UnknownSourceError(f"there is no source with the id {unknown[0]}")
    _check_room(conn, destination, list(numbers.values()))
    conn.execute(delete(links).where(links.c.destination == destination))
    if numbers:
        conn.execute(insert(links), [{"destination": destination, "source": number} for number in numbers.values()])


def _check_room(conn: Connection, destination: int, source_numbers: Sequence[int]) -> None:
    """Raise TooManyInstancesError where one of the sources, not connected yet, has as many instances as it may."""
    links, sources, table = definitions.destination_sources, definitions.sources, definitions.destinations
    already = select(links.c.source).where(links.c.destination == destination)
    of_each = (
        select(sources.c.name)
        .join(links, links.c.source == sources.c.number)
        .join(table, table.c.number == links.c.destination)
        .where(table.c.deleted_at.is_(None), sources.c.number.in_(source_numbers), sources.c.number.not_in(already))
        .group_by(sources.c.number, sources.c.name)
        .having(func.count() >= MOST_OF_A_SOURCE)
        .order_by(sources.c.number)
    )
    full = conn.execute(of_each).scalars().first()
    if full is not None:
        raise TooManyInstancesError(
            f"The source {full} is connected to {MOST_OF_A_SOURCE} destinations, and may be to no more."
        )


def copy_destination(
    conn: Connection, destination_id: str, name: str, source_ids: Sequence[str], *, now: int
) -> DestinationRow | None:
    """Add a destination with the settings of another, its secret and filters too, for other sources, under a name.

    None where there is no such destination. Raises UnknownSourceError, TooManyInstancesError.
    """
    table = definitions.destinations
    columns = (table.c.catalog_id, table.c.settings, table.c.endpoint, table.c.enabled, table.c.filters)
    found = conn.execute(select(*columns).where(table.c.id == destination_id, table.c.deleted_at.is_(None))).first()
    if found is None:
        return None
    copied = new_id("dst")
    values = {"id": copied, "name": name, "created_at": now, **found._mapping}
    _connect(conn, conn.execute(insert(table).values(values).returning(table.c.number)).scalar_one(), source_ids)
    changed(conn)
    return get_destination(conn, copied)


def destination_secret(conn: Connection, box: SecretBox, destination_id: str) -> str | None:
    """Read a destination's API Secret, for signing what it sends; never for an answer."""
    table = definitions.destinations
    text = conn.execute(
        select(table.c.settings).where(table.c.id == destination_id, table.c.deleted_at.is_(None))
    ).scalar()
    sealed = _settings(text).api_secret if text else None
    return box.open(sealed) if sealed else None


def delete_destination(conn: Connection, destination_id: str, *, now: int) -> bool:
    """Delete a destination; the decisions made for it stay. False where there is no such destination."""
    table = definitions.destinations
    ended = conn.execute(
        update(table).where(table.c.id == destination_id, table.c.deleted_at.is_(None)).values(deleted_at=now)
    )
    changed(conn)
    return ended.rowcount > 0
