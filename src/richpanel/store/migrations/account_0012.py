"""People who are disabled, passwords for once, and the second step of a sign-in."""

import sqlalchemy
from alembic import op

from richpanel.store.definitions import Big, Words, recovery_codes

revision = "account_0012"
down_revision = "account_0011"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: at its pages the password is enough, and who is disabled may still sign in."""

_COLUMNS = (
    ("disabled_at", Big, None),
    ("one_time", sqlalchemy.Boolean, sqlalchemy.false()),
    ("factor", Words, None),
    ("factor_since", Big, None),
    ("factor_step", Big, None),
)


def upgrade() -> None:
    """Add the columns and the table."""
    connection = op.get_bind()
    present = {column["name"] for column in sqlalchemy.inspect(connection).get_columns("users")}
    for name, kind, default in _COLUMNS:
        if name not in present:
            op.add_column("users", sqlalchemy.Column(name, kind, nullable=default is None, server_default=default))
    recovery_codes.create(connection, checkfirst=True)
