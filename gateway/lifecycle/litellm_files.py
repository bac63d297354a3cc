"""An imported draft as routes.yaml, with its comments. Pure.

Names and models come from anybody's config: in YAML they are quoted unless they are plain, and in comments they stay on
their line.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from gateway.lifecycle.litellm_accounts import Account
from gateway.lifecycle.litellm_draft import DraftRoute, DraftTarget, ImportedDraft
from gateway.lifecycle.litellm_notes import Notes, Place, Verdict, lines_of
from gateway.lifecycle.litellm_targets import Price
from gateway.lifecycle.yaml_text import comment, key, quoted, scalar, shown

_COMMENT_COLUMN: Final = 60
_LONGEST_LINE: Final = 112
_PROMPT: Final = (
    '# prompt: {instructions_file: "prompts/{route}.md"}   # in the place of a fine-tune it needs one: yours to write'
)
_FALLBACK_ON: Final = "[gone, no_access, connection, timeout, overloaded, server_error, rate_limited, quota]"


def routes_yaml(draft: ImportedDraft, notes: Notes, today: date) -> str:
    """Return the file."""
    lines = [
        *comment(
            f"Drafted by `gateway import litellm` on {today.isoformat()} from {draft.source}; line N is its line.", ""
        ),
        "# Every key, explained: routes.reference.yaml. What has no counterpart here is at the end.",
        "version: 1",
        "",
        *_providers(draft),
        *_fallbacks(draft),
        *_defaults(draft),
        *_routes(draft),
        *_prices(draft),
        *_webhooks(draft),
        *_rest(draft, notes),
    ]
    return "\n".join(lines) + "\n"


def _providers(draft: ImportedDraft) -> Iterator[str]:
    yield "providers:                 # keys are never written here: api_key_env names the variable that holds one"
    for name, account in draft.providers.items():
        first, *rest = _entry(name, _provider(account, draft.variables.get(name)))
        yield f"{first}   # TO FILL IN" if _is_open(account) else first
        yield from rest
    yield ""


def _is_open(account: Account) -> bool:
    return account.project == "YOUR-PROJECT" or (account.base_url or "").endswith(".invalid")


def _provider(account: Account, variable: str | None) -> dict[str, str | None]:
    return {
        "kind": scalar(account.kind),
        "base_url": quoted(account.base_url) if account.base_url else None,
        "api_key_env": variable,
        "api_key_file": quoted(account.key_file) if account.key_file else None,
        "identity": account.identity,
        "api_version": quoted(account.api_version) if account.api_version else None,
        "region": account.region,
        "project": quoted(account.project) if account.project else None,
        "location": account.location,
    }


def _fallbacks(draft: ImportedDraft) -> Iterator[str]:
    if not draft.fallbacks:
        return
    for_fine_tunes = {
        name for route in draft.routes if route.primary and route.primary.is_fine_tune for name in route.fallbacks
    }
    yield "fallbacks:                 # who answers instead, each written once; {route} is the route's name"
    for name, target in draft.fallbacks.items():
        yield f"  {key(name)}:"
        yield f"    provider: {scalar(target.provider)}"
        yield f"    model: {scalar(target.model)}"
        if target.base:
            yield f"    base: {scalar(target.base)}"
        if target.space:
            yield f"    embedding_space: {scalar(target.space)}"
        if name in for_fine_tunes:
            yield f"    {_PROMPT}"
        yield from _added(target, "    ")
    yield ""


def _defaults(draft: ImportedDraft) -> Iterator[str]:
    lines = []
    if draft.usual_provider:
        lines.append(f"  provider: {scalar(draft.usual_provider)}")
    if draft.usual_fallbacks:
        lines.append(f"  fallbacks: [{', '.join(map(_inner, draft.usual_fallbacks))}]")
    if draft.fallbacks:
        lines.append("  # Without the last two a provider's 429 is passed on; LiteLLM falls back then, too.")
        lines.append(f"  fallback_on: {_FALLBACK_ON}")
    if draft.timeouts:
        lines.append(f"  timeouts: {_timeouts(draft.timeouts)}")
    if lines:
        yield "defaults:                  # under every route; a route says only what differs"
        yield from lines
        yield ""


def _routes(draft: ImportedDraft) -> Iterator[str]:
    yield "routes:                    # the names that applications send as `model`, as before"
    for route in draft.routes:
        first, *rest = _entry(route.name, _route(route, draft))
        yield f"{first:<{_COMMENT_COLUMN}}   # {_line(route.at, draft)}"
        yield from rest
        if route.primary:
            yield from _added(route.primary, "    " if rest else "  ")


def _entry(name: str, settings: str | Mapping[str, str | None]) -> list[str]:
    """Return a mapping's entry on one line, or on several where one would be too long."""
    line = f"  {key(name)}: {settings if isinstance(settings, str) else _flow(settings)}"
    if isinstance(settings, str) or len(line) <= _LONGEST_LINE:
        return [line]
    return [f"  {key(name)}:", *(f"    {inner}: {value}" for inner, value in settings.items() if value is not None)]


