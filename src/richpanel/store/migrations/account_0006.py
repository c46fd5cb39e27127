"""Replays: jobs that send again what is stored."""

from alembic import op

from richpanel.store.definitions import replays

revision = "account_0006"
down_revision = "account_0005"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: a replay waits for one that does."""


def upgrade() -> None:
    """Make the table."""
    replays.create(op.get_bind(), checkfirst=True)
