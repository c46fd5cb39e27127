"""The state's first tables."""

from alembic import op

from richpanel.store import postgres_schema
from richpanel.store.bulk import on_postgres
from richpanel.store.schema import metadata

revision = "state_0001"
down_revision = None
branch_labels = ("state",)
depends_on = None


def upgrade() -> None:
    """Create every table of the state, and the full-text index.

    PostgreSQL was added later: there this makes what SQLite's revisions up to `state_0004` come to.
    """
    connection = op.get_bind()
    if on_postgres(connection):
        postgres_schema.create(connection)
        return
    metadata.create_all(connection)
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE search USING fts5(name, email, phone, uid, "
        "tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')"
    )
    connection.exec_driver_sql("INSERT INTO search (search, rank) VALUES ('secure-delete', 1)")
