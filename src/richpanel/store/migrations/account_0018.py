"""When something was taken out of a saved view, because it named somebody who was erased."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Big

revision = "account_0018"
down_revision = "account_0017"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here; where it applies a regulation, saved views keep what they have."""


def upgrade() -> None:
    """Add the column."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("views")}
    if "mended_at" not in columns:
        op.add_column("views", sqlalchemy.Column("mended_at", Big))
