"""One row per attempt, and which targets ever served."""

import sqlalchemy as sa

from alembic import op

revision = "20261123_attempts"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("attempt_id", sa.Uuid, primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model_asked", sa.Text, nullable=False),
        sa.Column("model_answered", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("prompt_version", sa.Text),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("usage_source", sa.Text, nullable=False),
        sa.Column("price_version", sa.Text),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sa.Column("config_hash", sa.Text, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("team", sa.Text),
        sa.Column("tags", sa.JSON),
        sa.Column("service_tier", sa.Text),
        sa.Column("status", sa.Integer),
        sa.Column("ttft_ms", sa.Double),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "served_targets",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("first_served_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("served_targets")
    op.drop_table("attempts")
