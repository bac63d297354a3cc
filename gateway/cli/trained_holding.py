"""Training files at providers that hold rows of what was deleted, and versions that were trained on such rows."""

import asyncio
import os
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.clock import Clock
    from gateway.config.routes import Routes
    from gateway.learning.tuning.holdings import HeldFile
    from gateway.providers.http_client import HttpClient
    from gateway.store.database import Database

_SHOWN_OF_HASH = len("sha256:") + 12


@dataclass(frozen=True, slots=True)
class HoldingTrainingFile:
    """A file at a provider, and what became of it."""

    file: str
    """The provider's id; where that is not known, its name there."""
    provider: str
    route: str
    job: str
    job_state: str
    dataset_hash: str
    rows: int
    deleted: bool
    what_to_do: str | None
    """None: it is not there any more."""


@dataclass(frozen=True, slots=True)
class TaughtVersion:
    """A version that was trained on such rows, or may have been."""

    route: str
    version: str
    status: str
    provider: str
    model: str
    dataset_hash: str | None
    rows: int | None
    """None: nobody here knows whose rows its data set held."""
    trained_from: str | None
    """The version that saw the rows, where this one was trained from it."""


async def training_files(
    gone: AbstractSet[str],
    routes: "Routes",
    database: "Database",
    *,
    delete: bool = False,
    deleted: Sequence[str] = (),
) -> list[HoldingTrainingFile]:
    """Return the files at providers that hold rows of deleted inputs.

    Args:
        gone: the inputs' ids.
        routes: where the providers are, and their keys.
        database: whose jobs are meant.
        delete: whether to delete those whose job has ended.
        deleted: what somebody deleted by hand, by the provider's id or by name: it is forgotten.

    Raises ``DatabaseUnavailable``.
    """
    from gateway.clock import SystemClock
    from gateway.learning.tuning.holdings import forget, held_files
    from gateway.providers.allowed_origins import AllowedOrigins
    from gateway.providers.http_client import HttpClient

    clock, found = SystemClock(), []
    origins = AllowedOrigins(clock)
    origins.replace(routes, os.environ, None)
    client = HttpClient(permits=origins.permits)
    try:
        for file in await held_files(gone, database):
            if not file.is_in_use and not {file.file_id, file.name}.isdisjoint(deleted):
                await forget(file, database, clock)
            else:
                what = await _what_to_do(file, routes, database, client, clock, delete=delete)
                found.append(_told(file, what))
    finally:
        client.close()
        # Connections end in the loop's next turn.
        await asyncio.sleep(0)
    return found


async def _what_to_do(
    file: "HeldFile", routes: "Routes", database: "Database", client: "HttpClient", clock: "Clock", *, delete: bool
) -> str | None:
    """Return what is left to be done about a file, having deleted it where that is wished; None: nothing."""
    from gateway.learning.tuning.holdings import delete_at_provider
    from gateway.learning.tuning.job_client import JobClient
    from gateway.learning.tuning.preflight import api_of
    from gateway.providers.openai_wire import Upstream

    job = file.job
    if file.is_in_use:
        return f"its job has not ended: wait, or gateway tune {job.route} --cancel; then --training-files deletes it"
    by_hand = f"delete it there, and say --deleted-file {_named(file)}"
    provider = routes.providers.get(job.provider)
    if provider is None:
        return f"routes.yaml has no provider {job.provider!r} any more: {by_hand}"
    if not delete:
        return f"delete it there: say --training-files, or do it by hand and say --deleted-file {_named(file)}"
    try:
        upstream = Upstream(provider, client, os.environ, clock)
        await delete_at_provider(file, JobClient(upstream, api_of(provider, job.route), clock), database, clock)
    except ConfigError as error:
        return f"could not be deleted ({error}): try again, or {by_hand}"
    return None


async def versions(gone: AbstractSet[str], database: "Database") -> list[TaughtVersion]:
    """Return the versions that were trained on rows of deleted inputs. Raises ``DatabaseUnavailable``."""
    from gateway.learning.tuning.holdings import taught_versions

    return [
        TaughtVersion(
            route=taught.version.route,
            version=taught.version.name,
            status=taught.version.status.value,
            provider=taught.version.provider,
            model=taught.version.model,
            dataset_hash=taught.version.dataset_hash,
            rows=taught.rows,
            trained_from=f"{taught.by.name} of {taught.by.route}" if taught.by is not None else None,
        )
        for taught in await taught_versions(gone, database)
    ]


def out_of_reach(files: Sequence[HoldingTrainingFile], taught: Sequence[TaughtVersion]) -> dict[str, Any]:
    """Return what a receipt keeps of them."""
    kept = [{key: value for key, value in asdict(file).items() if key != "what_to_do"} for file in files]
    return {"training_files": kept, "versions": [asdict(version) for version in taught]}


def training_file_lines(files: Sequence[HoldingTrainingFile]) -> list[str]:
    """Return what to tell of them."""
    from gateway.config.findings import printable

    done = [f"  {_file_line(file)}" for file in files if file.deleted]
    left = [f"  {_file_line(file)}\n    {printable(file.what_to_do or '')}" for file in files if not file.deleted]
    lines = ["Training files that were deleted at their providers:", *done] if done else []
    return [*lines, *(["Training files at providers that still hold such rows:", *left] if left else [])]


def version_lines(taught: Sequence[TaughtVersion]) -> list[str]:
    """Return what to tell of them: nothing takes rows out of a model."""
    if not taught:
        return []
    return [
        "Versions that were trained on such rows, or may have been; nothing takes them out of a model:",
        *(f"  {_version_line(version)}" for version in taught),
        "    train again without them (gateway dataset build, gateway tune), promote that, and delete these models at "
        "their providers",
    ]


def _told(file: "HeldFile", what_to_do: str | None) -> HoldingTrainingFile:
    job = file.job
    return HoldingTrainingFile(
        file=_named(file),
        provider=job.provider,
        route=job.route,
        job=job.job_id,
        job_state=job.state.value,
        dataset_hash=job.dataset_hash,
        rows=file.rows,
        deleted=what_to_do is None,
        what_to_do=what_to_do,
    )


def _named(file: "HeldFile") -> str:
    return file.file_id or file.name


def _file_line(file: HoldingTrainingFile) -> str:
    from gateway.config.findings import printable
    from gateway.lifecycle.forecast_words import counted

    return (
        f"{printable(file.file)} at {file.provider}: {counted(file.rows, 'row')}; job {file.job} of {file.route} "
        f"({file.job_state}), data set {file.dataset_hash[:_SHOWN_OF_HASH]}"
    )


def _version_line(version: TaughtVersion) -> str:
    from gateway.config.findings import printable
    from gateway.lifecycle.forecast_words import counted

    head = (
        f"{version.version} of {version.route} ({version.status}), {printable(version.model)} at {version.provider}: "
    )
    known = f"data set {(version.dataset_hash or '')[:_SHOWN_OF_HASH]}"
    if version.trained_from is not None:
        return f"{head}trained from {version.trained_from}"
    if version.rows is None:
        return f"{head}trained on {known}, and whose rows that held is not known here"
    return f"{head}trained on {counted(version.rows, 'such row')}, {known}"
