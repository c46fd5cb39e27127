"""Where databases are, as engines take it (`store.database.open_engine`)."""

from typing import Final

from sqlalchemy import make_url

SCHEMA: Final = "schema"
"""The parameter of an engine's URL that names the schema; PostgreSQL itself does not know it."""


def is_postgres(url: str) -> bool:
    """Tell whether an engine's URL is of PostgreSQL."""
    return url.startswith("postgresql")


def schema_url(url: str, schema: str) -> str:
    """Give the engine's URL of a schema in the database at `postgresql://...`."""
    given = make_url(url).set(drivername="postgresql+psycopg").update_query_dict({SCHEMA: schema})
    return given.render_as_string(hide_password=False)


def shown_url(url: str) -> str:
    """Write a URL for people to read, without its password."""
    return make_url(url).render_as_string(hide_password=True)
