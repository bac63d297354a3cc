"""Keys, what they have spent, what is held for requests under way, and who changed what."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Index, Table, Text, Uuid

from gateway.store.columns import Instant, metadata

keys = Table(
    "keys",
    metadata,
    # Public: part of the key's text, too.
    Column("key_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    # HMAC-SHA-256 of the key under the pepper, in hex; the key itself is nowhere.
    Column("digest", Text, nullable=False, unique=True),
    # The one before a rotation, valid until then.
    Column("old_digest", Text, unique=True),
    Column("old_until", Instant),
    Column("role", Text, nullable=False),
    Column("owner", Text),
    Column("team", Text),
    Column("tags", JSON(none_as_null=True)),
    # A list of names and patterns; null: every route.
    Column("routes", JSON(none_as_null=True)),
    Column("pins", Boolean, nullable=False),
    Column("residency", Text),
    Column("expires_at", Instant),
    Column("day_nanousd", BigInteger),
    Column("month_nanousd", BigInteger),
    Column("total_nanousd", BigInteger),
    Column("requests_per_minute", BigInteger),
    Column("tokens_per_minute", BigInteger),
    Column("max_output_tokens", BigInteger),
    Column("capture", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("revoked_at", Instant),
    # Rises with every change of any key: the newest tells a replica whether it knows them all.
    Column("version", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)
"""What keys stand for. A revoked one stays, so that its name in old rows keeps its meaning."""

key_spend = Table(
    "key_spend",
    metadata,
    # A key of the table above, or the name of one that routes.yaml declares, behind "yaml:".
    Column("key_id", Text, primary_key=True),
    # The day and the month (its first day), UTC, that the two sums are of; older ones count as nothing.
    Column("day", Date, nullable=False),
    Column("day_spent", BigInteger, nullable=False),
    Column("day_held", BigInteger, nullable=False),
    Column("month", Date, nullable=False),
    Column("month_spent", BigInteger, nullable=False),
    Column("month_held", BigInteger, nullable=False),
    Column("total_spent", BigInteger, nullable=False),
    Column("total_held", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What keys with a budget have spent and hold, in nano-dollars. One row, one statement a request."""

budget_holds = Table(
    "budget_holds",
    metadata,
    # Also on the rows of the request's attempts (``attempts.hold_id``).
    Column("hold_id", Uuid(as_uuid=False), primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("nanousd", BigInteger, nullable=False),
    # The windows that it counts in.
    Column("day", Date, nullable=False),
    Column("month", Date, nullable=False),
    # Who has the rows that tell what became of it.
    Column("journal", Text, nullable=False, index=True),
    Column("held_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""What is set aside for requests under way. Who deletes a row adds what its request cost, so that it counts once."""

audit = Table(
    "audit",
    metadata,
    # UUIDv7 of at.
    Column("audit_id", Uuid(as_uuid=False), primary_key=True),
    Column("at", Instant, nullable=False),
    # The label of the key that did it, or the person at a command line.
    Column("by", Text, nullable=False),
    # key_created, key_changed, key_rotated, key_revoked, route_moved, …
    Column("action", Text, nullable=False),
    # What it was done to: a key's id, a route.
    Column("subject", Text, nullable=False),
    # What changed, field by field: {"field": [before, after]}; never a secret.
    Column("changes", JSON(none_as_null=True)),
    # From where: cli, api, page.
    Column("through", Text, nullable=False),
    Index("audit_subject", "subject", "audit_id"),
    sqlite_with_rowid=False,
)
"""Every change that an admin made, in the change's own transaction."""
