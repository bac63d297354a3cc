"""The tables from marks to the next model: what people said of answers, data sets, jobs, versions and promotions."""

from sqlalchemy import JSON, BigInteger, Column, Double, Index, Integer, Table, Text, Uuid, text

from gateway.store.columns import Instant, Word, metadata

feedback = Table(
    "feedback",
    metadata,
    # UUIDv7 of given_at.
    Column("feedback_id", Uuid(as_uuid=False), primary_key=True),
    Column("route", Text, nullable=False),
    # The customer whose route it was; empty: nobody's in particular.
    Column("tenant", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    # Null where what was asked is not known: then it is a score, and no row.
    Column("input_id", Text),
    # train or evaluation; null with input_id.
    Column("split", Word),
    # api or review.
    Column("source", Text, nullable=False),
    # The caller's key by its label, or the person who reviews.
    Column("by", Text, nullable=False),
    Column("score", Double),
    # right or wrong.
    Column("label", Word),
    Column("comment", Text),
    # JSON: the assistant's message as it should have been.
    Column("correction", Text),
    # JSON, blacked out: messages and tools, and the assistant's message that was given. Only of marks that become rows.
    Column("request", Text),
    Column("answer", Text),
    # Who answered; null where that is not known.
    Column("role", Word),
    Column("provider", Text),
    Column("model", Text),
    Column("prompt_version", Text),
    Column("user_digest", Text),
    Column("redacted", JSON, nullable=False),
    Column("given_at", Instant, nullable=False),
    Index("feedback_of_route", "route", "tenant", "feedback_id"),
    Index("feedback_of_input", "route", "tenant", "input_id"),
    Index("feedback_of_request", "request_id"),
    sqlite_with_rowid=False,
)
"""What people said of answers: one row for every time that somebody said something; the latest counts."""

datasets = Table(
    "datasets",
    metadata,
    # sha256:… over the content of its files.
    Column("dataset_hash", Text, primary_key=True),
    Column("route", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # As beside the files; of the rows no more than the inputs' ids, file by file.
    Column("manifest", JSON, nullable=False),
    Column("built_at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    Index("datasets_of_route", "route", "built_at"),
    sqlite_with_rowid=False,
)
"""Data sets that were built, for lineage: the rows are in files."""

exported_files = Table(
    "exported_files",
    metadata,
    Column("host", Text, primary_key=True),
    # The manifest's, absolute: it says which files are beside it, and which line is of which input.
    Column("path", Text, primary_key=True),
    Column("route", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # dataset, export or capture.
    Column("kind", Word, nullable=False),
    Column("input_ids", JSON, nullable=False),
    Column("written_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""Where texts of customers were written to: a deletion looks there, too."""

tuning_jobs = Table(
    "tuning_jobs",
    metadata,
    # UUIDv7 of created_at.
    Column("job_id", Uuid(as_uuid=False), primary_key=True),
    Column("route", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("base", Text, nullable=False),
    # sft or dpo.
    Column("method", Word, nullable=False),
    Column("dataset_hash", Text, nullable=False),
    # Epochs and what else was asked for.
    Column("settings", JSON, nullable=False),
    Column("state", Word, nullable=False),
    # The provider's ids, as far as they are known.
    Column("training_file", Text),
    Column("validation_file", Text),
    Column("provider_job", Text),
    Column("model", Text),
    Column("estimated_tokens", BigInteger),
    Column("estimated_nanousd", BigInteger),
    Column("trained_tokens", BigInteger),
    Column("billed_nanousd", BigInteger),
    # What the provider said of a failure.
    Column("error", Text),
    Column("by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    # Rises with every change; who writes names the one that is known.
    Column("version", BigInteger, nullable=False),
    Index("tuning_jobs_of_route", "route", "job_id"),
    sqlite_with_rowid=False,
)
"""Fine-tuning jobs, from the first upload to the model."""

versions = Table(
    "versions",
    metadata,
    Column("route", Text, primary_key=True),
    # 1, 2, …: people say v1, v2.
    Column("number", Integer, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("base", Text),
    # routes, job, adapter or named: how it came to be known.
    Column("origin", Word, nullable=False),
    Column("status", Word, nullable=False),
    Column("job_id", Uuid(as_uuid=False)),
    Column("dataset_hash", Text),
    # Of the prompt pack that its fallback had then.
    Column("pack_hash", Text),
    Column("evaluation_id", Uuid(as_uuid=False)),
    # The system messages of its training rows: what live ones are compared with.
    Column("trained_system", JSON, nullable=False),
    Column("cost_nanousd", BigInteger),
    Column("by", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("changed_at", Instant, nullable=False),
    Index("versions_of_model", "route", "provider", "model", unique=True),
    sqlite_with_rowid=False,
)
"""The models that a route has had, or may have next."""

promotions = Table(
    "promotions",
    metadata,
    # UUIDv7 of started_at.
    Column("promotion_id", Uuid(as_uuid=False), primary_key=True),
    Column("route", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("base", Text),
    # What routes.yaml names as the primary meanwhile: once it names something else, this has no say any more.
    Column("incumbent_provider", Text, nullable=False),
    Column("incumbent_model", Text, nullable=False),
    Column("incumbent_base", Text),
    # canary, serving or ended.
    Column("state", Word, nullable=False),
    # Of conversations, while it is a canary.
    Column("share", Double, nullable=False),
    # How much worse than the incumbent it may be, of 1.
    Column("margin", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    # Since when the share, or the whole, is what it is: evidence counts from here.
    Column("changed_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_because", Word),
    Column("version", BigInteger, nullable=False),
    # One at a time.
    Index(
        "promotions_active",
        "route",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
        sqlite_where=text("ended_at IS NULL"),
    ),
    Index("promotions_of_route", "route", "promotion_id"),
    sqlite_with_rowid=False,
)
"""Versions that answer, or answer a share, in place of what routes.yaml names, until that names them or they end."""
