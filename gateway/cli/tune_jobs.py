"""``gateway tune ROUTE --status`` and ``--cancel``: jobs looked at, and ended."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import typer

from gateway.cli import tune_words as words
from gateway.cli.aligned import aligned
from gateway.cli.tune_run import Tuning, client_of
from gateway.cli.tune_wish import Opened, Told, TuneWish, opened
from gateway.config.findings import printable
from gateway.errors import ConfigError
from gateway.learning.lease import Lease, held
from gateway.learning.tuning.runner import TuningRun
from gateway.lifecycle.forecast_words import money
from gateway.lifecycle.provider_pages import Refused
from gateway.policy.tuning import ENDED, TuningJob, TuningState, after
from gateway.store.tuning import TuningStore
from gateway.store.versions import VersionStore


async def status(wish: TuneWish, url: str) -> Told:
    """Return a route's jobs, the newest first; those under way are looked at, unless another command is at work."""
    async with opened(wish, url) as work, AsyncExitStack() as stack:
        store = TuningStore(work.database)
        if await store.unfinished(wish.route.name) and (lease := await _lease(stack, work, wish)) is not None:
            await _look(work, wish, lease)
        jobs = await store.of_route(wish.route.name)
        versions = await VersionStore(work.database).of_route(wish.route.name)
        names = {version.job_id: version.name for version in versions if version.job_id is not None}
        names |= {job.job_id: str(name) for job in jobs if (name := job.settings.get("registered_as"))}
        rows = [{**words.as_object(job), "version": names.get(job.job_id)} for job in jobs]
        lines = _table(jobs, names) if jobs else [f"{wish.route.name} has no fine-tuning jobs"]
        return Told(lines, {"route": wish.route.name, "jobs": rows})


async def cancel(wish: TuneWish, url: str, named: str | None) -> Told:
    """End a job; where another command is at work on it, its provider is asked all the same."""
    async with opened(wish, url) as work, AsyncExitStack() as stack:
        job = _chosen(await TuningStore(work.database).unfinished(wish.route.name), wish.route.name, named)
        job = await _wished(work, job)
        if job.state in ENDED:
            return Told([f"job {job.job_id} has {job.state.value} already"], words.as_object(job))
        lease = await _lease(stack, work, wish)
        if lease is None:
            return Told(await _asked(work, wish, job), words.as_object(job))
        told = await Tuning(work, wish, lease).drive(job, resumed=True)
        # It was what was wished for.
        return Told(
            told.lines, told.as_object, 0 if told.as_object["state"] == TuningState.CANCELLED else told.exit_code
        )


async def _wished(work: Opened, job: TuningJob) -> TuningJob:
    """Write that a job is to end, whoever else writes."""
    store = TuningStore(work.database)
    while job.state not in ENDED:
        changed = await store.change(job, work.clock.now(), state=TuningState.CANCELLING)
        if changed is not None:
            return changed
        found = await store.find(job.job_id)
        if found is None:
            raise ConfigError(f"job {job.job_id} is not in the database any more")
        job = found
    return job


async def _asked(work: Opened, wish: TuneWish, job: TuningJob) -> list[str]:
    """Ask the provider beside the command that has the lease: that may be dead, and what runs on is paid for."""
    left = f"if that was killed, `gateway tune {job.route} --cancel` goes on in a minute"
    if job.provider_job is None:
        return [f"job {job.job_id} is to be cancelled: the command that is at work on it sees to that; {left}"]
    try:
        await client_of(work, wish, job).cancel(job.provider_job)
    except (Refused, ConfigError) as trouble:
        told = printable(str(trouble))
        return [
            f"job {job.job_id} is to be cancelled, and {job.provider} did not do so at once ({told})",
            f"the command that is at work on it tries again; {left}",
        ]
    return [
        f"job {job.job_id} is to be cancelled: {job.provider} was asked to",
        f"the command that is at work on it sees what becomes of it; {left}",
    ]


async def _look(work: Opened, wish: TuneWish, lease: Lease) -> None:
    tuning = Tuning(work, wish, lease)
    for job in await TuningStore(work.database).unfinished(wish.route.name):
        if job.provider not in wish.routes.providers:
            continue
        runner = TuningRun(TuningStore(work.database), client_of(work, wish, job), work.clock, tuning.files)
        changed = await runner.look_once(job)
        if changed.state in ENDED:
            await tuning.ended(changed, resumed=True)


async def _lease(stack: AsyncExitStack, work: Opened, wish: TuneWish) -> Lease | None:
    """Return the route's lease; None: another command has it."""
    try:
        return await stack.enter_async_context(held(work.database, work.clock, f"tune:{wish.route.name}"))
    except ConfigError:
        return None


def _chosen(jobs: Sequence[TuningJob], route: str, named: str | None) -> TuningJob:
    fitting = [job for job in jobs if named is None or named in (job.job_id, job.provider_job)]
    if not fitting:
        what = f"no job {named!r} that has not ended" if named else "no job that has not ended"
        raise typer.BadParameter(f"{route} has {what}", param_hint="--cancel")
    return fitting[0]


def _table(jobs: Sequence[TuningJob], names: dict[str, str]) -> list[str]:
    rows: list[Sequence[Any]] = [("job", "begun", "at", "base", "state", "tokens", "cost", "version")]
    for job in jobs:
        cost = job.billed_nanousd if job.billed_nanousd is not None else job.estimated_nanousd
        about = "" if job.billed_nanousd is not None else "about "
        tokens = job.trained_tokens or job.estimated_tokens
        rows.append(
            (
                job.job_id,
                f"{job.created_at:%Y-%m-%d %H:%M}",
                job.provider,
                printable(job.base),
                _state(job),
                f"{'' if job.trained_tokens else 'about '}{tokens:,}" if tokens else "-",
                f"{about}{money(cost)}" if cost is not None else "-",
                names.get(job.job_id) or "-",
            )
        )
    failed = [f"{job.job_id}: {printable(job.error)}" for job in jobs if job.error and job.state is TuningState.FAILED]
    return [*aligned(rows), *failed]


def _state(job: TuningJob) -> str:
    own = str(job.settings.get("provider_status") or "")
    known = own.lower() in ("", job.state.value) or after(job.state, None) in ENDED
    return job.state.value if known else f"{job.state.value} ({printable(own)})"
