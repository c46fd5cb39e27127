"""The audit log."""

from alembic import op

from richpanel.store.definitions import audit

revision = "account_0015"
down_revision = "account_0014"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before writes nothing here: what is done at its pages is not in the log."""


def upgrade() -> None:
    """Make the table."""
    audit.create(op.get_bind(), checkfirst=True)
