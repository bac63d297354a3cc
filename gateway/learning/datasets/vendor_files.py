"""What a provider holds of fine-tuning: its jobs, and the files that they were made of, saved one at a time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeGuard

import orjson

from gateway.errors import ConfigError
from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.directory import read
from gateway.learning.datasets.manifest import NEUTRAL, Manifest, ManifestFile, sha256_of
from gateway.learning.datasets.neutral_rows import saved_rows
from gateway.learning.whole_files import put_file
from gateway.lifecycle.fine_tuning_jobs import MAX_JOBS, FileState, TrainingFile
from gateway.lifecycle.provider_pages import Reading, Refused, pages
from gateway.lifecycle.training_files import fetch

JOBS: Final = "jobs.jsonl"
_JOBS_A_PAGE, _FILES_A_PAGE, _MOST_FILES = 100, 10_000, 100_000
_NO_SUCH_API: Final = (404, 405, 501)
_NAMES: Final = {"training_file": "train.jsonl", "validation_file": "evaluation.jsonl"}

Put = Callable[[Path, Manifest, Mapping[str, bytes]], Awaitable[None]]
"""Writes a directory of files with its manifest, and registers it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that could not be had."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose a model is: what its files are redacted by to be known, and registered for."""

    route: str
    tenant: str | None
    redactor: Redactor


