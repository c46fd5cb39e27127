"""What people ask of deliveries, until it is done."""

from alembic import op

from richpanel.store.definitions import delivery_requests

revision = "account_0005"
down_revision = "account_0004"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before that delivers does not look here: what is asked waits for one that does."""


def upgrade() -> None:
    """Make the table."""
    delivery_requests.create(op.get_bind(), checkfirst=True)
