"""Who is kept out, what is being erased, and the means to find all messages of a person."""

from alembic import op

from richpanel.store import schema
from richpanel.store.bulk import on_postgres

revision = "state_0004"
down_revision = "state_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the indexes on messages that no history has."""
    connection = op.get_bind()
    if on_postgres(connection):
        return
    schema.metadata.create_all(connection)
    for index in schema.messages.indexes:
        index.create(connection, checkfirst=True)
