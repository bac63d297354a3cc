"""The configuration that people watch: fourteen routes of five owners, in every state that a route can be in.

All of it is relative to ``now``, so that it looks the same on any day. Its providers are sandboxes, whatever they are
called: no vendor's own date holds for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import forty_routes

from gateway.sandbox.catalogue import Model, Task
from gateway.sandbox.pricing import Price, price

MINI_4O, MINI_41 = "gpt-4o-mini-2024-07-18", "gpt-4.1-mini-2025-04-14"
NANO, LARGE_4O, LARGE_41 = "gpt-4.1-nano-2025-04-14", "gpt-4o-2024-08-06", "gpt-4.1-2025-04-14"
LUNA = "gpt-6-luna"
DAYS_LEFT = {MINI_4O: 46, MINI_41: 46, LARGE_4O: 18, NANO: -2, LARGE_41: 74}
"""Days from today until each base's shutdown, as the operator wrote it down."""


@dataclass(frozen=True)
class Watched:
    """A route, and what its traffic is like."""

    name: str
    owner: str
    written: str
    """Its entry in routes.yaml, but for the owner."""
    primary: str | None
    """The model."""
    daily: int
    """Requests a day."""
    provider: str = "openai"
    understudy: str = "luna"
    """The name of its first fallback."""
    streams: bool = True
    base: str | None = None

    @property
    def line(self) -> str:
        return f"  {self.name}: {{owner: {self.owner}, {self.written}}}\n"


def _tuned(base: str, suffix: str) -> str:
    return f"ft:{base}:acme:{suffix}"


def _route(name: str, owner: str, base: str, suffix: str, daily: int, more: str = "", **fields: object) -> Watched:
    model = _tuned(base, suffix)
    written = f'primary: "{model}"' + (f", {more}" if more else "")
    return Watched(name, owner, written, model, daily, base=base, **fields)  # type: ignore[arg-type]


ROUTES = (
    _route("forum-reply", "support", MINI_4O, "forum-reply:A1b2C3d4", 60,
           "training: {cost_usd: 12.40, examples: 640}"),
    _route("ticket-triage", "support", MINI_41, "triage:C3d4E5f6:ckpt-step-714", 90,
           "training: {cost_usd: 3.10, examples: 212}, "
           "rehearsal: {share: 0.02, mode: shadow, max_usd_per_day: 0.50}", streams=False),
    _route("refund-reason", "support", LARGE_4O, "refund:K2l3M4n5", 35,
           "cutover: {days_before: 14, ramp_days: 7}", streams=False),
    _route("faq-answer", "support", MINI_41, "faq:Q8r9S0t1", 0),
    _route("call-summary", "support", MINI_4O, "calls:V3w4X5y6", 9, "fallbacks: []", understudy=""),
    _route("invoice-extract", "billing", NANO, "inv:D4e5F6g7", 40, streams=False),
    _route("contract-dates", "billing", LARGE_41, "contract-dates:H7i8J9k0", 12, streams=False),
    Watched("claims-summary", "claims",
            f'profile: eu, primary: {{model: claims-ft, base: "{MINI_41}"}}, '
            "training: {cost_usd: 38.20, examples: 212}", "claims-ft", 25, "azure-eu", "luna-eu", base=MINI_41),
    Watched("tone-rewrite", "marketing", "primary: null", None, 30),
    _route("product-title", "marketing", MINI_4O, "titles:L1m2N3o4", 45, "cutover: {at: gone}", streams=False),
    _route("review-digest", "marketing", MINI_41, "digest:P5q6R7s8", 40, "fallbacks: [comet, luna]",
           understudy="comet"),
    Watched("agent-hints", "ml-platform", "primary: {provider: campus, model: agent-hints-lora, base: llama-3.1-8b}",
            "agent-hints-lora", 50, "campus", base="llama-3.1-8b"),
    _route("survey-coding", "ml-platform", MINI_41, "survey:T9u0V1w2", 20,
           "cutover: {days_before: 14, ramp_days: 7, require_evidence: true}, "
           "rehearsal: {share: 0.05, mode: serve, max_usd_per_day: 0.20}", streams=False),
    Watched("churn-reason", "ml-platform", "primary: {provider: campus, model: churn-lora, base: llama-3.1-8b}",
            "churn-lora", 15, "campus", base="llama-3.1-8b", streams=False),
)  # fmt: skip
BY_NAME = {route.name: route for route in ROUTES}
GONE = tuple(BY_NAME[name].primary for name in ("forum-reply", "call-summary", "invoice-extract"))
"""The models that the sandbox no longer serves."""
UNPRICED = "churn-lora"
UNCOUNTED = "agent-hints-lora"
"""Its server counts no tokens, so that they are estimated."""

PRICES: dict[str, tuple[float, float, float]] = {
    MINI_4O: (0.30, 0.15, 1.20), MINI_41: (0.80, 0.20, 3.20), NANO: (0.20, 0.05, 0.80), LARGE_4O: (3.75, 1.875, 15.0),
    LARGE_41: (3.00, 0.75, 12.0), LUNA: (1.00, 0.10, 6.00), "comet-2": (0.50, 0.05, 2.00), "our-luna": (1.0, 0.1, 6.0),
    "claims-ft": (0.88, 0.22, 3.52), UNCOUNTED: (0.05, 0.05, 0.10),
}  # fmt: skip
"""Input, cached input and output, in US dollars per million tokens; of a base, those of its fine-tunes."""


