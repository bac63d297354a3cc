"""What ``gateway tune`` says: of costs beforehand, of how to go on, and of what came of a job."""

import re
from collections.abc import Iterator
from typing import Any

from gateway.config.findings import printable
from gateway.config.routes import Provider, Route
from gateway.learning.tuning.preflight import Plan
from gateway.lifecycle.forecast_words import counted, money
from gateway.policy.promotion import Version
from gateway.policy.tuning import AT_PROVIDER, TuningJob, TuningState
from gateway.providers.job_apis import JobApi


def beforehand(route: Route, provider: Provider, plan: Plan) -> Iterator[str]:
    """Yield what a person must know before rows are sent, and money is spent."""
    material, cost = plan.material, plan.estimate
    held = f", {counted(material.validation_rows, 'row')} to validate with" if material.validation_rows else ""
    yield f"{route.name}: {counted(material.rows, 'training row')}{held} ({material.manifest.dataset_hash[:19]}…)"
    where = f"{provider.name} ({provider.kind})"
    yield f"trained from {plan.base} at {where}, by {plan.method}, {counted(plan.epochs, 'epoch')}"
    for warning in plan.warnings:
        yield f"warning: {printable(warning)}"
    tokens = f"about {cost.tokens:,} tokens are trained on"
    if cost.nanousd is None or cost.usd_per_1m is None:
        yield f"{tokens}; {cost.source}"
        return
    read = f", read {cost.read}" if cost.read else ""
    least = f", the least that a job costs being ${cost.minimum_usd}" if cost.minimum_usd else ""
    yield f"{tokens}: about {money(cost.nanousd)} at ${cost.usd_per_1m} per million{least} ({cost.source}{read})"


def beyond_the_cap(cost_nanousd: int, cap_nanousd: int) -> str:
    """Say that a job costs more than it may."""
    return (
        f"that is beyond --max-usd {cap_nanousd / 10**9:g}: about {money(cost_nanousd)}; fewer rows or --epochs cost "
        "less. Nothing was uploaded"
    )


def resumed(job: TuningJob) -> str:
    """Say that an earlier command's job is gone on with."""
    return (
        f"going on with job {job.job_id}, begun {job.created_at:%Y-%m-%d %H:%M} UTC by {printable(job.by)}: {job.base} "
        f"at {job.provider}, {job.method}, as it was planned then; it is {job.state.value}"
    )


def known_already(job: TuningJob, version: Version | None) -> str:
    """Say that the same was trained before."""
    what = f"{version.name} of {job.route}" if version is not None else f"job {job.job_id}"
    return f"{what} was trained on these very rows, with these settings: nothing was begun; --again trains it once more"


def under_way(job: TuningJob) -> list[str]:
    """Say how to go on with a job that this command leaves running, and how to end it."""
    where = f" as {printable(job.provider_job)}" if job.provider_job else ""
    has_it = job.state in AT_PROVIDER or job.provider_job is not None
    stands = f"it goes on at {job.provider}{where}" if has_it else "the provider has nothing of it that runs"
    return [
        f"job {job.job_id} is {job.state.value}; {stands}",
        f"go on:  gateway tune {job.route}",
        f"look:   gateway tune {job.route} --status",
        f"end it: gateway tune {job.route} --cancel",
    ]


def outcome(job: TuningJob, version: Version | None, api: JobApi) -> list[str]:
    """Say what came of a job, and what to do next."""
    if job.state is not TuningState.SUCCEEDED:
        said = f": {printable(job.error)}" if job.error else ""
        return [f"job {job.job_id} of {job.route} {_ENDED[job.state]}{said}"]
    model = printable(job.model) if job.model else "a model that the provider does not name"
    lines = [f"{job.route}: {model} is trained", *_bill(job)]
    if version is None:
        return [*lines, *_to_deploy(job, api)]
    if api.deploys and not api.deployment_is_named:
        lines.append(f"before it can be called: {api.deploys}")
    return [*lines, *_next(job.route, version)]


_ENDED = {TuningState.FAILED: "failed", TuningState.CANCELLED: "was cancelled"}


def _bill(job: TuningJob) -> list[str]:
    if job.trained_tokens is None:
        return []
    estimated = f", estimated {job.estimated_tokens:,}" if job.estimated_tokens is not None else ""
    line = f"trained tokens: {job.trained_tokens:,}{estimated}"
    if job.billed_nanousd is None:
        return [f"{line}; {job.settings.get('price_source') or 'no price known'}"]
    before = f", estimated {money(job.estimated_nanousd)}" if job.estimated_nanousd is not None else ""
    return [f"{line}; billed: {money(job.billed_nanousd)}{before}"]


def _to_deploy(job: TuningJob, api: JobApi) -> list[str]:
    if not api.deployment_is_named:
        return []
    return [
        f"before it can be called: {api.deploys}",
        f"then say under which name: gateway tune {job.route} --on {job.provider} --deployment NAME",
    ]


def _next(route: str, version: Version) -> list[str]:
    return [
        f"it is {version.name} of {route}, and serves nobody yet. Next:",
        f"  gateway evaluate {route} --version {version.name}",
        f"  gateway promote {route} {version.name} --canary 5%",
    ]


def adapted(route: str, version: Version, provider: str, path: str) -> list[str]:
    """Say what became of an adapter."""
    return [
        f"{provider} serves {printable(version.model)}, an adapter of {printable(version.base or 'an unnamed base')}",
        f"a server that starts anew has forgotten it: start it with --lora-modules {printable(version.model)}={path}",
        *_next(route, version),
    ]


def as_object(
    job: TuningJob, *, resumed: bool = False, version: Version | None = None, api: JobApi | None = None
) -> dict[str, Any]:
    """Return a job as JSON has it."""
    waits = job.state is TuningState.SUCCEEDED and version is None and api is not None and api.deployment_is_named
    return {
        "route": job.route,
        "job": job.job_id,
        "state": job.state.value,
        "resumed": resumed,
        "provider": job.provider,
        "provider_job": job.provider_job,
        "provider_status": job.settings.get("provider_status"),
        "base": job.base,
        "method": job.method,
        "epochs": job.settings.get("epochs"),
        "dataset_hash": job.dataset_hash,
        "model": job.model,
        "version": version.name if version is not None else None,
        "waits_for_deployment": waits,
        "estimated_tokens": job.estimated_tokens,
        "estimated_usd": _usd(job.estimated_nanousd),
        "trained_tokens": job.trained_tokens,
        "billed_usd": _usd(job.billed_nanousd),
        "error": job.error,
        "by": job.by,
        "created_at": job.created_at.isoformat(),
        "changed_at": job.changed_at.isoformat(),
    }


def _usd(nanousd: int | None) -> float | None:
    return None if nanousd is None else nanousd / 10**9


def lasting(seconds: float) -> str:
    """Say how long something has lasted."""
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def suffix_of(name: str) -> str:
    """Return a name as vendors take it within a model's: lower case, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
