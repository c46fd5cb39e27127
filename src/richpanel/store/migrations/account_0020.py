"""Who made a version of an audience or a computed trait, and how many it had when another took its place."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Big, Words

revision = "account_0020"
down_revision = "account_0019"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before notes neither."""


def upgrade() -> None:
    """Add the columns; of versions of before neither is known."""
    present = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("plans")}
    for name, kind in (("made_by", Words), ("size", Big)):
        if name not in present:
            op.add_column("plans", sqlalchemy.Column(name, kind))
