"""The limit on tries of passwords and codes, for all nodes together."""

from alembic import op

from richpanel.store.definitions import sign_in_tries

revision = "account_0017"
down_revision = "account_0016"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before does not look here: it counts the tries that it hears of itself."""


def upgrade() -> None:
    """Make the table."""
    sign_in_tries.create(op.get_bind(), checkfirst=True)
