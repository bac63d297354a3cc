"""The tables of what is learnt off the request path: texts of customers, blacked out before they come here."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Date, Double, Index, Integer, LargeBinary, Table, Text, Uuid

from gateway.store.columns import Instant, Word, metadata

captured = Table(
    "captured",
    metadata,
    # UUIDv7 of captured_at.
    Column("captured_id", Uuid(as_uuid=False), primary_key=True),
    Column("route", Text, nullable=False),
    # The customer whose route it was; empty: nobody's in particular.
    Column("tenant", Text, nullable=False),
    Column("input_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    # A hash of what the caller named as its user, for deletion; the name is not kept.
    Column("user_digest", Text),
    Column("role", Word, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt_version", Text),
    # JSON: messages and tools; and the assistant's message.
    Column("request", Text, nullable=False),
    Column("answer", Text, nullable=False),
    # How many of each kind were blacked out.
    Column("redacted", JSON, nullable=False),
    Column("captured_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    # One input is kept once.
    Index("captured_input", "route", "tenant", "input_id", unique=True),
    # By it feedback finds what it is about.
    Index("captured_request", "request_id"),
    sqlite_with_rowid=False,
)
"""Live requests and answers of routes that capture."""

captured_again = Table(
    "captured_again",
    metadata,
    Column("route", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("input_id", Text, primary_key=True),
    # Empty, as the digest then is: many more have asked the same, and it counts as everybody's.
    Column("request_id", Text, primary_key=True),
    Column("user_digest", Text),
    # When the row goes that holds the input.
    Column("expires_at", Instant, nullable=False, index=True),
    # By it feedback finds what it is about, and looks again and again.
    Index("captured_again_request", "request_id"),
    sqlite_with_rowid=False,
)
"""Who else asked what is kept already, for deletion."""

recordings = Table(
    "recordings",
    metadata,
    Column("route", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    # A hash of the parameters that the target sets; empty: none.
    Column("asked_with", Text, primary_key=True),
    Column("input_id", Text, primary_key=True),
    # 0, and 1 for the second sample, which tells how much the model differs from itself.
    Column("sample", Integer, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("request", Text, nullable=False),
    # Null while a batch is at work on it.
    Column("answer", Text),
    Column("batch_id", Text),
    # Where the input came from: a file's name, or captured.
    Column("source", Text, nullable=False),
    Column("request_id", Text),
    Column("user_digest", Text),
    Column("attempt_id", Uuid(as_uuid=False)),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cost_nanousd", BigInteger),
    Column("duration_ms", Double),
    Column("ttft_ms", Double),
    Column("recorded_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""A primary's answers, kept while it lives."""

evaluation_answers = Table(
    "evaluation_answers",
    metadata,
    Column("route", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    # Empty: asked without a prompt.
    Column("prompt_version", Text, primary_key=True),
    Column("input_id", Text, primary_key=True),
    Column("answer", Text, nullable=False),
    # UUIDv7: the order in which answers came, which a confidence sequence needs.
    Column("attempt_id", Uuid(as_uuid=False), nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost_nanousd", BigInteger),
    Column("duration_ms", Double, nullable=False),
    Column("ttft_ms", Double),
    sqlite_with_rowid=False,
)
"""Answers that evaluations paid for, so that nobody pays twice."""

judgements = Table(
    "judgements",
    metadata,
    Column("route", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("prompt_version", Text, primary_key=True),
    Column("input_id", Text, primary_key=True),
    # Provider and model of the judge.
    Column("judge", Text, primary_key=True),
    # 1: the fallback's answer is better, -1: the primary's, 0: neither, or the two orders disagree.
    Column("preference", Double, nullable=False),
    Column("flipped", Boolean, nullable=False),
    Column("judged_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""What a judge said of pairs of answers."""

evaluations = Table(
    "evaluations",
    metadata,
    # UUIDv7 of evaluated_at.
    Column("evaluation_id", Uuid(as_uuid=False), primary_key=True),
    Column("route", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("prompt_version", Text, nullable=False),
    # What else it rests on (policy.evidence.terms_of).
    Column("terms", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("looks", Text, nullable=False),
    Column("measure", Text, nullable=False),
    Column("margin", Double, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("difference", Double),
    Column("difference_low", Double),
    Column("difference_high", Double),
    Column("retained", Double),
    Column("retained_low", Double),
    Column("retained_high", Double),
    # Relative to the primary: -0.38 is 38 % less.
    Column("cost_change", Double),
    Column("first_token_change", Double),
    Column("report", Text, nullable=False),
    Column("evaluated_at", Instant, nullable=False),
    Index("evaluations_of_route", "route", "evaluation_id"),
    sqlite_with_rowid=False,
)
"""Verdicts on fallbacks."""

packs = Table(
    "packs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("route", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("pushed_at", Instant, nullable=False),
    Column("by", Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Packs that replicas fetch by their hash."""

deletions = Table(
    "deletions",
    metadata,
    # UUIDv7 of deleted_at.
    Column("deletion_id", Uuid(as_uuid=False), primary_key=True),
    Column("selector", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("counts", JSON, nullable=False),
    Column("input_ids", JSON, nullable=False),
    Column("deleted_at", Instant, nullable=False),
    # Training files at providers, and versions, that held such rows; null: none was known.
    Column("out_of_reach", JSON(none_as_null=True)),
    # Looked at for every row that is captured.
    Index("deletions_of_name", "selector", "deleted_at"),
    sqlite_with_rowid=False,
)
"""Proof of what was deleted at somebody's wish; it names nobody."""

rehearsal_budgets = Table(
    "rehearsal_budgets",
    metadata,
    Column("route", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("reserved_nanousd", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""What replicas have set aside for rehearsals of a day."""

rehearsal_pairs = Table(
    "rehearsal_pairs",
    metadata,
    # The rehearsal's own attempt.
    Column("attempt_id", Uuid(as_uuid=False), primary_key=True),
    Column("request_id", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("prompt_version", Text),
    # Fallback minus primary.
    Column("cost_nanousd", BigInteger),
    Column("duration_ms", Double, nullable=False),
    Column("ttft_ms", Double),
    # How much alike the two answers are, from 0 to 1.
    Column("agreement", Double),
    sqlite_with_rowid=False,
)
"""Rehearsals beside the live answers of the same requests."""

leases = Table(
    "leases",
    metadata,
    # What is worked on, such as record:forum-reply.
    Column("name", Text, primary_key=True),
    # For people: which process, where, and since when.
    Column("holder", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)
"""Which commands are at work, so that no two pay for the same."""
