"""``gateway tune ROUTE --on PROVIDER``: a job begun, or the one that is under way taken up, and driven to its end."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import typer

from gateway.cli import tune_words as words
from gateway.cli.cutover import whoami
from gateway.cli.tune_progress import shown_progress
from gateway.cli.tune_wish import STOPPED, Opened, Told, TuneWish, opened
from gateway.clock import time_ordered_id
from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.learning.lease import Lease, held
from gateway.learning.tuning.holdings import lineage_row
from gateway.learning.tuning.job_client import JobClient
from gateway.learning.tuning.material import Material, form_of, material_of, trained_systems
from gateway.learning.tuning.preflight import Plan, api_of, check_dates, check_open, default_base, planned
from gateway.learning.tuning.registering import Registrar
from gateway.learning.tuning.runner import TuningRun
from gateway.policy.tuning import ENDED, TuningJob, TuningState
from gateway.providers.job_apis import JobApi
from gateway.store.datasets import DatasetStore
from gateway.store.published import PublishedStore
from gateway.store.tuning import TuningStore

_EXIT_CODES: Final = {TuningState.SUCCEEDED: 0, TuningState.FAILED: 1, TuningState.CANCELLED: 1}


async def run(wish: TuneWish, url: str) -> Told:
    """Do what is wished.

    Raises:
        ConfigError: it may not, or cannot; what was done so far is written down.
        BadParameter: the wish is none, or nobody is there to agree.
    """
    async with opened(wish, url) as work, held(work.database, work.clock, f"tune:{wish.route.name}") as lease:
        return await Tuning(work, wish, lease).run()


class Tuning:
    """One command at work on one route; it holds the route's lease."""

    def __init__(self, work: Opened, wish: TuneWish, lease: Lease) -> None:
        self._work, self._wish, self._lease = work, wish, lease
        self._store = TuningStore(work.database)
        self._registrar = Registrar(work.database, wish.route, work.clock)

    async def run(self) -> Told:
        """Finish what an earlier command left, or else begin."""
        ended = await self._registrar.waiting()
        if ended and not self._wish.again:
            return await self.ended(ended[0], resumed=True)
        if self._wish.deployment is not None:
            raise typer.BadParameter("no job of this route waits for a deployment", param_hint="--deployment")
        unfinished = await self._store.unfinished(self._wish.route.name)
        if unfinished:
            return await self._resumed(unfinished[-1])
        provider = self._wish.provider()
        job = await self._begun(provider, api_of(provider, self._wish.route.name))
        return job if isinstance(job, Told) else await self.drive(job, resumed=False)

    async def _resumed(self, job: TuningJob) -> Told:
        if self._wish.on is not None and self._wish.on != job.provider:
            raise ConfigError(
                f"job {job.job_id} of {job.route} at {job.provider} has not ended: go on with it by `gateway tune "
                f"{job.route}`, or end it by `gateway tune {job.route} --cancel`"
            )
        typer.echo(words.resumed(job), err=True)
        return await self.drive(job, resumed=True)

    async def drive(self, job: TuningJob, *, resumed: bool) -> Told:
        """Drive a job to its end, or as far as is wished, and register what comes of it."""
        with shown_progress(self._work.clock, quiet=self._wish.quiet) as show, _interrupts() as stop:
            runner = TuningRun(
                self._store,
                client_of(self._work, self._wish, job),
                self._work.clock,
                self.files,
                on_progress=show,
                stop=stop,
            )
            job = await runner.run(job, wait=self._wish.wait)
        if job.state in ENDED:
            return await self.ended(job, resumed=resumed)
        return Told(words.under_way(job), words.as_object(job, resumed=resumed), STOPPED if stop.is_set() else 0)

    async def ended(self, job: TuningJob, *, resumed: bool) -> Told:
        """Return what came of a job; its model becomes a version, unless it has to be deployed first."""
        provider, version = self._wish.named(job.provider), None
        api = api_of(provider, job.route)
        if job.state is TuningState.SUCCEEDED:
            version = await self._registrar.register_job(job, provider, self._wish.deployment)
        told = words.as_object(job, resumed=resumed, version=version, api=api)
        return Told(words.outcome(job, version, api), told, _EXIT_CODES[job.state])

    async def files(self, job: TuningJob) -> Mapping[str, bytes]:
        """Return what is to be uploaded: the very rows that the job was planned with."""
        directory, form = Path(job.settings["dataset"]), str(job.settings["format"])
        material = await self._material(directory, form, job.base)
        if material.manifest.dataset_hash != job.dataset_hash:
            raise ConfigError(
                f"{job.settings['dataset']} holds another data set now than job {job.job_id} was planned with: end "
                f"that job (gateway tune {job.route} --cancel), and begin anew"
            )
        second = {job.validation_name: material.validation} if job.validation_name and material.validation else {}
        return {job.file_name: material.training, **second}

    async def _material(self, directory: Path, form: str, base: str) -> Material:
        route = self._wish.route
        material = await asyncio.to_thread(material_of, directory, form_of(form), base, route.name, route.tenant)
        deleted = await DatasetStore(self._work.database).deleted_since(material.manifest.built_at)
        if not deleted.isdisjoint(material.manifest.input_ids):
            raise ConfigError(
                f"{directory} holds rows that were deleted at somebody's wish since it was built: "
                f"gateway dataset build {self._wish.route.name}"
            )
        return material

    async def _begun(self, provider: Provider, api: JobApi) -> TuningJob | Told:
        plan = await self._planned(provider, api)
        if not self._wish.again and (known := await self._known(provider, plan)) is not None:
            return await self._trained_already(known, api)
        _agree(self._wish, provider, plan)
        # While a person was asked, nothing else went on.
        await self._lease.renew()
        now = self._work.clock.now()
        price, least = plan.estimate.usd_per_1m, plan.estimate.minimum_usd
        job = TuningJob(
            job_id=time_ordered_id(now),
            route=self._wish.route.name,
            tenant=self._wish.route.tenant or "",
            provider=provider.name,
            base=plan.base,
            method=plan.method,
            dataset_hash=plan.material.manifest.dataset_hash,
            state=TuningState.PLANNED,
            by=whoami(),
            created_at=now,
            changed_at=now,
            settings={
                "dataset": str(self._wish.directory),
                "format": plan.material.form.name,
                "validation": plan.material.validation is not None,
                "rows": plan.material.rows,
                "epochs": plan.epochs,
                "suffix": plan.suffix,
                "usd_per_1m": None if price is None else str(price),
                "minimum_usd": None if least is None else str(least),
                "price_source": plan.estimate.source,
                "trained_system": list(trained_systems(plan.material.manifest)),
            },
            estimated_tokens=plan.estimate.tokens,
            estimated_nanousd=plan.estimate.nanousd,
        )
        # Also where it was built elsewhere: a deletion has to know whose rows are at the provider.
        await DatasetStore(self._work.database).keep(lineage_row(plan.material.manifest))
        await self._store.add(job)
        return job

    async def _planned(self, provider: Provider, api: JobApi) -> Plan:
        """Find out everything that can be found out before anything is sent."""
        wish, today = self._wish, self._work.clock.now().date()
        base = wish.base or default_base(wish.route.primary, provider)
        if base is None:
            raise typer.BadParameter(f"say what {provider.name} is to train from", param_hint="--base")
        if wish.method not in api.methods:
            raise ConfigError(f"{provider.name} ({provider.kind}) does not train by preferences: --method sft")
        form = api.format if wish.method == "sft" else api.preferences
        material = await self._material(wish.directory, form, base)
        published = await PublishedStore(self._work.database).all()
        served_until, warnings = check_dates(wish.routes, published, provider, base, wish.route.name, today)
        client = JobClient(self._work.upstream(provider), api, self._work.clock)
        await check_open(client, provider, base, wish.method, wish.route.name, today)
        suffix = wish.suffix or words.suffix_of(wish.route.name_in_files)
        plan = planned(
            wish.routes,
            provider,
            base,
            wish.method,
            material,
            epochs=wish.epochs,
            suffix=suffix[: api.longest_suffix].strip("-") or None,
            served_until=served_until,
            today=today,
        )
        return replace(plan, warnings=(*warnings, *plan.warnings))

    async def _known(self, provider: Provider, plan: Plan) -> TuningJob | None:
        """Return the job that trained the very same, where there is one: to pay for it again is seldom meant."""
        for job in await self._store.of_route(self._wish.route.name):
            same = (job.provider, job.base, job.method, job.dataset_hash) == (
                provider.name,
                plan.base,
                plan.method,
                plan.material.manifest.dataset_hash,
            )
            settings = (job.settings.get("epochs"), job.settings.get("suffix")) == (plan.epochs, plan.suffix)
            if job.state is TuningState.SUCCEEDED and same and settings:
                return job
        return None

    async def _trained_already(self, job: TuningJob, api: JobApi) -> Told:
        version = await self._registrar.of_job(job)
        told = words.as_object(job, resumed=True, version=version, api=api)
        return Told([words.known_already(job, version), *words.outcome(job, version, api)], told, 0)


def client_of(work: Opened, wish: TuneWish, job: TuningJob) -> JobClient:
    """Return the way to a job's provider; nobody needs the lease for it."""
    provider = wish.named(job.provider)
    return JobClient(work.upstream(provider), api_of(provider, job.route), work.clock)


def _agree(wish: TuneWish, provider: Provider, plan: Plan) -> None:
    """Say what it will cost, and let somebody agree."""
    for line in words.beforehand(wish.route, provider, plan):
        typer.echo(line, err=True)
    cost = plan.estimate.nanousd
    if wish.cap_nanousd is not None:
        if cost is None:
            raise ConfigError(
                f"nobody knows what this costs, so --max-usd cannot be kept ({plan.estimate.source}); "
                "nothing was uploaded"
            )
        if cost > wish.cap_nanousd:
            raise ConfigError(words.beyond_the_cap(cost, wish.cap_nanousd))
    if wish.agreed:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise typer.BadParameter("this costs money and nobody is asked: say --yes", param_hint="--yes")
    if not typer.confirm("Go on?", err=True):
        raise typer.Abort


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Let the first Ctrl-C end this command and not the job; a second ends it at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def ask() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        stop.set()

    loop.add_signal_handler(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        loop.remove_signal_handler(signal.SIGINT)
