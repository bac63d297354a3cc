"""The shape of routes.yaml, version 1: what may be written, and where.

The one source of three things: what the loader accepts, the JSON Schema that editors complete from
(``routes.schema.json``), and ``routes.reference.yaml``. Each field's description is the comment it gets there, its
first example the value. What the file becomes is in ``routes``.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, WithJsonSchema

from gateway.config.routes import CallerSystem
from gateway.config.schema_keys import KeyEntry
from gateway.config.schema_ledger import LedgerEntry
from gateway.config.schema_prices import PriceEntry
from gateway.config.schema_routes import ParametersEntry, Route, RouteKeys
from gateway.config.schema_types import (
    Day,
    Entry,
    ModelId,
    OrText,
    Text,
    version_1,
)
from gateway.config.schema_webhooks import WebhookEntry
from gateway.config.vendors import VENDORS, Identity


class ProviderEntry(Entry):
    """An upstream account."""

    kind: Text = Field(
        description="The vendor; it selects paths, the credential's header, error rules, dates and prices.",
        examples=["openai"],
        json_schema_extra={"enum": [*sorted(VENDORS)]},
    )
    base_url: Text | None = Field(
        None,
        description="Where the API lives, up to and without /chat/completions; each vendor with one address has it as "
        "its default.",
        examples=["https://api.openai.com/v1"],
    )
    api_key_env: Text | None = Field(
        None, description="The environment variable that holds the key. Never the key.", examples=["OPENAI_API_KEY"]
    )
    api_key_file: Text | None = Field(
        None,
        description="Or a file that holds it; it is read again when it changes.",
        examples=["/run/secrets/openai"],
        json_schema_extra={"instead_of": "api_key_env"},
    )
    identity: Identity | None = Field(
        None,
        description="Or, in the place of a key, the cloud's own identity of this process: azure (workload or managed "
        "identity), aws (bedrock), google (vertex).",
        examples=["azure"],
        json_schema_extra={"instead_of": "api_key_env"},
    )
    api_version: Text | None = Field(
        None,
        description="Azure: use the dated surface, with a path for each deployment, instead of /openai/v1.",
        examples=["2024-10-21"],
        json_schema_extra={"only_for": "azure"},
    )
    region: Text | None = Field(
        None,
        description="Bedrock: the AWS region.",
        examples=["eu-central-1"],
        json_schema_extra={"only_for": "bedrock"},
    )
    project: Text | None = Field(
        None,
        description="Vertex AI: the Google Cloud project.",
        examples=["acme-prod"],
        json_schema_extra={"only_for": "vertex"},
    )
    location: Text | None = Field(
        None,
        description="Vertex AI: the location.",
        examples=["europe-west4"],
        json_schema_extra={"only_for": "vertex"},
    )
    residency: Text | None = Field(
        None, description="Where the provider keeps data; routes with a residency ask for it.", examples=["eu"]
    )
    keep_alive: StrictBool = Field(
        False,
        description="Whether to ask deployments that routes name for one token once they were idle for 7 days. Azure "
        "deletes a fine-tune's deployment after 15 idle days. It costs a token each time, and what hosting costs goes "
        "on.",
        examples=[False],
    )


class DatesEntry(Entry):
    """What the operator knows of a model's dates; it outranks every other source."""

    announced: Day | None = Field(None, description="When the shutdown was announced.", examples=[date(2026, 10, 14)])
    last_training_day: Day | None = Field(
        None, description="The last day on which it can be fine-tuned, inclusive.", examples=[date(2027, 1, 6)]
    )
    shutdown: Day | None = Field(
        None, description="Not served from this day on, 00:00 UTC.", examples=[date(2027, 1, 14)]
    )
    replacement: Text | None = Field(
        None, description="What the vendor names as its successor.", examples=["gpt-6-luna"]
    )
    certainty: Literal["planned", "tentative"] = Field(
        "planned", description="planned, or tentative where the vendor may still move it.", examples=["planned"]
    )
    source: Text = Field(
        description="Where you know it from; explanations repeat it.", examples=["the vendor's deprecations page"]
    )


class CapabilitiesEntry(Entry):
    """What the operator knows of what a model takes; it outranks the table that ships."""

    takes: tuple[Text, ...] | None = Field(
        None, description="What it takes after all, whatever the table says.", examples=[["temperature"]]
    )
    renames: dict[str, Text] | None = Field(
        None,
        description="Parameters that it knows by another name.",
        examples=[{"max_tokens": "max_completion_tokens"}],
    )
    drops: tuple[Text, ...] | None = Field(
        None, description="Parameters that it refuses, and that requests can do without.", examples=[["seed"]]
    )
    lacks: tuple[Text, ...] | None = Field(
        None,
        description="What it cannot do, and whose loss would change what a request means: the target is skipped.",
        examples=[["image"]],
    )
    source: Text = Field(description="Where you know it from.", examples=["tried on 2026-11-24"])


class ExampleEntry(Entry):
    """One fixed example: what a caller might write, and what the fine-tune would answer."""

    user: Text = Field(description="The request.", examples=["Where is my order 1188?"])
    assistant: Text = Field(description="The answer.", examples=["Let me look that up for you."])


