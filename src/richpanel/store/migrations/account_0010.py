"""Saved views of the customers' list."""

from alembic import op

from richpanel.store.definitions import views

revision = "account_0010"
down_revision = "account_0009"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before knows no views, and shows none."""


def upgrade() -> None:
    """Make the table."""
    views.create(op.get_bind(), checkfirst=True)
