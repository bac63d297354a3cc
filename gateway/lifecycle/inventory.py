"""What a provider's account holds: models, the fine-tunes among them, the jobs that made those, and training files.

Read once, by ``gateway init``, over the gateway's own client. Whatever the provider does not tell is left out and said
in ``notes``; only a list of models that cannot be had is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.config.model_ids import base_of
from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.lifecycle.fine_tuning_jobs import (
    WITH_JOBS,
    Job,
    day_of,
    jobs_by_model,
    read_jobs,
    step_of,
    with_files,
    without_step,
)
from gateway.lifecycle.polling import dates_source
from gateway.lifecycle.provider_pages import Progress, Reading, Refused, get_models
from gateway.policy.lifecycle import Published
from gateway.providers.openai_wire import Upstream
from gateway.providers.published import BadListing, read_models


@dataclass(frozen=True, slots=True)
class FineTune:
    """A fine-tune that lives."""

    model: str
    base: str | None
    trained: date | None
    job: Job | None = None
    checkpoints: tuple[str, ...] = ()
    """Other checkpoints of the same job that live as well."""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What an account holds."""

    provider: Provider
    models: Mapping[str, Published]
    fine_tunes: tuple[FineTune, ...]
    gone: tuple[Job, ...] = ()
    """Jobs whose model is no longer listed."""
    unfinished: int = 0
    """Jobs that are still at work."""
    notes: tuple[str, ...] = ()
    """What could not be read, and why: whole sentences."""


async def read_inventory(upstream: Upstream, today: date, progress: Progress) -> Inventory:
    """Read an account: one list of models, up to 10,000 jobs, and the state of their training files.

    Raises:
        ConfigError: the list of models cannot be had; the message says what to do.
    """
    reading = Reading(upstream, progress)
    provider = upstream.provider
    models, created = await _models(reading, today)
    jobs, unfinished = await read_jobs(reading) if provider.kind in WITH_JOBS else ([], 0)
    jobs = await with_files(reading, jobs)
    if provider.vendor.names_deployments:
        # The list tells what could be deployed: a job's model is as alive as its deployment, which has another name.
        fine_tunes = tuple(FineTune(job.model, job.base, job.finished, job) for job in jobs)
        gone: tuple[Job, ...] = ()
    else:
        by_model = await jobs_by_model(reading, models, jobs)
        fine_tunes = _living(models, created, by_model)
        alive = {fine_tune.job.id for fine_tune in fine_tunes if fine_tune.job}
        gone = tuple(job for job in jobs if job.id not in alive)
    return Inventory(provider, models, fine_tunes, gone, unfinished, tuple(reading.notes))


async def _models(reading: Reading, today: date) -> tuple[dict[str, Published], dict[str, date]]:
    provider = reading.upstream.provider
    reading.progress("models", 0, None)
    try:
        document = await get_models(reading.upstream)
        listing = read_models(provider.kind, document, today, dates_source(reading.upstream))
    except Refused as refused:
        raise ConfigError(_advice(provider, refused)) from None
    except BadListing as bad:
        raise ConfigError(f"{reading.upstream.dated_models_url}: {bad}; is this the right --base-url?") from None
    if listing.problems:
        reading.notes.append(f"{len(listing.problems)} rows of the list of models could not be read.")
    rows: list[Any] = document["data"] if isinstance(document, dict) else document
    if provider.vendor.fine_tune_rule == "own":
        # Servers of one's own say when they were asked.
        return {model.model: model for model in listing.models}, {}
    created = {row["id"]: day for row in rows if (day := day_of(row, "created")) and isinstance(row.get("id"), str)}
    return {model.model: model for model in listing.models}, created


def _advice(provider: Provider, refused: Refused) -> str:
    where = str(refused)
    key = provider.api_key_env
    if refused.status == 401:
        if key is None:
            return f"{where}: it asks for a key; name the variable that holds it with --api-key-env"
        return f"{where}: the key in {key} is not accepted; is it complete, and of this account?"
    if refused.status == 403:
        return f"{where}: the key in {key} may not list models; give it read access, or use another one"
    if refused.status == 404:
        return f"{where}: there is no list of models here; is this the right --base-url?"
    return f"{where}; try again later"


def _living(
    models: Mapping[str, Published], created: Mapping[str, date], by_model: Mapping[str, Job]
) -> tuple[FineTune, ...]:
    """Return the account's fine-tunes, one a training: the final model, else the checkpoint that came last."""
    trainings: dict[str, list[str]] = {}
    for name, published in models.items():
        job = by_model.get(name)
        if job or published.base or base_of(name):
            trainings.setdefault(job.id if job else without_step(name), []).append(name)
    found = []
    for names in trainings.values():
        chosen, *others = sorted(names, key=lambda name: (without_step(name) != name, -step_of(name)))
        job = by_model.get(chosen)
        base = base_of(chosen) or models[chosen].base or (job.base if job else None)
        trained = (job.finished if job else None) or created.get(chosen)
        found.append(FineTune(chosen, base, trained, job, tuple(others)))
    return tuple(found)