@dataclass(slots=True)
class VendorSaved:
    """What came of one provider."""

    provider: str
    kind: str
    jobs: int = 0
    bases: set[str] = field(default_factory=set)
    fetched: int = 0
    already: int = 0
    """Files that were there from an earlier run."""
    missing: list[Missing] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Saving:
    """How files are saved."""

    out: Path
    """The provider's directory."""
    owners: Mapping[str, Owner]
    """By model."""
    nobody: Owner
    """Of models that no route names."""
    blank: Manifest
    """What every manifest says: by whom, and when."""
    gone: frozenset[str]
    """Ids of inputs that were deleted at somebody's wish."""
    put: Put
    advance: Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file of a job."""

    id: str
    role: str
    """training_file, validation_file or result_files."""
    job: str
    model: str


async def save_vendor(reading: Reading, saving: Saving) -> VendorSaved:
    """Save all jobs as the provider lists them, and each of their files; what is there already is not fetched again.

    Raises:
        OSError: a file cannot be written.
        DatabaseUnavailable: the database is away.
    """
    provider = reading.upstream.provider
    saved = VendorSaved(provider.name, provider.kind)
    jobs = await _all_jobs(reading, saved)
    saving.out.mkdir(parents=True, exist_ok=True, mode=0o700)
    if jobs:
        put_file(saving.out / JOBS, b"".join(orjson.dumps(job, option=orjson.OPT_APPEND_NEWLINE) for job in jobs))
    saved.jobs = len(jobs)
    saved.bases = {str(job["model"]) for job in jobs if isinstance(job.get("model"), str)}
    wanted = list({one.id: one for job in reversed(jobs) for one in _files_of(job)}.values())
    sizes = await _sizes(reading, saved) if wanted else {}
    for done, one in enumerate(wanted, 1):
        await _save(reading, saving, saved, one, TrainingFile(one.id, FileState.UNKNOWN, sizes.get(one.id)))
        saving.advance(done / len(wanted), f"{provider.name}: {done:,} of {len(wanted):,} files")
    return saved


async def _all_jobs(reading: Reading, saved: VendorSaved) -> list[Mapping[str, Any]]:
    jobs: list[Mapping[str, Any]] = []
    try:
        async for page in pages(reading.upstream, "/fine_tuning/jobs", _JOBS_A_PAGE, MAX_JOBS):
            jobs += page
            reading.progress("fine-tuning jobs", len(jobs), None)
    except Refused as refused:
        if not jobs and refused.status in _NO_SUCH_API:
            saved.notes.append(f"{saved.provider} has no API for fine-tuning jobs")
        else:
            saved.missing.append(Missing(f"fine-tuning jobs of {saved.provider}", _why(refused)))
    except ConfigError as problem:
        saved.missing.append(Missing(f"fine-tuning jobs of {saved.provider}", str(problem)))
    if len(jobs) >= MAX_JOBS:
        saved.missing.append(Missing(f"older jobs of {saved.provider}", f"only the newest {MAX_JOBS:,} are read"))
    return jobs


def _why(refused: Refused) -> str:
    if refused.code == "training_not_available":
        return f"the organisation is closed to fine-tuning ({refused}): ask the provider's support for them"
    if refused.status in (401, 403):
        return f"{refused}: use a key with read access for fine-tuning and files"
    return str(refused)


def _files_of(job: Mapping[str, Any]) -> list[_Wanted]:
    results = job.get("result_files")
    named = [(role, job.get(role)) for role in _NAMES]
    named += [("result_files", result) for result in (results if isinstance(results, list) else ())]
    identity, model = str(job.get("id")), str(job.get("fine_tuned_model") or "")
    return [_Wanted(id_, role, identity, model) for role, id_ in named if _is_file_id(id_)]


def _is_file_id(value: object) -> TypeGuard[str]:
    # It becomes a path: nothing of what a provider says may lead out of the directory.
    return isinstance(value, str) and 0 < len(value) <= 200 and value.replace("-", "").replace("_", "").isalnum()


async def _sizes(reading: Reading, saved: VendorSaved) -> dict[str, int]:
    """Return the sizes of all files that are listed; whichever is not may still be had."""
    sizes: dict[str, int] = {}
    try:
        async for page in pages(reading.upstream, "/files", _FILES_A_PAGE, _MOST_FILES):
            for row in page:
                if isinstance(row.get("id"), str) and type(row.get("bytes")) is int:
                    sizes[row["id"]] = row["bytes"]
    except (Refused, ConfigError) as problem:
        saved.notes.append(f"files of {saved.provider} could not be listed ({problem}): their sizes were not checked")
    return sizes


async def _save(reading: Reading, saving: Saving, saved: VendorSaved, wanted: _Wanted, file: TrainingFile) -> None:
    try:
        if wanted.role == "result_files":
            path = saving.out / "results" / wanted.id
            was_there = path.exists()
            await fetch(reading.upstream, file, path)
        else:
            was_there = await _save_rows(reading, saving, wanted, file)
    except ConfigError as problem:
        saved.missing.append(Missing(f"{wanted.id}, {wanted.role.replace('_', ' ')} of {wanted.job}", str(problem)))
        return
    saved.already += was_there
    saved.fetched += not was_there


async def _save_rows(reading: Reading, saving: Saving, wanted: _Wanted, file: TrainingFile) -> bool:
    """Save a file of rows in a directory of its own, with what its lines are; return whether it was there."""
    directory, name = saving.out / "files" / wanted.id, _NAMES[wanted.role]
    if _is_there(directory, file):
        return True
    part = saving.out / "unfinished" / wanted.id
    content = await fetch(reading.upstream, file, part)
    owner = saving.owners.get(wanted.model, saving.nobody)
    kept, rows, deleted = saved_rows(content, wanted.id, owner.redactor, saving.gone)
    if rows:
        manifest = replace(
            saving.blank,
            route=owner.route,
            tenant=owner.tenant,
            format=NEUTRAL,
            files={name: ManifestFile(sha256_of(kept), rows)},
            sources={wanted.id: len(rows)},
            left_out={"deleted": deleted} if deleted else {},
        )
        await saving.put(directory, manifest, {name: kept})
    part.unlink()
    if not any(part.parent.iterdir()):
        part.parent.rmdir()
    return False


def _is_there(directory: Path, file: TrainingFile) -> bool:
    """Tell whether a file lies there as its manifest says: of the provider's size, or with rows deleted since."""
    if not directory.is_dir():
        return False
    size = sum(map(len, read(directory).files.values()))
    # Deleting rows makes it smaller, and its manifest says so; nothing makes it larger.
    if file.size_bytes is not None and size > file.size_bytes:
        raise ConfigError(f"{directory} holds something else, and was left as it is")
    return True
