"""Indexes that order the visitors' list as the customers' is ordered."""

from alembic import op
from sqlalchemy import inspect

from richpanel.store import postgres_schema, schema
from richpanel.store.bulk import on_postgres

revision = "state_0012"
down_revision = "state_0011"
branch_labels = None
depends_on = None
compatible_since = "state_0007"


def upgrade() -> None:
    """Make the indexes; a new state has them already."""
    connection = op.get_bind()
    present = {index["name"] for index in inspect(connection).get_indexes("profiles")}
    if "visitors_ltv" in present:
        return
    if on_postgres(connection):
        for statement in postgres_schema.VISITOR_INDEXES:
            connection.exec_driver_sql(statement)
        return
    for index in schema.profiles.indexes:
        if str(index.name).startswith("visitors_"):
            index.create(connection)
