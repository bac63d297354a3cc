"""What is learnt off the request path: captured rows, recordings, evaluations, packs, rehearsals."""

import sqlalchemy as sa

from alembic import op

revision = "20261129_learning"
down_revision = "20261124_calendar"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "captured",
        sa.Column("captured_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("input_id", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("user_digest", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("prompt_version", sa.Text),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("redacted", sa.JSON, nullable=False),
        sa.Column("captured_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_captured_expires_at", "captured", ["expires_at"])
    op.create_index("captured_input", "captured", ["route", "tenant", "input_id"], unique=True)
    op.create_table(
        "captured_again",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, primary_key=True),
        sa.Column("input_id", sa.Text, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("user_digest", sa.Text),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_captured_again_expires_at", "captured_again", ["expires_at"])
    op.create_table(
        "recordings",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("asked_with", sa.Text, primary_key=True),
        sa.Column("input_id", sa.Text, primary_key=True),
        sa.Column("sample", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("batch_id", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text),
        sa.Column("user_digest", sa.Text),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False)),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("duration_ms", sa.Double),
        sa.Column("ttft_ms", sa.Double),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "evaluation_answers",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("prompt_version", sa.Text, primary_key=True),
        sa.Column("input_id", sa.Text, primary_key=True),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("ttft_ms", sa.Double),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "judgements",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("prompt_version", sa.Text, primary_key=True),
        sa.Column("input_id", sa.Text, primary_key=True),
        sa.Column("judge", sa.Text, primary_key=True),
        sa.Column("preference", sa.Double, nullable=False),
        sa.Column("flipped", sa.Boolean, nullable=False),
        sa.Column("judged_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "evaluations",
        sa.Column("evaluation_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("prompt_version", sa.Text, nullable=False),
        sa.Column("terms", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("looks", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("difference", sa.Double),
        sa.Column("difference_low", sa.Double),
        sa.Column("difference_high", sa.Double),
        sa.Column("retained", sa.Double),
        sa.Column("retained_low", sa.Double),
        sa.Column("retained_high", sa.Double),
        sa.Column("cost_change", sa.Double),
        sa.Column("first_token_change", sa.Double),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("evaluated_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("evaluations_of_route", "evaluations", ["route", "evaluation_id"])
    op.create_table(
        "packs",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("pushed_at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deletions",
        sa.Column("deletion_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("selector", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("input_ids", sa.JSON, nullable=False),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("deletions_of_name", "deletions", ["selector", "deleted_at"])
    op.create_table(
        "rehearsal_budgets",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("reserved_nanousd", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rehearsal_pairs",
        sa.Column("attempt_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("prompt_version", sa.Text),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("duration_ms", sa.Double, nullable=False),
        sa.Column("ttft_ms", sa.Double),
        sa.Column("agreement", sa.Double),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("leases")
    op.drop_table("rehearsal_pairs")
    op.drop_table("rehearsal_budgets")
    op.drop_table("deletions")
    op.drop_table("packs")
    op.drop_table("evaluations")
    op.drop_table("judgements")
    op.drop_table("evaluation_answers")
    op.drop_table("recordings")
    op.drop_table("captured_again")
    op.drop_table("captured")
