"""How far back the log goes, in the samples."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Big

revision = "account_0022"
down_revision = "account_0021"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not note it."""


def upgrade() -> None:
    """Add the column; samples of before do not say."""
    columns = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("samples")}
    if "kept_since" not in columns:
        op.add_column("samples", sqlalchemy.Column("kept_since", Big))
