"""Traffic: how many calls arrived when, by source and what became of them."""

from alembic import op
from sqlalchemy import inspect

from richpanel.store import postgres_schema, schema
from richpanel.store.bulk import on_postgres

revision = "state_0011"
down_revision = "state_0008"
branch_labels = None
depends_on = None
compatible_since = "state_0007"
"""A node of before counts nothing here: what it applies is missing in the plot, and nowhere else."""


def upgrade() -> None:
    """Make the table, empty; a new state has it already."""
    connection = op.get_bind()
    if not on_postgres(connection):
        schema.metadata.create_all(connection, (schema.traffic,), checkfirst=True)
    elif not inspect(connection).has_table("traffic"):
        postgres_schema.create_tables(connection, ["traffic"])
