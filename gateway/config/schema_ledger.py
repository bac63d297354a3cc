"""The shape of what routes.yaml says of the ledger."""

from typing import Annotated

from pydantic import Field, StrictInt

from gateway.config.routes_ledger import Durability, OnFull
from gateway.config.schema_types import Entry


class LedgerEntry(Entry):
    """How the ledger's rows are kept until the database has them, and for how long then."""

    durability: Durability | None = Field(
        None,
        description="fast: a power cut may lose the last 50 ms, a kill -9 nothing. strict: an answer's end waits "
        "until its row is on the disk.",
        examples=["fast"],
    )
    on_full: OnFull | None = Field(
        None,
        description="When the journal is full, with the database away: refuse answers new requests with 503, serve "
        "goes on without rows, and counts them.",
        examples=["refuse"],
    )
    journal_mib: Annotated[StrictInt, Field(ge=64, le=1_048_576)] | None = Field(
        None,
        description="How large the journal may grow while the database is away.",
        examples=[1024],
    )
    retention_days: Annotated[StrictInt, Field(ge=1, le=36_500)] | None = Field(
        None,
        description="After how many days rows are deleted; hourly totals are kept.",
        examples=[400],
    )
