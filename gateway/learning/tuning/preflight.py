"""What is found out before a single row is uploaded: whether this base can be trained by us, today, and what for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from gateway.config.model_ids import base_of
from gateway.config.routes import Provider, Routes, Target
from gateway.errors import ConfigError
from gateway.learning.datasets.trainers import Estimate, Trainable, default_epochs, estimate, where_one_can_still_train
from gateway.learning.tuning.job_client import CLOSED, JobClient
from gateway.learning.tuning.material import Material
from gateway.lifecycle.calendar import Calendar
from gateway.lifecycle.forecast_words import counted, money
from gateway.lifecycle.provider_pages import Refused
from gateway.policy.lifecycle import Dates, PublishedModels
from gateway.policy.tuning import Method
from gateway.providers.job_apis import JOB_APIS, JobApi
from gateway.reasons import Role

SHORT_LIFE_DAYS: Final = 90
"""A fine-tune that is served no longer than this is warned of."""
_ELSEWHERE: Final = 4
_EXPORTS: Final = {"bedrock": "bedrock", "fireworks": "fireworks"}
_UNKNOWN_BASE: Final = frozenset(("model_not_available", "model_not_found", "invalid_model"))


@dataclass(frozen=True, slots=True)
class Plan:
    """A job as it is about to be begun."""

    base: str
    method: Method
    material: Material
    epochs: int
    suffix: str | None
    estimate: Estimate
    warnings: tuple[str, ...]


def api_of(provider: Provider, route: str) -> JobApi:
    """Return how a provider takes jobs. Raises ``ConfigError`` where it takes none of this kind."""
    api = JOB_APIS.get(provider.kind)
    if api is not None:
        return api
    form = _EXPORTS.get(provider.kind)
    if form is not None:
        raise ConfigError(
            f"{provider.name} ({provider.kind}) takes jobs by an API of its own, which this command does not speak. "
            f"The rows as it reads them: gateway dataset export {route} --format {form}"
        )
    raise ConfigError(
        f"{provider.name} ({provider.kind}) trains nothing, as far as is known here. On your own GPU: gateway tune "
        f"{route} --on trl; kinds that train by OpenAI's API: {', '.join(JOB_APIS)}"
    )


def check_dates(
    routes: Routes, published: PublishedModels, provider: Provider, base: str, route: str, today: date
) -> tuple[date | None, list[str]]:
    """Return the first day on which the fine-tune would not be served, as far as that is known, and what to warn of.

    Raises:
        ConfigError: the base's last training day has passed; the message says where one can still train.
    """
    calendar = Calendar(routes, published)
    of_base = calendar.dates_of(_target(provider, base, None))
    of_tune = calendar.dates_of(_target(provider, f"{base} (fine-tuned)", base))
    last = of_base.last_training_day or of_tune.last_training_day
    if last is None and of_base.shutdown is not None:
        last = of_base.shutdown - timedelta(days=1)
    warnings = []
    if last is not None and today > last:
        said = f"{base} could be trained at {provider.name} until {last} ({_source(of_base, of_tune)})"
        if of_base.acts:
            raise ConfigError(f"{said}: nothing was uploaded.\n{elsewhere(route, today)}")
        warnings.append(f"{said}, as a feed says that is not always right")
    if of_tune.shutdown is not None and of_tune.shutdown <= today:
        ended = f"a fine-tune of {base} is not served at {provider.name} since {of_tune.shutdown}"
        raise ConfigError(f"{ended} ({_source(of_tune, of_base)}): nothing was uploaded.\n{elsewhere(route, today)}")
    return of_tune.shutdown, warnings


async def check_open(client: JobClient, provider: Provider, base: str, method: Method, route: str, today: date) -> None:
    """See whether the provider lets us train.

    A job of a file that does not exist tells: where training is closed to the organisation it is refused for that,
    before anything is uploaded, and elsewhere for the file.

    Raises:
        ConfigError: it is closed, the key may not, or the base is not for training there.
    """
    try:
        await client.list_jobs()
    except Refused as refused:
        raise _not_open(refused, provider, route, today) from None
    if not client.api.tells_closed:
        return
    try:
        answer = await client.asks_for_nothing(base, method)
    except Refused as odd:
        raise ConfigError(f"{provider.name}: {odd}; nothing was uploaded") from None
    if answer.status in (401, 403):
        raise _not_open(answer, provider, route, today)
    if answer.code in _UNKNOWN_BASE:
        raise ConfigError(f"{provider.name} does not train {base} ({answer}); nothing was uploaded")


def _not_open(refused: Refused, provider: Provider, route: str, today: date) -> ConfigError:
    if refused.code == CLOSED:
        return ConfigError(
            f"{provider.name} takes no fine-tuning jobs from this organisation any more ({refused}); nothing was "
            f"uploaded.\n{elsewhere(route, today)}"
        )
    if refused.status in (401, 403):
        key = provider.api_key_env or "use"
        return ConfigError(f"the key in {key} may not train at {provider.name} ({refused}); nothing was uploaded")
    if refused.status in (404, 405, 501):
        return ConfigError(f"{provider.name} has no API for fine-tuning jobs ({refused}); nothing was uploaded")
    return ConfigError(f"{provider.name}: {refused}; nothing was uploaded, try again later")


def planned(
    routes: Routes,
    provider: Provider,
    base: str,
    method: Method,
    material: Material,
    *,
    epochs: int | None,
    suffix: str | None,
    served_until: date | None,
    today: date,
) -> Plan:
    """Return what a job will be: its epochs are always named, so that what is estimated is what is asked for."""
    chosen = epochs or default_epochs(provider.kind, material.rows).count
    cost = estimate(material.tokens, chosen, provider, base, method=method, prices=routes.prices)
    warnings = [*_short_life(served_until, today, cost), *_of_material(material)]
    return Plan(base, method, material, chosen, suffix, cost, tuple(warnings))


def _short_life(served_until: date | None, today: date, cost: Estimate) -> list[str]:
    if served_until is None or (days := (served_until - today).days) >= SHORT_LIFE_DAYS:
        return []
    a_day = f": {money(cost.nanousd // days)} for each of them" if cost.nanousd and days else ""
    return [f"the fine-tune will be served for {counted(days, 'day')}, not from {served_until} on{a_day}"]


def _of_material(material: Material) -> list[str]:
    lines = [f"{counted(rows, 'training row')} left out: {why}" for why, rows in material.left_out.items()]
    if material.warnings:
        lines.append(f"{counted(len(material.warnings), 'warning')} on the rows, the first: {material.warnings[0]}")
    return lines


def elsewhere(route: str, today: date) -> str:
    """Say where one can still train, and how to take the rows there."""
    found: Sequence[Trainable] = where_one_can_still_train(today)[:_ELSEWHERE]
    return "\n".join(
        [
            "Where one can still train:",
            *(f"  {one}" for one in found),
            f"The rows for another trainer: gateway dataset export {route} --format FORMAT",
            f"For your own GPU: gateway tune {route} --on trl --base MODEL",
        ]
    )


def default_base(primary: Target | None, provider: Provider) -> str | None:
    """Return what is trained from unless somebody says: the base of the route's primary, where its kind is the same."""
    if primary is None or primary.provider.kind != provider.kind:
        return None
    return primary.base or base_of(primary.model)


def _target(provider: Provider, model: str, base: str | None) -> Target:
    return Target(name="primary", role=Role.PRIMARY, provider=provider, model=model, base=base)


def _source(*dates: Dates) -> str:
    return next((one.source for one in dates if one.source), "by its dates")