def _route(route: DraftRoute, draft: ImportedDraft) -> str | dict[str, str | None]:
    settings: dict[str, str | None] = {"primary": _primary(route.primary, draft.usual_provider)}
    if route.fallbacks != draft.usual_fallbacks:
        settings["fallbacks"] = f"[{', '.join(map(_inner, route.fallbacks))}]"
    if route.timeouts:
        settings["timeouts"] = _timeouts(route.timeouts)
    short = route.primary is not None and not (route.primary.base or route.primary.space)
    if len(settings) == 1 and short and route.primary and route.primary.provider == draft.usual_provider:
        return scalar(route.primary.model)
    return settings


def _primary(target: DraftTarget | None, usual: str | None) -> str:
    if target is None:
        return "null"
    if target.provider == usual and not target.base and not target.space:
        return _inner(target.model)
    settings = {
        "provider": _inner(target.provider) if target.provider != usual else None,
        "model": _inner(target.model),
        "base": _inner(target.base) if target.base else None,
        "embedding_space": _inner(target.space) if target.space else None,
    }
    return _flow(settings)


def _added(target: DraftTarget, indent: str) -> Iterator[str]:
    """Yield what LiteLLM would add, as a comment: set here, it would overrule callers."""
    if target.defaults:
        values = ", ".join(f"{name}: {value}" for name, value in target.defaults)
        yield from comment(f"LiteLLM adds where callers send none: parameters: {{set: {{{values}}}}}", indent)


def _prices(draft: ImportedDraft) -> Iterator[str]:
    if not any(draft.prices.values()):
        return
    yield ""
    yield "prices:                    # US dollars per million tokens"
    for provider, models in draft.prices.items():
        yield f"  {key(provider)}:"
        for model, price in models.items():
            yield f"    {key(model)}: {_price(price)}"


def _price(price: Price) -> str:
    return _flow(
        {
            "input_usd_per_1m": _number(price.input_usd),
            "cached_input_usd_per_1m": None if price.cached_usd is None else _number(price.cached_usd),
            "output_usd_per_1m": _number(price.output_usd),
            "source": "LiteLLM config",
        }
    )


def _webhooks(draft: ImportedDraft) -> Iterator[str]:
    if draft.tells_slack:
        yield ""
        yield "webhooks:                  # who is told before a model stops, and whenever a route moves"
        yield "  slack: {url_env: SLACK_WEBHOOK_URL}"


def _rest(draft: ImportedDraft, notes: Notes) -> Iterator[str]:
    for title, verdict in (("To fill in", Verdict.OPEN), ("Without a counterpart here", Verdict.MISSING)):
        found = notes.of(verdict)
        if found:
            yield ""
            yield f"# {title}:"
        for note in found:
            lines = lines_of(note.places, draft.source, most=3)
            yield from comment(f"line {lines}: {note.about}: {note.text}", "", "    ")


def _line(place: Place, draft: ImportedDraft) -> str:
    return (
        f"line {lines_of([place], draft.source)}" if place.file == draft.source else shown(f"{place.file}:{place.line}")
    )


def _timeouts(timeouts: Mapping[str, Decimal]) -> str:
    return _flow({name: _number(value) for name, value in timeouts.items()})


def _flow(settings: Mapping[str, str | None]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in settings.items() if value is not None)}}}"


def _inner(text: str) -> str:
    return scalar(text, inner=True)


def _number(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
