"""Turns instead of lanes (docs/decisions/0017). Workers of before stop at this, and lose nothing by it."""

from alembic import op

from richpanel.store.bulk import on_postgres

revision = "state_0005"
down_revision = "state_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the sequence that turns are numbered by."""
    connection = op.get_bind()
    if on_postgres(connection):
        connection.exec_driver_sql("CREATE SEQUENCE IF NOT EXISTS turn_numbers")
        connection.exec_driver_sql("DROP TABLE IF EXISTS lanes")
