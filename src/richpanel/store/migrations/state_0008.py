"""Checks: what came of counting again who is in which audience (docs/decisions/0025)."""

from alembic import op
from sqlalchemy import inspect

from richpanel.store import postgres_schema, schema
from richpanel.store.bulk import on_postgres

revision = "state_0008"
down_revision = "state_0007"
branch_labels = None
depends_on = None
compatible_since = "state_0007"


def upgrade() -> None:
    """Make the table, empty; a new state has it already."""
    connection = op.get_bind()
    if not on_postgres(connection):
        schema.metadata.create_all(connection, (schema.checks,), checkfirst=True)
    elif not inspect(connection).has_table("checks"):
        postgres_schema.create_tables(connection, ["checks"])
