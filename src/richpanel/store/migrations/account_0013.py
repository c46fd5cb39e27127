"""Alarms: what is watched, when it was wrong, and what was told of it."""

from alembic import op

from richpanel.store.definitions import alarms, notices, openings

revision = "account_0013"
down_revision = "account_0012"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: alarms wait for one that does."""


def upgrade() -> None:
    """Make the tables."""
    for table in (alarms, openings, notices):
        table.create(op.get_bind(), checkfirst=True)
