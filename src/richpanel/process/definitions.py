"""Definitions: what the account has set up, as far as processing needs it, read again when it changed."""

import msgspec
from sqlalchemy import Connection, Engine

from richpanel.store.account import AccountSettings, read_account
from richpanel.store.connectors import list_connectors
from richpanel.store.definitions import definitions_version
from richpanel.store.destinations import list_destinations
from richpanel.store.sources import SourceRow, list_sources


class Route(msgspec.Struct, frozen=True):
    """One enabled destination of a source. `connector` is the number of the account's connector with its API Key."""

    destination: str
    endpoint: str
    connector: int | None


class Definitions(msgspec.Struct):
    """The account's settings, its sources by id, and each source's routes."""

    version: int
    account: AccountSettings
    sources: dict[str, SourceRow]
    routes: dict[str, list[Route]]


def read(connection: Connection) -> Definitions:
    """Read the definitions in force. Deleted sources are among them: the log still holds their records."""
    version = definitions_version(connection)
    connectors = {row.api_key: row.number for row in list_connectors(connection)}
    routes: dict[str, list[Route]] = {}
    for row in list_destinations(connection):
        if row.enabled:
            for source in row.sources:
                routes.setdefault(source, []).append(Route(row.id, row.endpoint, connectors.get(row.api_key)))
    sources = {row.id: row for row in list_sources(connection, deleted=True)}
    return Definitions(version, read_account(connection), sources, routes)


class Watch:
    """The definitions, read again only when their version has moved on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: Definitions | None = None

    def current(self) -> Definitions:
        """Give the definitions in force."""
        with self._engine.connect() as connection:
            if self._known is None or definitions_version(connection) != self._known.version:
                self._known = read(connection)
        return self._known
