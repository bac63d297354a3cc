"""What a job, or an adapter, becomes: the route's next version."""

from dataclasses import dataclass

from gateway.clock import Clock
from gateway.config.packs import Pack
from gateway.config.routes import Provider, Route
from gateway.learning.datasets.building import TRAIN
from gateway.learning.tuning.adapters import Adapter, Served
from gateway.learning.tuning.material import common_systems
from gateway.policy.promotion import Version
from gateway.policy.tuning import TuningJob, TuningState
from gateway.providers.job_apis import JOB_APIS
from gateway.store.database import Database
from gateway.store.datasets import DatasetStore
from gateway.store.tuning import TuningStore
from gateway.store.versions import Registered, VersionStore

_REGISTERED_AS = "registered_as"
"""Of a job's settings: the version that was there before it, under the same name."""


@dataclass(frozen=True, slots=True)
class Registrar:
    """Registers versions of one route."""

    database: Database
    route: Route
    clock: Clock

    async def of_job(self, job: TuningJob) -> Version | None:
        """Return the version that came of a job; None: none was registered."""
        return next((row for row in await self._versions.of_route(self.route.name) if row.job_id == job.job_id), None)

    async def waiting(self) -> list[TuningJob]:
        """Return the jobs that succeeded and are no version yet, the newest first: it was killed, or has to deploy."""
        jobs = await TuningStore(self.database).of_route(self.route.name)
        known = {row.job_id for row in await self._versions.of_route(self.route.name)}
        ended = (job for job in jobs if job.state is TuningState.SUCCEEDED and job.model)
        return [job for job in ended if job.job_id not in known and _REGISTERED_AS not in job.settings]

    async def register_job(self, job: TuningJob, provider: Provider, deployment: str | None = None) -> Version | None:
        """Register what came of a job; None: it has to be deployed first, under a name that nobody has told."""
        api = JOB_APIS.get(provider.kind)
        model = deployment or job.model
        if model is None or (api is not None and api.deployment_is_named and deployment is None):
            return None
        said = Registered(
            provider=job.provider,
            model=model,
            base=job.base,
            origin="job",
            by=job.by,
            job_id=job.job_id,
            dataset_hash=job.dataset_hash,
            pack_hash=pack_hash_of(self.route),
            trained_system=await self._trained_system(job.dataset_hash, job),
            cost_nanousd=job.billed_nanousd,
        )
        version = await self._versions.register(self.route, said, self.clock.now())
        return version if version.job_id == job.job_id else await self._renewed(version, said, job)

    async def register_adapter(self, served: Served, adapter: Adapter, provider: Provider, by: str) -> Version:
        """Register an adapter that a server has loaded."""
        said = Registered(
            provider=provider.name,
            model=served.name,
            base=served.parent or adapter.base,
            origin="adapter",
            by=by,
            dataset_hash=adapter.dataset_hash,
            pack_hash=pack_hash_of(self.route),
            trained_system=await self._trained_system(adapter.dataset_hash, None),
        )
        return await self._versions.register(self.route, said, self.clock.now())

    async def _renewed(self, version: Version, said: Registered, job: TuningJob) -> Version:
        """Return a version that was there before under this name, and is what the job has made now."""
        await self._versions.attach(
            self.route.name,
            version.number,
            dataset_hash=said.dataset_hash,
            pack_hash=said.pack_hash,
            trained_system=said.trained_system,
            cost_nanousd=said.cost_nanousd,
        )
        settings = {**job.settings, _REGISTERED_AS: version.name}
        await TuningStore(self.database).change(job, self.clock.now(), settings=settings)
        return await self._versions.find(self.route.name, version.number) or version

    async def _trained_system(self, dataset_hash: str | None, job: TuningJob | None) -> tuple[str, ...]:
        """Return the system messages of the training rows: as the job was planned with, else as the data set has."""
        if job is not None and isinstance(job.settings.get("trained_system"), list):
            return tuple(job.settings["trained_system"])
        row = await DatasetStore(self.database).find(dataset_hash) if dataset_hash else None
        if row is None:
            return ()
        kept = row.manifest
        total = kept.get("files", {}).get(TRAIN, {}).get("rows", 0)
        return common_systems(kept.get("systems", {}), total, kept.get("redacted", {}))

    @property
    def _versions(self) -> VersionStore:
        return VersionStore(self.database)


def pack_hash_of(route: Route) -> str | None:
    """Return the hash of the prompt pack that a route's first fallback with one has: what stands in for the version."""
    packs = (target.prompt.pack for target in route.fallbacks if target.prompt is not None)
    return next((pack.hash for pack in packs if isinstance(pack, Pack)), None)
