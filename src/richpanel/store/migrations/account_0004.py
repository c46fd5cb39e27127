"""API Keys that still work for a while after a connector's rotation."""

from alembic import op

from richpanel.store.definitions import retired_keys

revision = "account_0004"
down_revision = "account_0003"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: at its door an old key stops at once, as it did."""


def upgrade() -> None:
    """Make the table."""
    retired_keys.create(op.get_bind(), checkfirst=True)
