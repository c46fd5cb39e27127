"""Who dropped a delivery."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Words

revision = "delivery_0002"
down_revision = "delivery_0001"
branch_labels = None
depends_on = None
compatible_since = "delivery_0001"
"""A node of before drops for nobody in particular."""


def upgrade() -> None:
    """Add the column; of those that were dropped before nobody knows."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("deliveries")}
    if "dropped_by" not in columns:
        op.add_column("deliveries", sqlalchemy.Column("dropped_by", Words))
