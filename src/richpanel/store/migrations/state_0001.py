"""The state's first tables."""

from alembic import op

from richpanel.store.schema import metadata

revision = "state_0001"
down_revision = None
branch_labels = ("state",)
depends_on = None


def upgrade() -> None:
    """Create every table of the state, and the full-text index."""
    connection = op.get_bind()
    metadata.create_all(connection)
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE search USING fts5(name, email, phone, uid, "
        "tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')"
    )
    connection.exec_driver_sql("INSERT INTO search (search, rank) VALUES ('secure-delete', 1)")
