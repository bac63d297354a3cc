"""Drafts routes for an account's fine-tunes: their names, their dates, and who answers when they are gone. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import chain, count
from typing import Protocol

from gateway.config.routes import Target
from gateway.lifecycle.fine_tuning_jobs import Job
from gateway.lifecycle.inventory import FineTune, Inventory
from gateway.policy.lifecycle import UNKNOWN_DATES, Dates
from gateway.reasons import Role

_UNSAFE = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 80
_RENAMES_LIMIT = re.compile(r"gpt-(?:[5-9]|\d\d)\b|o\d\b")
_OPENAI_KINDS = frozenset(("openai", "azure", "sandbox"))
# What OpenAI names as the successor of everything that ends in 2027; taken only where it is for sale.
_SUCCESSOR = "gpt-6-luna"
_WORTH_MOVING_TO = timedelta(days=365)


class DatesOf(Protocol):
    """Whoever knows when a target stops: the calendar."""

    def dates_of(self, target: Target) -> Dates:
        """Return what is known of a target's dates."""


@dataclass(frozen=True, slots=True)
class DraftRoute:
    """One line of the draft."""

    name: str
    fine_tune: FineTune
    model: str
    """What to ask for: the fine-tune; or, where deployments have names of their own, a word to be replaced."""
    dates: Dates
    fallback: str | None
    """The model that answers instead."""


@dataclass(frozen=True, slots=True)
class Group:
    """Routes that stop together: one base, one day."""

    base: str | None
    dates: Dates
    routes: tuple[DraftRoute, ...]


@dataclass(frozen=True, slots=True)
class Fallback:
    """A model that takes over; ``name`` is what routes call it."""

    name: str
    model: str
    base: str | None = None
    """Where ``model`` is a word to be replaced: the model that is meant."""
    renames_limit: bool = False
    """Whether it wants ``max_completion_tokens`` where callers say ``max_tokens``."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything that goes into the file."""

    inventory: Inventory
    today: date
    groups: tuple[Group, ...]
    fallbacks: Mapping[str, Fallback]
    """By model; the first is the usual one."""
    gone: tuple[tuple[str, Job], ...]
    """With the name that a route for its task could have."""
    notes: tuple[str, ...] = ()

    @property
    def routes(self) -> tuple[DraftRoute, ...]:
        """Every route, in the order of the file."""
        return tuple(route for group in self.groups for route in group.routes)

    @property
    def names(self) -> tuple[str, ...]:
        """The routes that the file will have; where every fine-tune is gone, those of the tasks that are left."""
        if self.routes:
            return tuple(route.name for route in self.routes)
        return tuple(name for name, _ in self.gone) if self.fallbacks else ()


def draft(inventory: Inventory, calendar: DatesOf, today: date, fallback: str | None) -> Draft:
    """Return the draft; ``fallback`` is a model that the operator chose."""
    dates = {tune.model: calendar.dates_of(_target(inventory, tune.model, tune.base)) for tune in inventory.fine_tunes}
    usual = fallback or _usual_fallback(inventory, calendar, today, dates.values())
    newest_first = sorted(inventory.fine_tunes, key=lambda tune: tune.trained or date.min, reverse=True)
    names = _Names()
    routes = [
        _route(inventory, tune, names.give(tune, tune.trained), dates[tune.model], fallback, usual)
        for tune in newest_first
    ]
    models = Counter(route.fallback for route in routes if route.fallback)
    if not routes and usual:
        models[usual] += 1
    return Draft(
        inventory,
        today,
        _groups(routes),
        {model: _fallback(inventory, model) for model, _ in models.most_common()},
        tuple((names.give(job, job.finished), job) for job in inventory.gone),
        tuple(_notes(inventory, calendar, usual, fallback)),
    )


def _target(inventory: Inventory, model: str, base: str | None) -> Target:
    return Target(name="primary", role=Role.PRIMARY, provider=inventory.provider, model=model, base=base)


def _route(
    inventory: Inventory, tune: FineTune, name: str, dates: Dates, chosen: str | None, usual: str | None
) -> DraftRoute:
    deployed = inventory.provider.vendor.names_deployments
    parent = tune.base if inventory.provider.vendor.fine_tune_rule == "own" else None
    # Whoever serves adapters serves their base as well: it is there already, and knows the fine-tune's language.
    fallback = chosen or (parent if parent in inventory.models else usual)
    return DraftRoute(name, tune, f"DEPLOYMENT-OF-{name}" if deployed else tune.model, dates, fallback)


