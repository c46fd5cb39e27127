"""How far the newest rebuild is."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import rebuild

revision = "account_0025"
down_revision = "account_0024"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here, and starts no rebuild by itself."""


def upgrade() -> None:
    """Add the table."""
    if not sqlalchemy.inspect(op.get_bind()).has_table("rebuild"):
        rebuild.create(op.get_bind())
