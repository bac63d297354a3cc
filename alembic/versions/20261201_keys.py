"""Keys, their budgets, what is held, and who changed what; in rows the hold of their request."""

import sqlalchemy as sa

from alembic import op

revision = "20261201_keys"
down_revision = "20261130_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("hold_id", sa.Uuid(as_uuid=False)))
    held = sa.text("hold_id IS NOT NULL")
    op.create_index("attempts_hold", "attempts", ["hold_id"], postgresql_where=held, sqlite_where=held)
    op.create_table(
        "keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        sa.Column("old_digest", sa.Text, unique=True),
        sa.Column("old_until", sa.BigInteger),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("team", sa.Text),
        sa.Column("tags", sa.JSON),
        sa.Column("routes", sa.JSON),
        sa.Column("pins", sa.Boolean, nullable=False),
        sa.Column("residency", sa.Text),
        sa.Column("expires_at", sa.BigInteger),
        *(
            sa.Column(name, sa.BigInteger)
            for name in (
                "day_nanousd",
                "month_nanousd",
                "total_nanousd",
                "requests_per_minute",
                "tokens_per_minute",
                "max_output_tokens",
            )
        ),
        sa.Column("capture", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False, index=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_spend",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("day_spent", sa.BigInteger, nullable=False),
        sa.Column("day_held", sa.BigInteger, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("month_spent", sa.BigInteger, nullable=False),
        sa.Column("month_held", sa.BigInteger, nullable=False),
        sa.Column("total_spent", sa.BigInteger, nullable=False),
        sa.Column("total_held", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget_holds",
        sa.Column("hold_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("nanousd", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("month", sa.Date, nullable=False),
        sa.Column("journal", sa.Text, nullable=False, index=True),
        sa.Column("held_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit",
        sa.Column("audit_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("changes", sa.JSON),
        sa.Column("through", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("audit_subject", "audit", ["subject", "audit_id"])


def downgrade() -> None:
    for name in ("audit", "budget_holds", "key_spend", "keys"):
        op.drop_table(name)
    op.drop_index("attempts_hold", "attempts")
    op.drop_column("attempts", "hold_id")
