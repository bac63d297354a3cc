"""The shape of one entry below ``routes`` of routes.yaml, and of what several routes share."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt

from gateway.config.routes import FallbackWord
from gateway.config.schema_learning import AcceptanceEntry, CaptureEntry, RehearsalEntry
from gateway.config.schema_slo import SloEntry
from gateway.config.schema_types import Days, Entry, ModelId, OrText, Owner, Seconds, Text, Usd, short_form


class ParametersEntry(Entry):
    """How a request's top-level parameters change for a model: renamed, then set, then dropped."""

    rename: dict[str, Text | None] | None = Field(
        None, description="Old name: new name.", examples=[{"max_tokens": "max_completion_tokens"}]
    )
    set: dict[str, Any] | None = Field(
        None, description="Name: value, whatever the caller sent.", examples=[{"reasoning_effort": "none"}]
    )
    drop: tuple[Text, ...] | None = Field(
        None, description="Names that the model would refuse.", examples=[["logit_bias"]]
    )


class TimeoutsEntry(Entry):
    """Limits of one attempt, in seconds."""

    first_token_s: Seconds | None = Field(None, description="Until a stream's first event.", examples=[60])
    idle_s: Seconds | None = Field(None, description="Between two events.", examples=[60])
    total_s: Seconds | None = Field(None, description="The whole attempt.", examples=[600])


class CutoverEntry(Entry):
    """When traffic leaves the primary."""

    at: Literal["shutdown", "gone"] | None = Field(
        None, description="shutdown: by date. gone: only once the model is observed to be gone.", examples=["shutdown"]
    )
    days_before: Days | None = Field(
        None, description="How many days before the shutdown all traffic has moved.", examples=[14]
    )
    ramp_days: Days | None = Field(None, description="Over how many days it moves, from none to all.", examples=[7])
    require_evidence: StrictBool | None = Field(
        None,
        description="Whether traffic moves before the shutdown only to a fallback that `gateway evaluate` accepted. On "
        "the day itself, and once the primary is gone, it moves all the same.",
        examples=[False],
    )


class TrainingEntry(Entry):
    """What the fine-tune's training took; reports use it."""

    cost_usd: Usd | None = Field(
        None, description="What it cost; `gateway report --break-even` needs it.", examples=[Decimal("38.20")]
    )
    labelling_usd: Usd | None = Field(
        None, description="What making and correcting its examples cost.", examples=[Decimal("120.00")]
    )
    evaluation_usd: Usd | None = Field(
        None, description="What finding out whether it is good enough cost.", examples=[Decimal("6.50")]
    )
    hosting_usd_per_day: Usd | None = Field(
        None,
        description="What the fine-tune costs by the day, used or not: a dedicated deployment, your own machine.",
        examples=[Decimal("40.80")],
    )
    examples: Annotated[StrictInt, Field(ge=0)] | None = Field(
        None, description="How many examples it saw.", examples=[212]
    )
    file: Text | None = Field(None, description="The training file.", examples=["data/{route}.jsonl"])


class RouteKeys(Entry):
    """What defaults, profiles and routes have in common."""

    provider: Text | None = Field(None, description="The primary's provider: one of `providers`.", examples=["openai"])
    fallbacks: tuple[Text, ...] | None = Field(
        None, description="Who answers instead, in this order: names of `fallbacks`.", examples=[["luna"]]
    )
    fallback_on: tuple[FallbackWord, ...] | None = Field(
        None,
        description="What sends a request to the next target. rate_limited and quota only if asked for; [] would "
        "rather fail than answer differently.",
        examples=[["gone", "no_access", "connection", "timeout", "overloaded", "server_error"]],
    )
    timeouts: TimeoutsEntry | None = Field(None, description="Limits of one attempt, in seconds.")
    cutover: CutoverEntry | None = Field(None, description="When traffic leaves a primary that is being retired.")
    owner: Owner | None = Field(
        None,
        description="The team behind the route; a label of cost and alerts, of up to 200 characters.",
        examples=["ml-platform"],
    )
    contract: Text | None = Field(
        None,
        description="A JSON Schema that answers must keep, also the fallback's.",
        examples=["schemas/invoice-extract.json"],
    )
    residency: Text | None = Field(
        None, description="Every target's provider must have this residency.", examples=["eu"]
    )
    training: TrainingEntry | None = Field(None, description="What the fine-tune's training took; reports use it.")
    tenant: Text | None = Field(
        None,
        description="The one customer whose data the route handles; packs and recordings of another are refused.",
        examples=["acme"],
    )
    capture: CaptureEntry | None = Field(
        None, description="What is kept of live requests and answers; nothing by default."
    )
    rehearsal: RehearsalEntry | None = Field(
        None, description="Live traffic that runs on the fallback before that is needed; none by default."
    )
    acceptance: AcceptanceEntry | None = Field(None, description="When a fallback is good enough.")
    slo: SloEntry | None = Field(None, description="What the route owes its callers; alerts are measured by it.")


class PrimaryEntry(Entry):
    """The model that a route would rather use, usually a fine-tune."""

    provider: Text | None = Field(None, description="Its provider, where it is not the route's.", examples=["openai"])
    model: ModelId = Field(description="Its id.", examples=["ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"])
    base: Text | None = Field(
        None,
        description="The model it was trained from, where the id does not tell.",
        examples=["gpt-4.1-mini-2025-04-14"],
    )
    embedding_space: Text | None = Field(None, description="As in a fallback.", examples=["text-embedding-3-small"])
    parameters: ParametersEntry | None = Field(None, description="As in a fallback.")


class VariantEntry(RouteKeys):
    """One tenant's own of a task. One string is its primary's model."""

    primary: Annotated[PrimaryEntry, BeforeValidator(short_form("model")), OrText()] | None = Field(
        None,
        description="The tenant's own model, as its id or as a mapping; without one, or null: not trained yet, the "
        "fallback answers.",
        examples=["ft:gpt-4.1-mini-2025-04-14:acme:inv-acme:E5f6G7h8"],
    )


Variant = Annotated[VariantEntry, BeforeValidator(short_form("primary")), OrText()]


class RouteEntry(RouteKeys):
    """A logical task, and who serves it. One string is its primary's model."""

    profile: Text | None = Field(None, description="One of `profiles`.", examples=["extract"])
    primary: Annotated[PrimaryEntry, BeforeValidator(short_form("model")), OrText()] | None = Field(
        None, description="The model to use, as its id or as a mapping; null: not trained yet, the fallback answers."
    )
    variant_by: Literal["tenant"] | None = Field(
        None,
        description="The tag of the caller's key that chooses among `variants`: `tenant`. Nothing that a request says "
        "does.",
        examples=["tenant"],
        json_schema_extra={"instead_of": "tenant"},
    )
    variants: dict[str, Variant] | None = Field(
        None,
        description="What each tenant has of its own, by the tenant's name: each becomes a route, such as "
        "invoice-extract:acme, with everything of this one but its primary. Same keys as `defaults`, and `primary`.",
        examples=["acme"],
        json_schema_extra={"instead_of": "tenant"},
    )


Route = Annotated[RouteEntry, BeforeValidator(short_form("primary")), OrText()]
