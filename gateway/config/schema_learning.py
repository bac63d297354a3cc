"""The shape of what routes.yaml says of learning: capture, rehearsals and acceptance."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, StrictInt, WithJsonSchema

from gateway.config.routes_learning import MeasureWord, Redaction, RehearsalMode
from gateway.config.schema_types import Entry, Text, Usd, number

Share = Annotated[
    Decimal,
    BeforeValidator(number),
    Field(ge=0, le=1),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]


class CaptureEntry(Entry):
    """What is kept of live requests and answers; nothing, unless a share is given."""

    share: Share | None = Field(
        None, description="Which share of requests is kept: 0.05 is one in twenty.", examples=[Decimal("0.05")]
    )
    retention_days: Annotated[StrictInt, Field(ge=1, le=3650)] | None = Field(
        None, description="After how many days it is deleted.", examples=[30]
    )
    redact: tuple[Redaction, ...] | None = Field(
        None,
        description="What is blacked out before anything is written; all three by default.",
        examples=[["email", "phone", "card"]],
    )
    phone_regions: tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...] | None = Field(
        None,
        description="Whose national notation of phone numbers is recognised, beside the international one.",
        examples=[["US", "DE"]],
    )
    patterns: dict[str, Text | None] | None = Field(
        None,
        description="More to black out, as regular expressions by a name of your choice.",
        examples=[{"customer_number": "CU-[0-9]{6}"}],
    )
    max_bytes: Annotated[StrictInt, Field(ge=256, le=1_048_576)] | None = Field(
        None, description="What is larger, request and answer together, is not kept.", examples=[65_536]
    )


class RehearsalEntry(Entry):
    """Live traffic that also runs, or only runs, on the fallback before that is needed."""

    share: Share | None = Field(None, description="Which share of requests rehearses.", examples=[Decimal("0.02")])
    mode: RehearsalMode | None = Field(
        None,
        description="shadow: the fallback is asked after the answer, unseen by the caller. serve: it answers, and the "
        "primary only where it fails.",
        examples=["shadow"],
    )
    max_usd_per_day: Usd | None = Field(
        None,
        description="What rehearsals may cost in a day (UTC), all replicas together; needed, since they are paid for.",
        examples=[Decimal("5.00")],
    )


class AcceptanceEntry(Entry):
    """When a fallback is good enough."""

    margin: (
        Annotated[
            Decimal,
            BeforeValidator(number),
            Field(gt=0, le=Decimal("0.5")),
            WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}),
        ]
        | None
    ) = Field(
        None,
        description="How much worse than the primary it may be, of 1; 0.05 by default.",
        examples=[Decimal("0.05")],
    )
    measure: MeasureWord | None = Field(
        None, description="What is compared; chosen from the data by default.", examples=["chrf"]
    )
    pattern: Text | None = Field(
        None,
        description="For measure pattern_match: a regular expression that is to be found in every answer.",
        examples=["^Dear "],
    )
    judge: Text | None = Field(
        None,
        description="A route whose model says which of two answers is better, asked in both orders.",
        examples=["invoice-extract"],
    )
