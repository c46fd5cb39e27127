"""Pieces: what runs of a large history's messages make together (docs/decisions/0013).

Histories that are large already get theirs when they are next folded afresh, or by `richpanel rebuild`.
"""

from alembic import op

from richpanel.store.bulk import on_postgres
from richpanel.store.schema import pieces

revision = "state_0003"
down_revision = "state_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, empty; a new state has it already."""
    connection = op.get_bind()
    if not on_postgres(connection):
        pieces.create(connection, checkfirst=True)
