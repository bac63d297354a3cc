"""What the ledger is added up into, and how far each journal is in it."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, Table, Text

from gateway.store.columns import Instant, Word, metadata


def _usage(name: str, beginning: str) -> Table:
    return Table(
        name,
        metadata,
        # Its beginning, by the attempts' start.
        Column(beginning, Instant, primary_key=True),
        Column("route", Text, primary_key=True),
        Column("target", Text, primary_key=True),
        Column("role", Word, primary_key=True),
        Column("provider", Text, primary_key=True),
        # What answered, or where nothing did, what was asked; `_other`: of a day that has too many names that answered.
        Column("model", Text, primary_key=True),
        Column("reason", Word, primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("pinned", Boolean, primary_key=True),
        # The owner of the route then; empty: nobody's.
        Column("team", Text, primary_key=True),
        Column("attempts", BigInteger, nullable=False),
        # Of the attempts: those that gave no answer, broke off, were left by their caller.
        Column("failed", BigInteger, nullable=False),
        Column("interrupted", BigInteger, nullable=False),
        Column("cancelled", BigInteger, nullable=False),
        # Tokens and no price; tokens that nobody but us counted; counts that were absurd.
        Column("unpriced", BigInteger, nullable=False),
        Column("estimated", BigInteger, nullable=False),
        Column("rejected", BigInteger, nullable=False),
        Column("input_tokens", BigInteger, nullable=False),
        Column("cached_input_tokens", BigInteger, nullable=False),
        Column("cache_write_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("reasoning_tokens", BigInteger, nullable=False),
        Column("cost_nanousd", BigInteger, nullable=False),
        # Distributions of answered attempts (outcome ok), as counts by bucket: ``policy.sketch``.
        Column("duration_ms", JSON, nullable=False),
        Column("ttft_ms", JSON, nullable=False),
        Column("overhead_ms", JSON, nullable=False),
        Column("cost_sketch", JSON, nullable=False),
        Column("first_at", Instant, nullable=False),
        Column("last_at", Instant, nullable=False),
        sqlite_with_rowid=False,
    )


usage_hours = _usage("usage_hours", "hour")
"""Every row of the ledger, added up by the hour; written in the rows' own transaction, so that they cannot differ."""

usage_days = _usage("usage_days", "day")
"""The hours of each day (UTC), added up: what reports over weeks read a twentieth of. Written with the hours."""

usage_labels = Table(
    "usage_labels",
    metadata,
    Column("hour", Instant, primary_key=True),
    # "key" or "tag".
    Column("dimension", Text, primary_key=True),
    # A key's label, or "name=value".
    Column("label", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("role", Word, primary_key=True),
    Column("attempts", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("unpriced", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nanousd", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""Live traffic, pinned left out, by the callers' keys and tags."""

journals = Table(
    "journals",
    metadata,
    # The name of the journal's directory: one process's, for as long as it lives.
    Column("journal", Text, primary_key=True),
    # Up to where everything is in the database, or was when this was written.
    Column("segment", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("written_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""How far each journal is in the database; written in the rows' own transaction, removed with the journal."""
