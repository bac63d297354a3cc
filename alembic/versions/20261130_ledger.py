"""Totals by hour and day, how far journals are drained; in rows tokens of sound and pictures, our own time."""

import sqlalchemy as sa

from alembic import op

revision = "20261130_ledger"
down_revision = "20261129_learning"
branch_labels = None
depends_on = None

NEW_TOKENS = ("input_audio_tokens", "output_audio_tokens", "input_image_tokens", "output_image_tokens")


def upgrade() -> None:
    for name in NEW_TOKENS:
        op.add_column("attempts", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("attempts", sa.Column("usage_rejected", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("attempts", sa.Column("overhead_ms", sa.Double))
    for name, beginning in (("usage_hours", "hour"), ("usage_days", "day")):
        op.create_table(
            name,
            sa.Column(beginning, sa.BigInteger, primary_key=True),
            sa.Column("route", sa.Text, primary_key=True),
            sa.Column("target", sa.Text, primary_key=True),
            sa.Column("role", sa.Text, primary_key=True),
            sa.Column("provider", sa.Text, primary_key=True),
            sa.Column("model", sa.Text, primary_key=True),
            sa.Column("reason", sa.Text, primary_key=True),
            sa.Column("kind", sa.Text, primary_key=True),
            sa.Column("pinned", sa.Boolean, primary_key=True),
            sa.Column("team", sa.Text, primary_key=True),
            sa.Column("attempts", sa.BigInteger, nullable=False),
            sa.Column("failed", sa.BigInteger, nullable=False),
            sa.Column("interrupted", sa.BigInteger, nullable=False),
            sa.Column("cancelled", sa.BigInteger, nullable=False),
            sa.Column("unpriced", sa.BigInteger, nullable=False),
            sa.Column("estimated", sa.BigInteger, nullable=False),
            sa.Column("rejected", sa.BigInteger, nullable=False),
            sa.Column("input_tokens", sa.BigInteger, nullable=False),
            sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
            sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
            sa.Column("output_tokens", sa.BigInteger, nullable=False),
            sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
            sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
            sa.Column("duration_ms", sa.JSON, nullable=False),
            sa.Column("ttft_ms", sa.JSON, nullable=False),
            sa.Column("overhead_ms", sa.JSON, nullable=False),
            sa.Column("cost_sketch", sa.JSON, nullable=False),
            sa.Column("first_at", sa.BigInteger, nullable=False),
            sa.Column("last_at", sa.BigInteger, nullable=False),
            sqlite_with_rowid=False,
        )
    op.create_table(
        "usage_labels",
        sa.Column("hour", sa.BigInteger, primary_key=True),
        sa.Column("dimension", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, primary_key=True),
        sa.Column("attempts", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("unpriced", sa.BigInteger, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "journals",
        sa.Column("journal", sa.Text, primary_key=True),
        sa.Column("segment", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("journals", "usage_labels", "usage_days", "usage_hours"):
        op.drop_table(table)
    for name in (*NEW_TOKENS, "usage_rejected", "overhead_ms"):
        op.drop_column("attempts", name)
