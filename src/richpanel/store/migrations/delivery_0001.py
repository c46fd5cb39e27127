"""The first tables of what is delivered outside (docs/decisions/0023)."""

from alembic import op

from richpanel.store.delivery_schema import metadata

revision = "delivery_0001"
down_revision = None
branch_labels = ("delivery",)
depends_on = None


def upgrade() -> None:
    """Create every table."""
    metadata.create_all(op.get_bind())
