"""What each person may do: a role. Who could sign in before could do everything."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Words

revision = "account_0009"
down_revision = "account_0008"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: at its pages everybody may do everything, as they could."""


def upgrade() -> None:
    """Add the column."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("users")}
    if "role" not in columns:
        op.add_column("users", sqlalchemy.Column("role", Words, nullable=False, server_default="owner"))
