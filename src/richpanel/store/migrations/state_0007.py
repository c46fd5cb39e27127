"""Memberships: who is in which audience, and what the world was told of it (docs/decisions/0025)."""

from alembic import op
from sqlalchemy import inspect

from richpanel.store import postgres_schema, schema
from richpanel.store.bulk import on_postgres

revision = "state_0007"
down_revision = "state_0006"
branch_labels = None
depends_on = None
compatible_since = "state_0007"
"""A worker of before would fold what tells of audiences as identify calls, and miss events that memberships keep."""

_TABLES = (schema.memberships, schema.told, schema.first_runs)


def upgrade() -> None:
    """Make the tables, empty; a new state has them already."""
    connection = op.get_bind()
    if not on_postgres(connection):
        schema.metadata.create_all(connection, _TABLES, checkfirst=True)
    elif not inspect(connection).has_table("memberships"):
        postgres_schema.create_tables(connection, [table.name for table in _TABLES])
