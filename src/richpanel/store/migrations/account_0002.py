"""The ledger of regulations."""

from alembic import op

from richpanel.store.definitions import metadata

revision = "account_0002"
down_revision = "account_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create its tables."""
    metadata.create_all(op.get_bind())
