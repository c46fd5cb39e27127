"""Where from and with what somebody is signed in, and when they were last seen."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Big, Words

revision = "account_0014"
down_revision = "account_0013"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here."""

_COLUMNS = (("seen_at", Big), ("address", Words), ("agent", Words))


def upgrade() -> None:
    """Add the columns."""
    present = {column["name"] for column in sqlalchemy.inspect(op.get_bind()).get_columns("web_sessions")}
    for name, kind in _COLUMNS:
        if name not in present:
            op.add_column("web_sessions", sqlalchemy.Column(name, kind))
