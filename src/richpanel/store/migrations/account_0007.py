"""Audiences and computed traits, with their versions."""

from alembic import op

from richpanel.store.definitions import computations, plans, sizes

revision = "account_0007"
down_revision = "account_0006"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: what is to be computed waits for one that does."""


def upgrade() -> None:
    """Make the tables."""
    for table in (computations, plans, sizes):
        table.create(op.get_bind(), checkfirst=True)
