"""Whose list a saved view is of."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Words

revision = "account_0019"
down_revision = "account_0018"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before takes each for one of the customers' list."""


def upgrade() -> None:
    """Add the column. Views of before are of the customers' list."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("views")}
    if "people" not in columns:
        op.add_column("views", sqlalchemy.Column("people", Words, nullable=False, server_default="customers"))
