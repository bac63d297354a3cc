"""Feedback, data sets, fine-tuning jobs, versions and promotions; captured requests are found by their id."""

import sqlalchemy as sa

from alembic import op

revision = "20261202_training"
down_revision = "20261201_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("captured_request", "captured", ["request_id"])
    op.create_table(
        "feedback",
        sa.Column("feedback_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("input_id", sa.Text),
        sa.Column("split", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("label", sa.Text),
        sa.Column("comment", sa.Text),
        sa.Column("correction", sa.Text),
        sa.Column("request", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("role", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("prompt_version", sa.Text),
        sa.Column("user_digest", sa.Text),
        sa.Column("redacted", sa.JSON, nullable=False),
        sa.Column("given_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("feedback_of_input", "feedback", ["route", "tenant", "input_id"])
    op.create_index("feedback_of_request", "feedback", ["request_id"])
    op.create_index("feedback_of_route", "feedback", ["route", "tenant", "feedback_id"])
    op.create_table(
        "datasets",
        sa.Column("dataset_hash", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("built_at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("datasets_of_route", "datasets", ["route", "built_at"])
    op.create_table(
        "exported_files",
        sa.Column("host", sa.Text, primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("input_ids", sa.JSON, nullable=False),
        sa.Column("written_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tuning_jobs",
        sa.Column("job_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("dataset_hash", sa.Text, nullable=False),
        sa.Column("settings", sa.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("training_file", sa.Text),
        sa.Column("validation_file", sa.Text),
        sa.Column("provider_job", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("estimated_tokens", sa.BigInteger),
        sa.Column("estimated_nanousd", sa.BigInteger),
        sa.Column("trained_tokens", sa.BigInteger),
        sa.Column("billed_nanousd", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("tuning_jobs_of_route", "tuning_jobs", ["route", "job_id"])
    op.create_table(
        "versions",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("base", sa.Text),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False)),
        sa.Column("dataset_hash", sa.Text),
        sa.Column("pack_hash", sa.Text),
        sa.Column("evaluation_id", sa.Uuid(as_uuid=False)),
        sa.Column("trained_system", sa.JSON, nullable=False),
        sa.Column("cost_nanousd", sa.BigInteger),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("versions_of_model", "versions", ["route", "provider", "model"], unique=True)
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("base", sa.Text),
        sa.Column("incumbent_provider", sa.Text, nullable=False),
        sa.Column("incumbent_model", sa.Text, nullable=False),
        sa.Column("incumbent_base", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("share", sa.Double, nullable=False),
        sa.Column("margin", sa.Double, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_because", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    active = sa.text("ended_at IS NULL")
    op.create_index(
        "promotions_active", "promotions", ["route"], unique=True, postgresql_where=active, sqlite_where=active
    )
    op.create_index("promotions_of_route", "promotions", ["route", "promotion_id"])


def downgrade() -> None:
    for name in ("promotions", "versions", "tuning_jobs", "exported_files", "datasets", "feedback"):
        op.drop_table(name)
    op.drop_index("captured_request", "captured")
