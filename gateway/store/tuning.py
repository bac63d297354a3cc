"""Fine-tuning jobs, as far as they have come."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update

from gateway.policy.tuning import ENDED, TuningJob, TuningState
from gateway.store.database import Database
from gateway.store.rows import Rows
from gateway.store.tables_training import tuning_jobs

_t = tuning_jobs.c


class TuningStore:
    """The table ``tuning_jobs``. Every method may raise ``DatabaseUnavailable``."""

    def __init__(self, database: Database) -> None:
        self._rows = Rows(database)

    async def add(self, job: TuningJob) -> None:
        """Keep a new job."""
        await self._rows.write(insert(tuning_jobs).values(_as_row(job)))

    async def find(self, job_id: str) -> TuningJob | None:
        """Return a job; None: it is not kept."""
        found = await self._rows.read(select(tuning_jobs).where(_t.job_id == job_id))
        return _of_row(found[0]) if found else None

    async def all(self) -> list[TuningJob]:
        """Return every route's jobs, the newest first."""
        return [_of_row(row) for row in await self._rows.read(select(tuning_jobs).order_by(_t.job_id.desc()))]

    async def of_route(self, route: str) -> list[TuningJob]:
        """Return a route's jobs, the newest first."""
        query = select(tuning_jobs).where(_t.route == route).order_by(_t.job_id.desc())
        return [_of_row(row) for row in await self._rows.read(query)]

    async def unfinished(self, route: str) -> list[TuningJob]:
        """Return a route's jobs that have not ended, the newest first."""
        return [job for job in await self.of_route(route) if job.state not in ENDED]

    async def change(self, job: TuningJob, now: datetime, **changes: Any) -> TuningJob | None:
        """Write what has changed, and return the job as it is now; None: somebody else has written meanwhile."""
        changed = replace(job, changed_at=now, version=job.version + 1, **changes)
        row = {name: value for name, value in _as_row(changed).items() if name != "job_id"}
        known = (_t.job_id == job.job_id, _t.version == job.version)
        written = await self._rows.write(update(tuning_jobs).where(*known).values(row))
        return changed if written[0] > 0 else None


def _as_row(job: TuningJob) -> dict[str, Any]:
    return {**asdict(job), "settings": dict(job.settings)}


def _of_row(row: Mapping[str, Any]) -> TuningJob:
    return TuningJob(**{**row, "state": TuningState(row["state"])})
