"""The shape of a key in routes.yaml: by its digest, for those who keep all they have in Git."""

from typing import Annotated

from pydantic import Field, StrictBool, WithJsonSchema

from gateway.config import key_fields
from gateway.config.schema_types import Entry, Text, Usd

Expires = Annotated[key_fields.Expiry, WithJsonSchema({"type": "string"})]


class KeyBudgetEntry(Entry):
    """How much a key may spend."""

    day_usd: Usd | None = Field(None, description="In a day, from 00:00 UTC.", examples=[5])
    month_usd: Usd | None = Field(None, description="In a month, from its first day, 00:00 UTC.", examples=[100])
    total_usd: Usd | None = Field(None, description="In all.", examples=[1000])


class KeyEntry(Entry):
    """What a key stands for."""

    digest: Text = Field(
        description="What the key is known by: HMAC-SHA-256 under GATEWAY_KEY_PEPPER, as `gateway keys digest` prints "
        "it. Never the key.",
        examples=["hmac-sha256:7b3f0c5d1e9a48264c1d5b7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f901234"],
    )
    role: key_fields.Role | None = Field(
        None,
        description=key_fields.ROLES_SAID,
        examples=["caller"],
    )
    owner: key_fields.Words | None = Field(None, description="Whom to ask about it.", examples=["forum@acme.example"])
    team: key_fields.Words | None = Field(
        None, description="Whose cost its requests are; by default the route owner's.", examples=["forum"]
    )
    tags: key_fields.Tags | None = Field(
        None,
        description="Of every request of it; no request can replace them. tenant: the one customer that it speaks for.",
        examples=[{"tenant": "acme"}],
    )
    routes: key_fields.RoutePatterns | None = Field(
        None,
        description="The routes that it may call, or review, by name or shell pattern; by default all.",
        examples=[["*"]],
    )
    pins: StrictBool | None = Field(
        None, description="Whether it may choose who answers (ROUTE@primary).", examples=[False]
    )
    residency: key_fields.Words | None = Field(
        None, description="Where its requests' data stays: only providers there answer.", examples=["eu"]
    )
    expires: Expires | None = Field(
        None,
        description="Not valid from then on; a day begins at 00:00 UTC.",
        examples=["2027-06-01"],
    )
    budget: KeyBudgetEntry | None = Field(None, description="How much it may spend; by default as much as it likes.")
    requests_per_minute: key_fields.PerMinute | None = Field(
        None, description="How many requests it may make in a minute.", examples=[600]
    )
    tokens_per_minute: key_fields.TokensPerMinute | None = Field(
        None, description="How many tokens, asked and answered, it may use in a minute.", examples=[200_000]
    )
    max_output_tokens: key_fields.OutputTokens | None = Field(
        None,
        description="The longest answer that it may ask for; a longer wish is cut to it.",
        examples=[4096],
    )
    capture: StrictBool | None = Field(
        None, description="Whether routes that keep answers may keep those to it.", examples=[True]
    )