def _fallback(inventory: Inventory, model: str) -> Fallback:
    renames = inventory.provider.kind in _OPENAI_KINDS and _RENAMES_LIMIT.match(model) is not None
    # Pins are ROUTE@primary, ROUTE@fallback and ROUTE@DAY: no fallback may be called so.
    name = _slug(model) if any(letter.isalpha() for letter in _slug(model)) else f"model-{_slug(model)}"
    name = f"{name}-model" if name in ("primary", "fallback") else name
    if inventory.provider.vendor.names_deployments:
        return Fallback(name, f"DEPLOYMENT-OF-{model}", model, renames)
    return Fallback(name, model, None, renames)


def _usual_fallback(inventory: Inventory, calendar: DatesOf, today: date, dates: Iterable[Dates]) -> str | None:
    """Return what the vendor names as replacement most often, where that lives on; else its newest, if it is sold."""
    named = Counter(date_row.replacement for date_row in dates if date_row.replacement)
    for model, _ in named.most_common():
        shutdown = calendar.dates_of(_target(inventory, model, None)).shutdown
        if shutdown is None or shutdown > today + _WORTH_MOVING_TO:
            return model
    return _SUCCESSOR if inventory.provider.kind in _OPENAI_KINDS and _SUCCESSOR in inventory.models else None


def _notes(inventory: Inventory, calendar: DatesOf, usual: str | None, chosen: str | None) -> Iterable[str]:
    yield from inventory.notes
    if inventory.unfinished:
        yield f"{inventory.unfinished} fine-tuning jobs are still at work: run this again when they are done."
    provider = inventory.provider
    if provider.vendor.names_deployments:
        yield (
            "Deployments have names of their own, which the fine-tuning jobs do not tell: replace every "
            "DEPLOYMENT-OF-… by the name that you gave it."
        )
        return
    if usual is None:
        if not any(tune.base in inventory.models for tune in inventory.fine_tunes):
            yield "No fallback was found: name a model with --fallback, or routes end when their fine-tune does."
        return
    if usual not in inventory.models:
        yield f"{usual} is not in this account's list of models: see that you may use it before you rely on it."
    shutdown = calendar.dates_of(_target(inventory, usual, None)).shutdown
    if chosen and shutdown:
        yield f"The fallback {chosen} stops as well, on {shutdown.isoformat()}."


def _groups(routes: Sequence[DraftRoute]) -> tuple[Group, ...]:
    """Group by base and day, what stops first first; within a group by name."""
    together: dict[tuple[str | None, date | None], list[DraftRoute]] = {}
    for route in sorted(routes, key=lambda route: route.name):
        together.setdefault((route.fine_tune.base, route.dates.shutdown), []).append(route)
    ordered = sorted(together.items(), key=lambda item: (item[0][1] or date.max, -len(item[1]), item[0][0] or ""))
    return tuple(Group(base, rows[0].dates or UNKNOWN_DATES, tuple(rows)) for (base, _), rows in ordered)


class _Names:
    """Gives each fine-tune a name of its own; of several with one suffix the newest, asked first, gets it plain."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, of: FineTune | Job, trained: date | None) -> str:
        plain = _plain_name(of)
        dated = (f"{plain}-{trained:%Y%m%d}",) if trained else ()
        numbered = (f"{plain}-{number}" for number in count(2))
        name = next(name for name in chain((plain,), dated, numbered) if name not in self._given)
        self._given.add(name)
        return name


def _plain_name(of: FineTune | Job) -> str:
    job = of if isinstance(of, Job) else of.job
    parts = of.model.split(":")
    suffix = (job.suffix if job else None) or ""
    identity = parts[-1]
    if parts[0] == "ft" and len(parts) >= 5:
        suffix, identity = suffix or parts[3], parts[4]
    elif not suffix and ".ft-" in of.model:
        suffix = of.model.partition(".ft-")[2].partition("-")[2]
    elif not suffix:
        suffix = of.model.rsplit("/", 1)[-1]
    name = _slug(suffix)
    if any(letter.isalpha() for letter in name):
        return name
    # A date, a number or nothing says too little: the base says what kind of model it is at least.
    return _slug("-".join(filter(None, (of.base or "model", name, identity if not name else "")))) or "model"


def _slug(text: str) -> str:
    return _UNSAFE.sub("-", text.rsplit("/", 1)[-1].lower()).strip("-")[:_LONGEST_NAME].strip("-")
