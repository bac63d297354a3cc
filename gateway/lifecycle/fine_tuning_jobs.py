"""Fine-tuning jobs, their checkpoints and their training files, where the provider's API has them."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from gateway.config.routes import Provider
from gateway.errors import ConfigError
from gateway.lifecycle.provider_pages import Reading, Refused, get_json, pages

MAX_JOBS = 10_000
_JOBS_A_PAGE, _FILES_A_PAGE = 100, 10_000
_MAX_LOOKUPS = 1_000
_AT_ONCE = 8
# Whoever else speaks OpenAI's wire format may have these endpoints; of others it is known that they do not.
WITH_JOBS = frozenset(("openai", "azure", "sandbox", "openai-compatible"))
_UNFINISHED = frozenset(("validating_files", "queued", "running", "paused"))


class FileState(StrEnum):
    """Whether a training file can still be had."""

    EXISTS = "exists"
    DELETED = "deleted"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TrainingFile:
    """A job's training file as the provider keeps it."""

    id: str
    state: FileState
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A fine-tuning job that succeeded."""

    id: str
    base: str
    model: str
    """The fine-tune that came of it."""
    finished: date | None
    trained_tokens: int | None
    epochs: int | None
    suffix: str | None
    file: TrainingFile | None


async def read_jobs(reading: Reading) -> tuple[list[Job], int]:
    """Return the jobs that succeeded, newest first as the provider lists them, and how many are unfinished."""
    found: list[Job] = []
    unfinished = unreadable = total = 0
    try:
        async for page in pages(reading.upstream, "/fine_tuning/jobs", _JOBS_A_PAGE, MAX_JOBS):
            total += len(page)
            reading.progress("fine-tuning jobs", total, None)
            for row in page:
                status = row.get("status")
                unfinished += isinstance(status, str) and status in _UNFINISHED
                if status == "succeeded":
                    job = _job(row)
                    unreadable += job is None
                    found += [job] if job else []
    except (Refused, ConfigError) as problem:
        reading.notes.append(_why_no_jobs(problem, reading.upstream.provider, total))
    if total >= MAX_JOBS:
        reading.notes.append(f"Only the newest {MAX_JOBS:,} fine-tuning jobs were read.")
    if unreadable:
        reading.notes.append(f"{unreadable} fine-tuning jobs could not be read.")
    return found, unfinished


def _why_no_jobs(problem: Refused | ConfigError, provider: Provider, read: int) -> str:
    if read:
        return f"Only {read:,} fine-tuning jobs could be read, then {problem}: what was trained before is missing here."
    if not isinstance(problem, Refused):
        return f"Fine-tuning jobs could not be read ({problem}): drafted from the list of models alone."
    if problem.code == "training_not_available":
        return (
            "This organisation is closed to fine-tuning (training_not_available), and its jobs cannot be listed: "
            "training dates and files are missing here."
        )
    if problem.status in (401, 403):
        key = provider.api_key_env or "use"
        return (
            f"The key in {key} may not read fine-tuning jobs ({problem.status}): with read access for fine-tuning and "
            "files, training dates and files would be told here."
        )
    if problem.status in (404, 405, 501):
        return "This provider has no API for fine-tuning jobs: drafted from the list of models alone."
    return f"Fine-tuning jobs could not be read ({problem}): drafted from the list of models alone."


def _job(row: Mapping[str, Any]) -> Job | None:
    identity, base, model = row.get("id"), row.get("model"), row.get("fine_tuned_model")
    if not (_is_name(identity) and _is_name(base) and _is_name(model)):
        return None
    hyperparameters = row.get("hyperparameters")
    epochs = hyperparameters.get("n_epochs") if isinstance(hyperparameters, dict) else None
    file, suffix = row.get("training_file"), row.get("user_provided_suffix")
    return Job(
        id=str(identity),
        base=str(base),
        model=str(model),
        finished=day_of(row, "finished_at") or day_of(row, "created_at"),
        trained_tokens=_count(row.get("trained_tokens")),
        epochs=_count(epochs),
        suffix=suffix if isinstance(suffix, str) and suffix else None,
        file=TrainingFile(str(file), FileState.UNKNOWN) if _is_name(file) else None,
    )


async def with_files(reading: Reading, jobs: list[Job]) -> list[Job]:
    """Return the jobs with the state of their files: listed ones exist; whichever is not listed is asked for by id."""
    wanted = list(dict.fromkeys(job.file.id for job in jobs if job.file))
    if not wanted:
        return jobs
    known: dict[str, TrainingFile] = {}
    try:
        async for page in pages(reading.upstream, "/files?purpose=fine-tune", _FILES_A_PAGE, 10 * MAX_JOBS):
            for row in page:
                if isinstance(row.get("id"), str):
                    known[row["id"]] = TrainingFile(row["id"], FileState.EXISTS, _count(row.get("bytes")))
            reading.progress("training files", len(known), None)
    except (Refused, ConfigError) as problem:
        reading.notes.append(f"Training files could not be listed ({problem}): whether some exist is not known.")
        if isinstance(problem, ConfigError) or problem.status in (401, 403):
            return jobs
    await _look_up(reading, [identity for identity in wanted if identity not in known][:_MAX_LOOKUPS], known)
    return [_replaced_file(job, known) for job in jobs]


async def _look_up(reading: Reading, identities: Sequence[str], known: dict[str, TrainingFile]) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)
    done = 0

    async def look(identity: str) -> None:
        nonlocal done
        async with gate:
            try:
                row = await get_json(reading.upstream, f"/files/{quote(identity, safe='')}")
                size = _count(row.get("bytes")) if isinstance(row, dict) else None
                known[identity] = TrainingFile(identity, FileState.EXISTS, size)
            except Refused as refused:
                if refused.status in (404, 410):
                    known[identity] = TrainingFile(identity, FileState.DELETED)
            except ConfigError:
                pass
            done += 1
            reading.progress("missing files", done, len(identities))

    await asyncio.gather(*map(look, identities))


def _replaced_file(job: Job, known: Mapping[str, TrainingFile]) -> Job:
    return replace(job, file=known.get(job.file.id, job.file)) if job.file else job


async def jobs_by_model(reading: Reading, models: Iterable[str], jobs: Sequence[Job]) -> dict[str, Job]:
    """Return the job of each fine-tune; a checkpoint whose id does not tell is looked for at the jobs it may be of."""
    by_model = {job.model: job for job in jobs}
    for model in models:
        stem = without_step(model)
        if stem == model or model in by_model:
            continue
        if stem in by_model:
            by_model[model] = by_model[stem]
            continue
        prefix = stem.rpartition(":")[0] + ":"
        for job in [job for job in jobs if job.model.startswith(prefix)][:20]:
            reading.progress("checkpoints", 0, None)
            for name in await _checkpoints(reading, job):
                by_model.setdefault(name, job)
            if model in by_model:
                break
    return by_model


async def _checkpoints(reading: Reading, job: Job) -> list[str]:
    try:
        document = await get_json(reading.upstream, f"/fine_tuning/jobs/{quote(job.id, safe='')}/checkpoints?limit=100")
    except (Refused, ConfigError):
        return []
    rows = document.get("data") if isinstance(document, dict) else None
    names = (row.get("fine_tuned_model_checkpoint") for row in rows or () if isinstance(row, dict))
    return [str(name) for name in names if _is_name(name)]


def without_step(model: str) -> str:
    """Return a checkpoint's id without its step; any other id as it is."""
    stem, found, step = model.rpartition(":ckpt-step-")
    return stem if found and step.isdigit() else model


def step_of(model: str) -> int:
    """Return the step that a checkpoint's id names; 0 for any other id."""
    step = model.removeprefix(without_step(model)).removeprefix(":ckpt-step-")
    return int(step[:18]) if step else 0


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 512 and value.isprintable()


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None


def day_of(row: object, field_name: str) -> date | None:
    """Return the UTC day of a field that holds unix time; None where it holds none."""
    value = row.get(field_name) if isinstance(row, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        return None
    try:
        return datetime.fromtimestamp(value, UTC).date()
    except (ValueError, OverflowError, OSError):
        return None
