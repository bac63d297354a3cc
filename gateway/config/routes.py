"""The frozen values that routes.yaml becomes: what the rest of the gateway sees, with every default filled in.

The file's own shape (what may be written, and where) is in ``schema``; ``loader`` turns the one into the other. A
``Routes`` is replaced whole when a file changes; a request that is in flight keeps the one it started with.
"""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from gateway.config.callers import DeclaredKey
from gateway.config.packs import Pack
from gateway.config.route_names import RouteName
from gateway.config.routes_learning import Acceptance, Capture, Rehearsal
from gateway.config.routes_ledger import Ledger
from gateway.config.routes_prices import ModelPrice
from gateway.config.routes_slo import Slo
from gateway.config.vendors import VENDORS, Identity, Vendor
from gateway.reasons import EventKind, Role

CallerSystem = Literal["keep", "replace", "replace_if_trained"]
FallbackWord = Literal[
    "gone", "no_access", "connection", "timeout", "overloaded", "server_error", "rate_limited", "quota"
]
EventWord = Literal[
    "cutover",
    "return",
    "refusal",
    "commanded",
    "shutdown_notice",
    "dates_changed",
    "availability",
    "substituted",
    "promotion",
]
"""The words of ``EventKind``, as routes.yaml may write them."""


class Frozen(BaseModel):
    """A value: it cannot change, and has no field that nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Provider(Frozen):
    """An upstream account: wire format, base URL, and where its credential is found (never the credential)."""

    name: str
    kind: str
    base_url: str
    """Complete up to, and without, ``/chat/completions``; no trailing slash."""
    is_elsewhere: bool = False
    """Whether routes.yaml gave an address that is not the vendor's own."""
    api_key_env: str | None = None
    api_key_file: str | None = None
    identity: Identity | None = None
    """The cloud identity that stands in for the key."""
    api_version: str | None = None
    """Azure's dated surface; None: the version-less one."""
    region: str | None = None
    project: str | None = None
    location: str | None = None
    residency: str | None = None
    keep_alive: bool = False
    """Whether to call what routes name here now and then, so that it is not deleted for being idle."""

    @property
    def vendor(self) -> Vendor:
        """What is known of this kind of provider."""
        return VENDORS[self.kind]


class Example(Frozen):
    """One pair of a fallback's fixed examples."""

    user: str
    assistant: str


class Prompt(Frozen):
    """What turns a base model into the understudy of a fine-tune."""

    version: str
    """The first 12 hex digits of a hash over everything below, or the pack's version; the ledger names it."""
    instructions: str | None = None
    examples: tuple[Example, ...] = ()
    caller_system: CallerSystem = "keep"
    trained_system: tuple[str, ...] = ()
    """The system messages that the fine-tune was trained with: what ``replace_if_trained`` replaces."""
    pack: InstanceOf[Pack] | None = None
    """Its examples: a fixed block, and those among which similar ones are found for each request."""
    awaited_pack: str | None = None
    """The hash of a pack that lives in the database, while it is not here yet."""
    missing_pack: str | None = None
    """The directory that was to hold its pack, where there is none."""


class Parameters(Frozen):
    """How the request's top-level parameters change for a target: renamed, then set, then dropped."""

    rename: Mapping[str, str] = Field(default_factory=dict)
    set: Mapping[str, Any] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()


class Timeouts(Frozen):
    """Limits of one attempt, in seconds."""

    first_token_s: float = 60.0
    """Until the first event of a stream."""
    idle_s: float = 60.0
    """Between two events that carry something."""
    total_s: float = 600.0
    """The whole attempt; the only limit of an answer that is not streamed: nothing of it arrives before its end."""


class Cutover(Frozen):
    """When traffic leaves the primary by date."""

    at: Literal["shutdown", "gone"] = "shutdown"
    days_before: int = 0
    ramp_days: int = 0
    require_evidence: bool = False
    """Whether moves before the date wait for an accepted fallback."""


class Contract(Frozen):
    """The JSON Schema that a route's answers keep."""

    name: str
    """The schema's name as ``response_format`` carries it: [a-zA-Z0-9_-], at most 64."""
    json_schema: Mapping[str, Any]
    strict: bool
    """Whether the schema lies within the subset that providers enforce word for word."""


class Training(Frozen):
    """What the operator says of a fine-tune's training; reports use it."""

    cost_usd: Decimal | None = None
    labelling_usd: Decimal | None = None
    evaluation_usd: Decimal | None = None
    hosting_usd_per_day: Decimal | None = None
    examples: int | None = None
    file: str | None = None


