"""Until when a write key works that was rotated."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Big

revision = "account_0024"
down_revision = "account_0023"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: it takes a key that was rotated until that is revoked."""


def upgrade() -> None:
    """Add the column. Keys of before work until they are revoked."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("write_keys")}
    if "ends_at" not in columns:
        op.add_column("write_keys", sqlalchemy.Column("ends_at", Big))
