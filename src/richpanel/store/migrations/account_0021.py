"""Who asks something of a delivery."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Words

revision = "account_0021"
down_revision = "account_0020"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before says of nobody that they asked."""


def upgrade() -> None:
    """Add the column."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("delivery_requests")}
    if "asked_by" not in columns:
        op.add_column("delivery_requests", sqlalchemy.Column("asked_by", Words))
