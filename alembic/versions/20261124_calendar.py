"""What replicas agree on (states, commands, events, notices); published dates; traits of requests."""

import sqlalchemy as sa

from alembic import op

revision = "20261124_calendar"
down_revision = "20261123_attempts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("substituted", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("attempts", sa.Column("traits", sa.Text))
    op.add_column("served_targets", sa.Column("last_served_at", sa.BigInteger))
    op.create_table(
        "published_dates",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("base", sa.Text),
        sa.Column("announced", sa.Date),
        sa.Column("last_training_day", sa.Date),
        sa.Column("shutdown", sa.Date),
        sa.Column("replacement", sa.Text),
        sa.Column("certainty", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("read_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "target_states",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("availability", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "route_states",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("target", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refused", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("config_hash", sa.Text, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "replicas",
        sa.Column("instance", sa.Text, primary_key=True),
        sa.Column("config_hash", sa.Text, nullable=False),
        sa.Column("config_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "commands",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "events",
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("route", sa.Text),
        sa.Column("owner", sa.Text),
        sa.Column("provider", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("from_target", sa.Text),
        sa.Column("to_target", sa.Text),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("once_key", sa.Text, unique=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Uuid, primary_key=True),
        sa.Column("webhook", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("due_at", sa.BigInteger, index=True),
        sa.Column("delivered_at", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rate_limits",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("requests_per_minute", sa.BigInteger),
        sa.Column("tokens_per_minute", sa.BigInteger),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in (
        "rate_limits",
        "notices",
        "events",
        "commands",
        "replicas",
        "route_states",
        "target_states",
        "published_dates",
    ):
        op.drop_table(table)
    op.drop_column("served_targets", "last_served_at")
    op.drop_column("attempts", "traits")
    op.drop_column("attempts", "substituted")
