"""Backfills: what destinations that are connected later are told of audiences (docs/decisions/0025)."""

from alembic import op

from richpanel.store.bulk import run
from richpanel.store.definitions import backfills

revision = "account_0008"
down_revision = "account_0007"
branch_labels = None
depends_on = None
compatible_since = "account_0003"
"""A node of before tells as it did: what is to be told of by a backfill waits for one that does that."""

_KNOWN = (
    "INSERT INTO backfills (computation, destination, everybody, reached, done, total, created_at, finished_at) "
    "SELECT c.number, l.destination, ?, 0, 0, 0, c.created_at, c.created_at FROM computations c "
    "JOIN sources s ON s.type = 'engage' JOIN destination_sources l ON l.source = s.number WHERE c.deleted_at IS NULL"
)


def upgrade() -> None:
    """Make the table. Who is connected by now was told as it went."""
    connection = op.get_bind()
    backfills.create(connection, checkfirst=True)
    run(connection, _KNOWN, False)