class Target(Frozen):
    """A provider and a model that can serve a route."""

    name: str
    """``primary``, or the fallback's name in routes.yaml."""
    role: Role
    provider: Provider
    model: str
    base: str | None = None
    """The base model: as written, or parsed from a fine-tune's id; None where neither tells."""
    embedding_space: str | None = None
    """The name of the space that its vectors are of, where the operator gave one."""
    prompt: Prompt | None = None
    parameters: Parameters = Parameters()

    @property
    def space(self) -> str:
        """What tells its vectors from others': the space's name, else the base model's, else its own."""
        return self.embedding_space or self.base or self.model


class Canary(Frozen):
    """A version that answers a share of a route's conversations beside its primary: never from routes.yaml."""

    target: Target
    """Its name is ``canary``, its role the primary's."""
    share: float
    """Above 0, below 1."""


class Route(Frozen):
    """A logical task, and who can serve it, in order."""

    name: str
    primary: Target | None
    fallbacks: tuple[Target, ...] = ()
    fallback_on: frozenset[FallbackWord]
    timeouts: Timeouts = Timeouts()
    cutover: Cutover = Cutover()
    contract: Contract | None = None
    residency: str | None = None
    owner: str | None = None
    training: Training | None = None
    tenant: str | None = None
    """The one customer whose data it handles."""
    variant_of: str | None = None
    """The task that its tenant's callers name; None: it is a task itself."""
    capture: Capture | None = None
    """None: nothing is kept."""
    rehearsal: Rehearsal | None = None
    acceptance: Acceptance = Acceptance()
    slo: Slo = Slo()
    canary: Canary | None = None

    @property
    def name_in_files(self) -> str:
        """What ``{route}`` stands for in the paths of its own files."""
        if self.variant_of is None:
            return self.name
        return RouteName(self.variant_of, self.tenant).in_files

    @property
    def line_up(self) -> tuple[Target, ...]:
        """Who can answer, in order, the primary first; a canary is not among them."""
        return (self.primary, *self.fallbacks) if self.primary else self.fallbacks

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target, also the canary: whoever may be asked, and so has to be known, looked at and measured."""
        return (*self.line_up, self.canary.target) if self.canary else self.line_up


class ModelDates(Frozen):
    """What the operator says of a model's dates."""

    announced: date | None = None
    last_training_day: date | None = None
    shutdown: date | None = None
    replacement: str | None = None
    certainty: Literal["planned", "tentative"] = "planned"
    source: str


class CapabilityEntry(Frozen):
    """What the operator knows of what a model takes."""

    takes: tuple[str, ...] = ()
    """What the table says it does not take."""
    renames: Mapping[str, str] = Field(default_factory=dict)
    drops: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    source: str


class Webhook(Frozen):
    """Whom to tell what happened: where the URL and the secret are found, and what is of interest."""

    name: str
    url: str | None = None
    url_env: str | None = None
    url_file: str | None = None
    """Exactly one of the three is there."""
    secret_env: str | None = None
    secret_file: str | None = None
    owners: frozenset[str] | None = None
    """Only events about these owners' routes, and those about nobody's; None: all."""
    events: frozenset[EventKind] | None = None
    """None: all."""


class Routes(Frozen):
    """One whole configuration."""

    config_hash: str
    """The first 12 hex digits of a hash over every file that was read."""
    routes: Mapping[str, Route]
    providers: Mapping[str, Provider]
    variants: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    """Task → tenant → the route that answers its callers; a task may be no route itself."""
    lifecycle: Mapping[str, Mapping[str, ModelDates]] = Field(default_factory=dict)
    """Provider name → model → dates."""
    prices: Mapping[str, Mapping[str, ModelPrice]] = Field(default_factory=dict)
    """Provider name → model → price."""
    capabilities: Mapping[str, Mapping[str, CapabilityEntry]] = Field(default_factory=dict)
    """Provider name → model → what it takes."""
    webhooks: Mapping[str, Webhook] = Field(default_factory=dict)
    ledger: Ledger = Ledger()
    keys: Mapping[str, InstanceOf[DeclaredKey]] = Field(default_factory=dict)
    """Name → key, those that routes.yaml declares."""
    files: tuple[str, ...] = ()
    """Every file that was read, routes.yaml first: what a watcher watches."""
