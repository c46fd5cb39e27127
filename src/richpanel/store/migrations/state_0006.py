"""The outbox: what the destinations outside are to get (docs/decisions/0023)."""

from alembic import op
from sqlalchemy import inspect

from richpanel.store import schema
from richpanel.store.bulk import on_postgres

revision = "state_0006"
down_revision = "state_0005"
branch_labels = None
depends_on = None
compatible_since = "state_0005"


def upgrade() -> None:
    """Make the table, empty; a new state has it already."""
    connection = op.get_bind()
    if not on_postgres(connection):
        schema.outbox.create(connection, checkfirst=True)
    elif not inspect(connection).has_table("outbox"):
        connection.exec_driver_sql(
            "CREATE TABLE outbox (place bigint, n bigint NOT NULL, identity bigint NOT NULL, alias bigint NOT NULL, "
            "destination integer, lane smallint NOT NULL, PRIMARY KEY (place, destination))"
        )
