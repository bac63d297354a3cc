"""The tables, as SQLAlchemy Core. ``alembic/versions`` makes them; a test holds the two together."""

from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    Uuid,
)

SCHEMA_HEAD: Final = "20261123_attempts"
"""The revision this code is written for: alembic's head, known without importing alembic."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware instant as microseconds since 1970 in UTC: exact, ordered, and the same on every database.

    SQLite has no type for it, and SQLAlchemy's own would lose the zone there.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Raise ``TypeError`` for a naive datetime: nobody knows which instant it is."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the instant in UTC."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class Word(TypeDecorator[str]):
    """One word of ``gateway.reasons``, stored as plain text.

    An enum's member is a str but not exactly one, and sqlite3 then looks for an adapter, which costs more than all the
    rest of binding a row.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the member's own text."""
        return None if value is None else str.__str__(value)


metadata = MetaData()

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
    # One tree instead of two: the rows are the index.
    sqlite_with_rowid=False,
)

served_targets = Table(
    "served_targets",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("first_served_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""This provider's key was once served by this model: what tells a model that is gone from one never allowed."""
