"""What a token may do."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Words

revision = "account_0016"
down_revision = "account_0015"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: there a token may do everything."""


def upgrade() -> None:
    """Add the column. Tokens of before keep to nothing."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("tokens")}
    if "role" not in columns:
        op.add_column("tokens", sqlalchemy.Column("role", Words))
