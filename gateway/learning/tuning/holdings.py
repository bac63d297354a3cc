"""What of a data set is out of this gateway's reach: its files at providers, and the versions that learnt it."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.learning.datasets.building import EVALUATION, EVALUATION_PAIRS, TRAIN, TRAIN_PAIRS
from gateway.learning.datasets.manifest import Manifest
from gateway.learning.tuning.job_client import JobClient
from gateway.lifecycle.provider_pages import Refused
from gateway.policy.promotion import Version
from gateway.policy.tuning import ENDED, Method, Trouble, TuningJob, judge
from gateway.store.database import Database
from gateway.store.datasets import DatasetRow, DatasetStore
from gateway.store.tuning import TuningStore
from gateway.store.versions import VersionStore

_DELETED: Final = "deleted_files"
"""Of a job's settings: the names of its files that are not at the provider any more."""
_TRAINED_ON: Final[Mapping[Method, str]] = {"sft": TRAIN, "dpo": TRAIN_PAIRS}
_VALIDATED_ON: Final[Mapping[Method, str]] = {"sft": EVALUATION, "dpo": EVALUATION_PAIRS}


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A job's file at its provider that holds rows of certain inputs."""

    job: TuningJob
    name: str
    """What it is called there."""
    file_id: str | None
    """The provider's; None: nobody knows whether it got there."""
    rows: int

    @property
    def is_in_use(self) -> bool:
        """Whether its job has not ended."""
        return self.job.state not in ENDED


@dataclass(frozen=True, slots=True)
class Taught:
    """A version that was trained on rows of certain inputs."""

    version: Version
    rows: int | None
    """None: of its data set nobody here knows whose rows it held."""
    by: Version | None = None
    """The version that it was trained from, where that is the one which saw the rows."""


def lineage_row(manifest: Manifest) -> DatasetRow:
    """Return what the database keeps of a data set."""
    return DatasetRow(
        manifest.dataset_hash,
        manifest.route,
        manifest.tenant or "",
        manifest.summary(),
        manifest.built_at,
        manifest.by,
    )


async def held_files(input_ids: AbstractSet[str], database: Database) -> list[HeldFile]:
    """Return the files at providers that hold rows of these inputs, the newest job's first.

    Raises ``DatabaseUnavailable``.
    """
    if not input_ids:
        return []
    jobs, found = await TuningStore(database).all(), []
    rows = await _rows_by_hash((job.dataset_hash for job in jobs), database)
    for job in jobs:
        row = rows[job.dataset_hash]
        names = [(job.file_name, job.training_file, _TRAINED_ON[job.method])]
        if job.validation_name is not None:
            names.append((job.validation_name, job.validation_file, _VALIDATED_ON[job.method]))
        for name, file_id, of in names:
            held = len((row.input_ids(of) or frozenset()) & input_ids) if row is not None else 0
            if held and name not in job.settings.get(_DELETED, ()):
                found.append(HeldFile(job, name, file_id, held))
    return found


async def taught_versions(input_ids: AbstractSet[str], database: Database) -> list[Taught]:
    """Return the versions that were trained on rows of these inputs, or may have been, or were trained from such ones.

    A version that names no data set is left out. Raises ``DatabaseUnavailable``.
    """
    if not input_ids:
        return []
    versions = await VersionStore(database).all()
    rows = await _rows_by_hash((version.dataset_hash for version in versions), database)
    methods = {job.job_id: job.method for job in await TuningStore(database).all()}
    taught: dict[tuple[str, int], Taught] = {}
    for version in versions:
        if version.dataset_hash is None:
            continue
        method = methods.get(version.job_id or "")
        names = (_TRAINED_ON[method],) if method else (TRAIN, TRAIN_PAIRS)
        held = _held(rows[version.dataset_hash], input_ids, names)
        if held != 0:
            taught[version.route, version.number] = Taught(version, held)
    while more := _heirs(versions, taught):
        taught |= more
    return [taught[version.route, version.number] for version in versions if (version.route, version.number) in taught]


async def forget(file: HeldFile, database: Database, clock: Clock) -> None:
    """Write down that a file is not at its provider any more. Raises ``DatabaseUnavailable``."""
    store, job = TuningStore(database), file.job
    while file.name not in (known := job.settings.get(_DELETED, ())):
        settings = {**job.settings, _DELETED: [*known, file.name]}
        if await store.change(job, clock.now(), settings=settings) is not None:
            return
        found = await store.find(job.job_id)
        if found is None:
            return
        job = found


async def delete_at_provider(file: HeldFile, client: JobClient, database: Database, clock: Clock) -> bool:
    """Delete a file whose job has ended, and write that down; tell whether it was still there.

    One that was deleted before is no error; but a key of another account would see no file either, so the job has to
    be known there. Where none was made, only people can tell.

    Raises:
        ConfigError: it is still there, as far as anybody knows; the message says why, without the key.
        DatabaseUnavailable: nothing was written down; the next time finds it deleted.
    """
    try:
        file_id = file.file_id or await client.find_file(file.name)
        was_there = file_id is not None and await _deleted(file.job, file_id, client)
    except Refused as refused:
        raise ConfigError(str(refused)) from None
    await forget(file, database, clock)
    return was_there


async def _deleted(job: TuningJob, file_id: str, client: JobClient) -> bool:
    try:
        await client.delete_file(file_id)
    except Refused as refused:
        if judge(refused.status, refused.code) is not Trouble.GONE:
            raise
        if job.provider_job is None:
            raise ConfigError(f"{refused}, and no job was made of it that would tell whose account this is") from None
        try:
            await client.look(job.provider_job)
        except Refused:
            raise ConfigError(f"{refused}, nor does it know the job: is it another account's key?") from None
        return False
    return True


async def _rows_by_hash(hashes: Iterable[str | None], database: Database) -> dict[str, DatasetRow | None]:
    store = DatasetStore(database)
    return {name: await store.find(name) for name in sorted({name for name in hashes if name is not None})}


def _held(row: DatasetRow | None, input_ids: AbstractSet[str], names: Iterable[str]) -> int | None:
    held: set[str] = set()
    for name in names:
        known = row.input_ids(name) if row is not None else None
        if known is None:
            return None
        held |= known & input_ids
    return len(held)


def _heirs(versions: Iterable[Version], taught: Mapping[tuple[str, int], Taught]) -> dict[tuple[str, int], Taught]:
    """Return the versions that were trained from a taught one, and are not among them yet."""
    by_model = {(one.version.provider, one.version.model): one for one in taught.values() if one.rows is not None}
    heirs = {}
    for version in versions:
        key, parent = (version.route, version.number), by_model.get((version.provider, version.base or ""))
        known = taught.get(key)
        if parent is not None and parent.version != version and (known is None or known.rows is None):
            heirs[key] = Taught(version, parent.rows, by=parent.version)
    return heirs
