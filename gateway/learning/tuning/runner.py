"""Drives one job from where it stands to its end: writes down each step, takes it, and writes what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.learning.tuning.job_client import CLOSED, JobClient
from gateway.lifecycle.provider_pages import Refused
from gateway.policy.tuning import (
    AT_PROVIDER,
    ENDED,
    PATIENCE,
    Action,
    Seen,
    Trouble,
    TuningJob,
    TuningState,
    after,
    judge,
    next_action,
    pause_s,
    training_nanousd,
)
from gateway.providers.job_apis import FILES_BEING_READ, FILES_REFUSED, SeenJob, Wanted
from gateway.store.tuning import TuningStore

LOOK_AGAIN_S: Final = 1.0
"""How often a wait looks whether somebody wants it to end."""
_NEEDS_LOOKS: Final = frozenset((Action.UPLOAD_TRAINING_FILE, Action.UPLOAD_VALIDATION_FILE, Action.CREATE_JOB))

_Answer = TypeVar("_Answer")
Files = Callable[[TuningJob], Awaitable[Mapping[str, bytes]]]
"""Reads what is to be uploaded, by ``TuningJob.file_name`` and ``validation_name``. Raises ``ConfigError``."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is told of a job while it is waited for."""

    job: TuningJob
    trouble: str | None = None
    """Why the provider could not be asked; None: it could."""
    event: str | None = None
    """What the provider said of it last."""


