"""The account's first tables."""

from alembic import op

from richpanel.store.definitions import metadata

revision = "account_0001"
down_revision = None
branch_labels = ("account",)
depends_on = None


def upgrade() -> None:
    """Create every table of the definitions."""
    metadata.create_all(op.get_bind())
