"""Which settings the state in force was folded with, where they were changed since."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Words

revision = "account_0023"
down_revision = "account_0022"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here."""


def upgrade() -> None:
    """Add the column. Of changes that were made before nothing is known."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("account")}
    if "folded_with" not in columns:
        op.add_column("account", sqlalchemy.Column("folded_with", Words))