class TuningRun:
    """One process at work on one job."""

    def __init__(
        self,
        store: TuningStore,
        client: JobClient,
        clock: Clock,
        files: Files,
        *,
        on_progress: Callable[[Progress], None] = lambda _: None,
        stop: asyncio.Event | None = None,
    ) -> None:
        self._store, self._client, self._clock, self._files = store, client, clock, files
        self._on_progress, self._stop = on_progress, stop or asyncio.Event()
        self._progress: Progress | None = None
        self._seen = Seen()
        self._looked = self._waited = 0
        self._failing_since: datetime | None = None
        self._failures = 0

    async def run(self, job: TuningJob, *, wait: bool = True) -> TuningJob:
        """Drive a job until it has ended; without ``wait`` until the provider has it; or until somebody stops this.

        Returns:
            The job as it is then.

        Raises:
            ConfigError: it cannot go on: the provider refuses to be asked, or gave no answer for a quarter of an hour.
                The job stays as it is, and another run goes on with it.
            DatabaseUnavailable: nothing can be written down, so nothing is done.
        """
        self._seen = Seen(looks_needed=self._looks_needed(job, is_new=job.version == 1))
        while not self._stop.is_set():
            self._told(Progress(job))
            action = next_action(job, self._seen)
            if action is Action.DONE or (action is Action.LOOK and not wait and job.state in AT_PROVIDER):
                return job
            try:
                job = await self._take(action, job)
                self._failing_since, self._failures = None, 0
            except Refused as refused:
                job = await self._refused(action, job, refused)
            except Unanswered as unanswered:
                await self._passing(job, str(unanswered), None)
        return job

    async def look_once(self, job: TuningJob) -> TuningJob:
        """Return a job as its provider shows it at this moment; trouble is told, and changes nothing."""
        if job.state not in AT_PROVIDER:
            return job
        try:
            return await self._look(job)
        except (Refused, Unanswered) as trouble:
            self._told(Progress(job, trouble=str(trouble)))
            return job

    def _looks_needed(self, job: TuningJob, *, is_new: bool) -> int:
        # Whoever takes up a job, or had no answer, does not know what was done a moment ago; lists may not yet, either.
        return 1 if is_new or not self._client.api.lags_s else 2

    async def _take(self, action: Action, job: TuningJob) -> TuningJob:
        match action:
            case Action.BEGIN_UPLOAD:
                return await self._write(job, state=TuningState.UPLOADING)
            case Action.FILES_ARE_THERE:
                return await self._write(job, state=TuningState.UPLOADED)
            case Action.BEGIN_SUBMIT:
                return await self._write(job, state=TuningState.SUBMITTING)
            case Action.NOTHING_TO_CANCEL:
                return await self._write(job, state=TuningState.CANCELLED)
            case Action.FIND_TRAINING_FILE:
                return await self._find_file(job, "training_file", job.file_name)
            case Action.FIND_VALIDATION_FILE:
                return await self._find_file(job, "validation_file", str(job.validation_name))
            case Action.UPLOAD_TRAINING_FILE:
                return await self._upload(job, "training_file", job.file_name)
            case Action.UPLOAD_VALIDATION_FILE:
                return await self._upload(job, "validation_file", str(job.validation_name))
            case Action.FIND_JOB:
                return await self._find_job(job)
            case Action.CREATE_JOB:
                return await self._create(job)
            case Action.ASK_TO_CANCEL:
                return await self._cancel(job)
            case _:
                return await self._look(job)

    async def _find_file(self, job: TuningJob, column: str, name: str) -> TuningJob:
        found = await _answered(self._client.find_file(name))
        return await self._write(job, **{column: found}) if found else await self._absent(job)

    async def _upload(self, job: TuningJob, column: str, name: str) -> TuningJob:
        content = (await self._files(job))[name]
        return await self._write(job, **{column: await _answered(self._client.upload(name, content))})

    async def _find_job(self, job: TuningJob) -> TuningJob:
        found = await _answered(self._client.find_job(str(job.training_file)))
        return await self._saw(job, found) if found else await self._absent(job)

    async def _create(self, job: TuningJob) -> TuningJob:
        if self._client.api.reads_files_first and not await self._files_are_read(job):
            await self._pause(pause_s(self._waited, self._client.api.hurry))
            self._waited += 1
            return job
        epochs, suffix = job.settings.get("epochs"), job.settings.get("suffix")
        wanted = Wanted(
            base=job.base,
            method=job.method,
            training_file=str(job.training_file),
            validation_file=job.validation_file,
            epochs=epochs,
            suffix=suffix,
            metadata={"gateway_job": job.job_id, "route": job.route[:500]},
        )
        return await self._saw(job, await _answered(self._client.create(wanted)))

    async def _files_are_read(self, job: TuningJob) -> bool:
        for file_id in (job.training_file, job.validation_file):
            status = await _answered(self._client.file_status(file_id)) if file_id else ""
            if status in FILES_REFUSED:
                raise Refused(f"{self._client.api.files_path}/{file_id} is {status}", status=400)
            if status in FILES_BEING_READ:
                return False
        return True

    async def _cancel(self, job: TuningJob) -> TuningJob:
        try:
            await _answered(self._client.cancel(str(job.provider_job)))
        except Refused as refused:
            if judge(refused.status, refused.code) is Trouble.PASSING:
                raise
            # It has ended meanwhile, or is about to: the next look tells.
        self._seen = replace(self._seen, asked_to_cancel=True)
        self._looked = 0
        return job

    async def _look(self, job: TuningJob) -> TuningJob:
        if self._looked:
            await self._pause(pause_s(self._looked - 1, self._client.api.hurry))
            if self._stop.is_set():
                return job
            # A wish to cancel may have been written by another command.
            job = await self._known(job)
            if job.state is TuningState.CANCELLING and not self._seen.asked_to_cancel:
                return job
        self._looked += 1
        found = await _answered(self._client.look(str(job.provider_job)))
        changed = await self._saw(job, found)
        if changed.state not in ENDED:
            event = await _answered(self._client.latest_event(found.id))
            self._told(Progress(changed, event=event))
        return changed

    async def _absent(self, job: TuningJob) -> TuningJob:
        """Count a look that found nothing; before another one the list is given time."""
        self._seen = replace(self._seen, looks=self._seen.looks + 1)
        if not self._seen.is_absent:
            await self._pause(self._client.api.lags_s)
        return job

    async def _saw(self, job: TuningJob, found: SeenJob) -> TuningJob:
        """Write what a look has shown, where it is news."""
        state = after(job.state, found.state)
        error = found.error if state is TuningState.FAILED else None
        news: dict[str, Any] = {
            "provider_job": found.id,
            "state": state,
            "settings": {**job.settings, "provider_status": found.status[:100]},
            "model": found.model or job.model,
            "trained_tokens": found.trained_tokens or job.trained_tokens,
            "error": self._client.shown(error or "it does not say why") if state is TuningState.FAILED else job.error,
        }
        if state in ENDED:
            news["billed_nanousd"] = _billed(job, found)
        if all(getattr(job, name) == value for name, value in news.items()):
            return job
        return await self._write(job, **news)

    async def _write(self, job: TuningJob, **changes: Any) -> TuningJob:
        """Write changes; where somebody else wrote first, on top of that: a wish to cancel stays one."""
        was = job
        while (changed := await self._store.change(job, self._clock.now(), **changes)) is None:
            job = await self._known(job)
            if "state" in changes:
                changes["state"] = after(job.state, changes["state"])
        if (changed.state, changed.training_file) != (was.state, was.training_file):
            self._seen = Seen(asked_to_cancel=self._seen.asked_to_cancel)
            self._looked = min(self._looked, 1)
        return changed

    async def _known(self, job: TuningJob) -> TuningJob:
        found = await self._store.find(job.job_id)
        if found is None:
            raise ConfigError(f"job {job.job_id} is not in the database any more")
        return found

    async def _refused(self, action: Action, job: TuningJob, refused: Refused) -> TuningJob:
        trouble = judge(refused.status, refused.code)
        if trouble is Trouble.PASSING:
            await self._passing(job, str(refused), refused.retry_after_s)
            return job
        if action is Action.LOOK and trouble is Trouble.GONE:
            gone = f"the provider no longer knows the job {job.provider_job} ({refused})"
            return await self._write(job, state=TuningState.FAILED, error=self._client.shown(gone))
        key_refused = refused.status in (401, 403) and refused.code != CLOSED
        if action in _NEEDS_LOOKS and not key_refused:
            return await self._write(job, state=TuningState.FAILED, error=self._client.shown(str(refused)))
        raise ConfigError(f"{job.provider}: {refused}; nothing is lost: the same command goes on with the job")

    async def _passing(self, job: TuningJob, words: str, retry_after_s: float | None) -> None:
        """Wait for trouble to pass; what was tried may have been done all the same, so it is looked for again."""
        now = self._clock.now()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > PATIENCE:
            minutes = int(PATIENCE.total_seconds() // 60)
            raise ConfigError(
                f"{job.provider} gave no usable answer for {minutes} minutes (the last: {words}); nothing is lost: the "
                "same command goes on with the job"
            )
        self._told(Progress(job, trouble=words))
        self._seen = Seen(looks_needed=self._looks_needed(job, is_new=False), asked_to_cancel=False)
        asked = min(retry_after_s or 0.0, PATIENCE.total_seconds())
        self._looked = 0
        await self._pause(max(asked, pause_s(self._failures, self._client.api.hurry)))
        self._failures += 1

    def _told(self, progress: Progress) -> None:
        self._progress = progress
        self._on_progress(progress)

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than nobody wants this to end; that time goes by is told, too."""
        end = self._clock.monotonic() + seconds
        while not self._stop.is_set() and (left := end - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, LOOK_AGAIN_S))
            if self._progress is not None and self._progress.trouble is None:
                self._on_progress(self._progress)


class Unanswered(Exception):
    """There was no answer; the message says from where, and why."""


async def _answered(call: Awaitable[_Answer]) -> _Answer:
    try:
        return await call
    except ConfigError as error:
        raise Unanswered(str(error)) from None


def _billed(job: TuningJob, found: SeenJob) -> int | None:
    """Return what a job was billed: as the provider says, else its tokens at the price it was planned with."""
    if found.billed_nanousd is not None:
        return found.billed_nanousd
    price, tokens = job.settings.get("usd_per_1m"), found.trained_tokens
    if price is None or tokens is None:
        return None
    return training_nanousd(tokens, Decimal(price), Decimal(job.settings.get("minimum_usd") or 0))
