"""What the secret key of every node must be."""

from alembic import op

from richpanel.store.definitions import secret_key

revision = "account_0003"
down_revision = "account_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, empty: the next start of a node with the key fills it."""
    secret_key.create(op.get_bind(), checkfirst=True)
