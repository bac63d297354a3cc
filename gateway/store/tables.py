"""The tables, as SQLAlchemy Core. ``alembic/versions`` makes them; a test holds the two together."""

from typing import Final

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Double, Index, Integer, Table, Text, Uuid, false, text

from gateway.store import tables_keys, tables_learning, tables_ledger, tables_training
from gateway.store.columns import Instant, Word, metadata

__all__ = [
    "SCHEMA_HEAD",
    "Instant",
    "Word",
    "metadata",
    "tables_keys",
    "tables_learning",
    "tables_ledger",
    "tables_training",
]

SCHEMA_HEAD: Final = "20261203_contracts"
"""The revision this code is written for: alembic's head, known without importing alembic."""

attempts = Table(
    "attempts",
    metadata,
    # UUIDv7 of started_at: rows arrive in the key's order, and a range of time is a range of keys.
    Column("attempt_id", Uuid(as_uuid=False), primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("role", Word, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model_asked", Text, nullable=False),
    Column("model_answered", Text),
    Column("reason", Word, nullable=False),
    Column("prompt_version", Text),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("usage_source", Word, nullable=False),
    Column("price_version", Text),
    Column("cost_nanousd", BigInteger),
    Column("outcome", Word, nullable=False),
    Column("failure", Word),
    Column("endpoint", Text, nullable=False),
    Column("stream", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("kind", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("key", Text),
    Column("team", Text),
    Column("tags", JSON(none_as_null=True)),
    Column("service_tier", Text),
    Column("status", Integer),
    Column("ttft_ms", Double),
    Column("duration_ms", Double, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("finished_at", Instant, nullable=False),
    # Whether another model answered than was asked, beyond an alias and its snapshot.
    Column("substituted", Boolean, nullable=False, server_default=false()),
    # What the request asked of a model, as sorted words from a closed list: "image,temperature,tools".
    Column("traits", Text),
    # Of the tokens above, those of sound and of pictures.
    Column("input_audio_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_audio_tokens", BigInteger, nullable=False, server_default="0"),
    Column("input_image_tokens", BigInteger, nullable=False, server_default="0"),
    Column("output_image_tokens", BigInteger, nullable=False, server_default="0"),
    # Whether the provider's count was absurd, and the tokens are estimated instead.
    Column("usage_rejected", Boolean, nullable=False, server_default=false()),
    Column("overhead_ms", Double),
    # What was set aside for its request, where its key has a budget.
    Column("hold_id", Uuid(as_uuid=False)),
    # Whether a whole answer was not what its route's contract promises; null: nobody looked.
    Column("contract_broken", Boolean),
    # By it the rows are found of a process that died; others have no part in it, and pay nothing for it.
    Index(
        "attempts_hold",
        "hold_id",
        postgresql_where=text("hold_id IS NOT NULL"),
        sqlite_where=text("hold_id IS NOT NULL"),
    ),
    # One tree instead of two: the rows are the index.
    sqlite_with_rowid=False,
)

served_targets = Table(
    "served_targets",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("first_served_at", Instant, nullable=False),
    # To within ten minutes; null for rows from before it was kept.
    Column("last_served_at", Instant),
    sqlite_with_rowid=False,
)
"""This provider's key was once served by this model: what tells a model that is gone from one never allowed."""

published_dates = Table(
    "published_dates",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("base", Text),
    Column("announced", Date),
    Column("last_training_day", Date),
    Column("shutdown", Date),
    Column("replacement", Text),
    Column("certainty", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("read_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""What providers' own APIs said of their models when they were last polled."""

target_states = Table(
    "target_states",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("availability", Word, nullable=False),
    # Rises with every change: who writes names the version it knows, and is refused where that is not the latest.
    Column("version", BigInteger, nullable=False),
    Column("since", Instant, nullable=False),
    Column("instance", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""What was verified of a target, by whichever replica did; every replica follows it."""

route_states = Table(
    "route_states",
    metadata,
    Column("route", Text, primary_key=True),
    # Who answers; null: nobody can.
    Column("target", Text),
    Column("reason", Word, nullable=False),
    # Why the route should have moved, where nobody else can answer.
    Column("refused", Word),
    Column("version", BigInteger, nullable=False),
    Column("since", Instant, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("instance", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Who answers each route, apart from what a replica sees for moments: what events are told by."""

replicas = Table(
    "replicas",
    metadata,
    Column("instance", Text, primary_key=True),
    Column("config_hash", Text, nullable=False),
    # When it loaded its configuration: of several, the newest decides.
    Column("config_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""Who is there, by which configuration."""

commands = Table(
    "commands",
    metadata,
    Column("route", Text, primary_key=True),
    Column("target", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("version", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Where a person has put a route by hand, until when; a row is deleted when it is taken back."""

events = Table(
    "events",
    metadata,
    # UUIDv7 of at.
    Column("event_id", Uuid(as_uuid=False), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("kind", Word, nullable=False),
    Column("reason", Word),
    Column("route", Text),
    Column("owner", Text),
    Column("provider", Text),
    Column("model", Text),
    # Who answered before, and since.
    Column("from_target", Text),
    Column("to_target", Text),
    # An instance, or the person who commanded it.
    Column("by", Text, nullable=False),
    # One sentence for people.
    Column("text", Text, nullable=False),
    # Two replicas that see the same thing write the same key, and one of them wins.
    Column("once_key", Text, unique=True),
    sqlite_with_rowid=False,
)
"""Everything that happened to routes and models, once each."""

notices = Table(
    "notices",
    metadata,
    Column("notice_id", Uuid(as_uuid=False), primary_key=True),
    Column("webhook", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False, server_default="0"),
    # When it may be tried (again); the replica that tries sets it ahead, so that no other one does.
    Column("due_at", Instant, index=True),
    Column("delivered_at", Instant),
    Column("last_error", Text),
    sqlite_with_rowid=False,
)
"""Webhook messages still to deliver, and those that were; ``due_at`` is null once it is over."""

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("seen_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""What providers last said in their answers' headers that a model's quota is."""
