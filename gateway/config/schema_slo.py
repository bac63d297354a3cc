"""The shape of what routes.yaml says a route owes its callers."""

from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from gateway.config.schema_types import Entry, Seconds, number

Objective = Annotated[
    Decimal,
    BeforeValidator(number),
    Field(gt=0, lt=1),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
]
"""Below 1: an objective of everything has no budget for errors, and every alert on it would fire for ever."""


class SloEntry(Entry):
    """What the route owes its callers; alerts and dashboards measure it by this."""

    availability: Objective | None = Field(
        None,
        description="Which share of requests must not fail with a 5xx; 0.99 by default.",
        examples=[Decimal("0.995")],
    )
    intended: Objective | None = Field(
        None,
        description="Which share of answers must come from the target that is meant to answer: the primary, or whom a "
        "date or a command put there; 0.9 by default.",
        examples=[Decimal("0.99")],
    )
    first_token_s: Seconds | None = Field(
        None,
        description="Within how many seconds 95 of 100 streams must have begun; no objective by default.",
        examples=[Decimal("2.0")],
    )
