"""Whether an answer broke its route's contract; by which request a repeated input is found; what deletions left."""

import sqlalchemy as sa

from alembic import op

revision = "20261203_contracts"
down_revision = "20261202_training"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("captured_again_request", "captured_again", ["request_id"])
    op.add_column("deletions", sa.Column("out_of_reach", sa.JSON))
    # The last, since its lock is held until the end, and rows would wait for the index.
    op.add_column("attempts", sa.Column("contract_broken", sa.Boolean))


def downgrade() -> None:
    op.drop_column("attempts", "contract_broken")
    op.drop_column("deletions", "out_of_reach")
    op.drop_index("captured_again_request", "captured_again")