class PromptEntry(Entry):
    """What turns a base model into the understudy of a fine-tune."""

    instructions_file: Text | None = Field(
        None,
        description="The instructions, as a text file; {route} is the route's name.",
        examples=["prompts/{route}.md"],
    )
    instructions: Text | None = Field(
        None,
        description="Or the instructions themselves.",
        examples=["Answer as our support team would."],
        json_schema_extra={"instead_of": "instructions_file"},
    )
    examples: tuple[ExampleEntry, ...] | None = Field(None, description="Fixed examples, shown before the request.")
    examples_file: Text | None = Field(
        None,
        description='More of them: training rows {"messages": […]}, one a line, at most 50.',
        examples=["prompts/{route}.examples.jsonl"],
    )
    caller_system: CallerSystem | None = Field(
        None,
        description="The caller's own system message: keep it behind the instructions, replace it, or replace it only "
        "where it is one that the fine-tune was trained with.",
        examples=["replace_if_trained"],
    )
    trained_system: (
        Annotated[
            tuple[Text, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value), OrText()
        ]
        | None
    ) = Field(
        None,
        description="The system message, or messages, that the fine-tune was trained with.",
        examples=["You are a helpful assistant."],
    )
    pack: Text | None = Field(
        None,
        description="A prompt pack that `gateway pack build` compiled: its directory, or sha256:… of one that `gateway "
        "pack push` put into the database.",
        examples=["packs/{route}"],
    )


class FallbackEntry(Entry):
    """A base model with the prompt that makes it an understudy; routes refer to it by name."""

    extends: Text | None = Field(
        None,
        description="Another fallback, from which everything that is not written here is taken.",
        examples=["another-fallback"],
        json_schema_extra={"instead_of": "provider"},
    )
    provider: Text | None = Field(None, description="One of `providers`.", examples=["openai"])
    model: ModelId | None = Field(None, description="The model's id there.", examples=["gpt-6-luna"])
    base: Text | None = Field(
        None,
        description="The model behind it, where the id does not tell (a deployment's name).",
        examples=["gpt-6-luna"],
    )
    embedding_space: Text | None = Field(
        None,
        description="A name for the space of its vectors: targets that name the same one may stand in for each other.",
        examples=["text-embedding-3-small"],
    )
    prompt: PromptEntry | None = Field(None, description="Instructions and examples for this model.")
    parameters: ParametersEntry | None = Field(None, description="What has to change in the request's parameters.")


class RoutesFile(Entry):
    """The routes.yaml of an Understudy gateway, version 1."""

    version: Annotated[StrictInt, BeforeValidator(version_1), WithJsonSchema({"const": 1})] = Field(
        description="The version of this format.", examples=[1]
    )
    include: tuple[Text, ...] | None = Field(
        None,
        description="More files, as patterns relative to this one; they hold only `routes`. A name twice is an error.",
        examples=[["routes.d/*.yaml"]],
    )
    providers: dict[str, ProviderEntry] | None = Field(
        None, description="Upstream accounts, by a name of your choice.", examples=["openai"]
    )
    lifecycle: dict[str, dict[str, DatesEntry]] | None = Field(
        None,
        description="Dates that you know, by provider and model; they outrank every other source.",
        examples=["openai", "gpt-4.1-mini-2025-04-14"],
    )
    prices: dict[str, dict[str, PriceEntry]] | None = Field(
        None,
        description="What you pay, by provider and model, in US dollars per million tokens.",
        examples=["openai", "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"],
    )
    capabilities: dict[str, dict[str, CapabilitiesEntry]] | None = Field(
        None,
        description="What models take, by provider and model; it outranks the table that ships.",
        examples=["openai", "gpt-6-luna"],
    )
    webhooks: dict[str, WebhookEntry] | None = Field(
        None,
        description="Who is told 90, 30, 7 and 1 days before a model stops, and whenever a route moves; by a name of "
        "your choice. JSON, with a text that Slack shows.",
        examples=["ops"],
    )
    keys: dict[str, KeyEntry] | None = Field(
        None,
        description="Callers' keys, by a name of your choice and their digest, beside those of the database. They need "
        "GATEWAY_KEY_PEPPER.",
        examples=["forum-app"],
    )
    ledger: LedgerEntry | None = Field(None, description="How the ledger's rows are kept, and for how long.")
    fallbacks: dict[str, FallbackEntry] | None = Field(
        None,
        description="Understudies, each written once. {route} in a file's path is the name of the route they serve.",
        examples=["luna"],
    )
    defaults: RouteKeys | None = Field(
        None,
        description="Under every route: a route's profile is laid over them, the route itself over both. Maps merge, "
        "lists replace, null removes.",
    )
    profiles: dict[str, RouteKeys] | None = Field(
        None,
        description="What several routes share; same keys as `defaults`. A route names at most one.",
        examples=["extract"],
    )
    routes: dict[str, Route] | None = Field(
        None,
        description="The tasks, by the name that applications send as `model`. Same keys as `defaults`, and more.",
        examples=["invoice-extract"],
    )


class IncludedFile(Entry):
    """A file that routes.yaml includes."""

    routes: dict[str, Route] | None = Field(None, description="As in routes.yaml.")
