"""Samples: how the system stood, minute by minute."""

from alembic import op

from richpanel.store.definitions import samples

revision = "account_0011"
down_revision = "account_0010"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here."""


def upgrade() -> None:
    """Make the table."""
    samples.create(op.get_bind(), checkfirst=True)