def price_of(model: str) -> tuple[float, float, float] | None:
    """Return what a model costs; None: nobody knows."""
    return PRICES.get(model.split(":")[1] if model.startswith("ft:") else model)


FRESH = ("ticket-triage", "faq-answer", "tone-rewrite", "product-title")
"""The routes of a gateway to which nothing has happened yet."""


def routes_yaml(base_url: str, now: datetime, routes: Iterable[Watched] = ROUTES) -> str:
    """Return the file, for a sandbox that listens at ``base_url``."""
    sold: dict[str, list[str]] = {"openai": [LUNA, "comet-2"], "azure-eu": ["our-luna"], "campus": []}
    for route in routes:
        if route.primary is not None and price_of(route.primary) is not None:
            sold[route.provider].append(route.primary)
    sold = {name: models for name, models in sold.items() if models}
    prices = "".join(f"  {name}:\n{''.join(map(_price_line, models))}" for name, models in sold.items())
    return f"{_head(base_url, now)}routes:\n{''.join(route.line for route in routes)}prices:\n{prices}"


def _head(base_url: str, now: datetime) -> str:
    return f"""\
version: 1
providers:
  openai: {{kind: sandbox, base_url: "{base_url}"}}
  azure-eu: {{kind: sandbox, base_url: "{base_url}", residency: eu}}
  campus: {{kind: sandbox, base_url: "{base_url}"}}
fallbacks:
  luna:
    provider: openai
    model: {LUNA}
    prompt: {{instructions: "Answer as our team would: short, friendly, in the customer's language."}}
    parameters: {{rename: {{max_tokens: max_completion_tokens}}, drop: [logit_bias]}}
  comet: {{provider: openai, model: comet-2, prompt: {{instructions: "Three sentences, no adjectives."}}}}
  luna-eu: {{extends: luna, provider: azure-eu, model: our-luna, base: {LUNA}}}
defaults: {{provider: openai, fallbacks: [luna], timeouts: {{first_token_s: 15, idle_s: 30, total_s: 120}}}}
profiles:
  eu: {{provider: azure-eu, fallbacks: [luna-eu], residency: eu}}
lifecycle:
{lifecycle_yaml(now)}"""


def lifecycle_yaml(now: datetime) -> str:
    """Return what the operator knows of the bases."""
    today = now.date()
    rows = "".join(
        f"    {base}: {{announced: {today + timedelta(left - 92)}, last_training_day: {today + timedelta(left - 8)}, "
        f"shutdown: {today + timedelta(left)}, replacement: {LUNA}, "
        f'source: "deprecations page, read {today - timedelta(5)}"}}\n'
        for base, left in DAYS_LEFT.items()
    )
    return f"  openai:\n{rows}  azure-eu:\n    {MINI_41}: {_azure(now)}\n"


def _azure(now: datetime) -> str:
    day = now.date() + timedelta(411)
    return f'{{shutdown: {day}, certainty: tentative, source: "Azure: fine-tunes live a year past their base"}}'


def _price_line(model: str) -> str:
    asked, cached, answered = price_of(model) or (0, 0, 0)
    return (
        f'    "{model}": {{input_usd_per_1m: {asked}, cached_input_usd_per_1m: {cached}, '
        f"output_usd_per_1m: {answered}, source: the sandbox's own price list}}\n"
    )


def catalogue(now: datetime) -> Iterator[Model]:
    """Yield what the sandbox sells, at a pace that people can watch."""
    today, created = now.date(), int(now.timestamp()) - 86_400 * 300
    tasks = {task.value: task for task in Task}
    # Its own API and the operator name different days.
    told = {"contract-dates": today + timedelta(32)}
    for route in ROUTES:
        if route.primary is not None:
            yield Model(
                id=route.primary,
                base=route.base,
                task=tasks.get(route.name),
                price=_sandbox_price(route.primary),
                created=created,
                shutdown_date=told.get(route.name),
                retired_as="openai" if route.primary in GONE else None,
            )
    for model in (LUNA, "our-luna"):
        yield Model(id=model, price=_sandbox_price(model), created=created, strict=True)
    yield Model(id="comet-2", price=_sandbox_price("comet-2"), created=created, shutdown_date=today + timedelta(118))


def _sandbox_price(model: str) -> Price:
    return price(*map(str, price_of(model) or (0, 0, 0)))


def fresh_yaml(base_url: str, now: datetime) -> str:
    """Return four routes to which nothing has happened yet."""
    return routes_yaml(base_url, now, [BY_NAME[name] for name in FRESH])


def forty_yaml(base_url: str, now: datetime) -> str:
    """Return forty routes of three owners on a sandbox."""
    written = forty_routes.written()
    for line in forty_routes.HEAD.splitlines()[2:4]:
        name = line.split(":")[0]
        written = written.replace(line, f'{name}: {{kind: sandbox, base_url: "{base_url}"}}')
    return written.replace("routes:\n", f"lifecycle:\n{lifecycle_yaml(now).partition('  azure-eu')[0]}routes:\n", 1)
