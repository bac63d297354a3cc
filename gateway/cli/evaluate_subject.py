"""Whom an evaluation is of, against whom, and on which rows: a fallback, or a version of the route's own model."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import typer

from gateway.config.findings import did_you_mean
from gateway.config.routes import Canary, Route, Routes, Target
from gateway.errors import ConfigError
from gateway.learning.capture.redaction import Redactor
from gateway.learning.datasets.building import EVALUATION
from gateway.learning.datasets.manifest import MANIFEST, Manifest, parse_manifest
from gateway.learning.evaluation.lineage import Trained, trained_on
from gateway.learning.evaluation.rows import Gathered, Row
from gateway.learning.packs.training_rows import TrainingRow, read_rows
from gateway.policy.promotion import CANARY, PromotionState, Version, promoted, target_of, unfit, version_name
from gateway.store.database import Database
from gateway.store.datasets import DatasetStore
from gateway.store.promotions import PromotionStore
from gateway.store.versions import VersionStore

LEAST_UNMARKED: Final = 20
"""Rows that must remain when those are left out that are there since somebody marked an answer."""
MARKED: Final = frozenset(("corrections", "approved"))
"""Sources of a data set whose rows are there for how an answer turned out."""

_NOBODY: Final = 0.0
"""The share of conversations that a canary here answers: commands serve nobody."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Who is evaluated in whose place."""

    route: Route
    """Its primary is whom the target is compared with."""
    target: Target
    version: Version | None = None
    """None: the target is a fallback."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What is known of the data sets that models were trained on."""

    manifest: Manifest | None
    """Of the data set in its usual place; None: there is none."""
    versions: VersionStore
    datasets: DatasetStore

    async def trained(self, route: Route, target: Target) -> Trained | None:
        """Return what a target was trained on; None: it is no version, or nobody knows."""
        version = await self.versions.of_model(route.name, target.provider.name, target.model)
        if version is None or version.dataset_hash is None:
            return None
        built = await self.datasets.find(version.dataset_hash)
        return trained_on(version, self.manifest, built.built_at if built else None)


def chosen(routes: Routes, name: str, target: str | None, version: int | None) -> Route:
    """Return the route, once it is clear that there is something to evaluate in it.

    Raises:
        ConfigError: there is not.
        BadParameter: there is no such route, or no such fallback.
    """
    route = routes.routes.get(name)
    if route is None:
        message = f"there is no route {name!r}{did_you_mean(name, routes.routes)}"
        raise typer.BadParameter(message, param_hint="ROUTE")
    if route.primary is None:
        raise ConfigError(f"{route.name} has no primary: there is nothing that a fallback would have to keep up with")
    if version is None:
        _check_prompt(route, fallback_of(route, target))
    return route


def fallback_of(route: Route, name: str | None) -> Target:
    """Return a route's fallback: the named one, or the first."""
    if not route.fallbacks:
        raise ConfigError(f"{route.name} has no fallback to evaluate")
    names = {target.name: target for target in route.fallbacks}
    if name is not None and name not in names:
        message = f"{route.name} has no fallback {name!r}; it has {', '.join(names)}"
        raise typer.BadParameter(message, param_hint="--target")
    return names[name or route.fallbacks[0].name]


async def as_served(database: Database, routes: Routes, now: datetime) -> Routes:
    """Return the configuration with the promotions that are in force: its primaries are whoever serves."""
    return promoted(routes, await PromotionStore(database).active(), now).routes


async def with_version(
    database: Database, routes: Routes, served: Routes, name: str, number: int
) -> tuple[Routes, Version]:
    """Return the configuration with a version as the canary of its route, whose primary is whoever serves.

    So the version is known, priced and prepared as it would be if it stood there. ``routes`` are as routes.yaml has
    them, ``served`` as promotions have changed them.

    Raises:
        ConfigError: it cannot be called from here, or serves already.
        BadParameter: there is no such version.
    """
    route, store = routes.routes[name], VersionStore(database)
    version = await store.find(name, number)
    if version is None:
        known = ", ".join(one.name for one in await store.of_route(name))
        message = f"{name} has no version {version_name(number)}; it has {known or 'none yet'}"
        raise typer.BadParameter(message, param_hint="--version")
    provider = routes.providers.get(version.provider)
    if provider is None:
        raise ConfigError(f"{version.name} is a model of {version.provider}, which is no provider of routes.yaml")
    # What serves by a promotion is still to be compared with what routes.yaml names.
    against = next((one.primary for one in (served.routes[name], route) if not _is(one.primary, version)), None)
    if against is None:
        raise ConfigError(f"{version.name} is the primary of {name}: there is nobody to compare it with")
    target = target_of(route, version, provider)
    if why := unfit(route, target, PromotionState.SERVING):
        raise ConfigError(f"{version.name} cannot stand in {name}: {why}")
    canary = Canary(target=target.model_copy(update={"name": CANARY}), share=_NOBODY)
    changed = route.model_copy(update={"primary": against, "canary": canary})
    return routes.model_copy(update={"routes": {**routes.routes, name: changed}}), version


def whom(route: Route, wanted: str | None, version: Version | None) -> Compared:
    """Return who is evaluated: the route's fallback ``wanted``, or the version that is its canary."""
    if version is None or route.canary is None:
        return Compared(route, fallback_of(route, wanted))
    target = route.canary.target.model_copy(update={"name": version.name})
    return Compared(route.model_copy(update={"canary": None}), target, version)


def manifest_in(directory: Path) -> Manifest | None:
    """Return the manifest of a data set; None where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return parse_manifest((directory / MANIFEST).read_bytes(), str(directory / MANIFEST))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{directory / MANIFEST} cannot be read: {error.strerror}") from None


async def rows_in(file: Path) -> tuple[TrainingRow, ...]:
    """Read a training file.

    Raises:
        ConfigError: it cannot be read, or used.
    """
    try:
        return read_rows(await asyncio.to_thread(file.read_bytes), str(file)).rows
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def evaluation_file(directory: Path, route: Route) -> Path:
    """Return where the evaluation rows of a data set are.

    Raises:
        ConfigError: there are none.
    """
    file = directory / EVALUATION
    if not file.exists():
        raise ConfigError(
            f"{route.name} has no rows to be evaluated on: there is no {file}. Build a data set "
            f"(gateway dataset build {route.name}), or name a file with --rows"
        )
    return file


def without_seen(found: Gathered, trained: Trained | None, redactor: Redactor) -> tuple[Gathered, int]:
    """Leave out what the version was trained on; return how many rows those were."""
    if trained is None:
        return found, 0
    unseen = tuple(row for row in found.rows if not trained.has(row, redactor))
    return replace(found, rows=unseen), len(found.rows) - len(unseen)


def without_marked(found: Gathered, manifest: Manifest | None) -> tuple[Gathered, int, int]:
    """Leave out rows that are there for how an answer turned out, unless hardly any others remain.

    Returns:
        The rows, how many of these were left out, and how many are still among them.
    """
    known = manifest.rows(EVALUATION) if manifest is not None else ()
    marked = frozenset(row.input_id for row in known if row.source in MARKED)

    def is_marked(row: Row) -> bool:
        return row.input_id in marked

    others = tuple(row for row in found.rows if not is_marked(row))
    count = len(found.rows) - len(others)
    return (replace(found, rows=others), count, 0) if len(others) >= LEAST_UNMARKED else (found, 0, count)


def _is(target: Target | None, version: Version) -> bool:
    return target is not None and (target.provider.name, target.model) == (version.provider, version.model)


def _check_prompt(route: Route, target: Target) -> None:
    """Raise ``ConfigError`` where the prompt is not what routes.yaml says, or there is none to evaluate."""
    prompt, build = target.prompt, f"gateway pack build {route.name} --from FILE"
    if prompt is not None and prompt.missing_pack is not None:
        raise ConfigError(
            f"the pack of {target.name} is not there, only its name in routes.yaml: {prompt.missing_pack}; build it "
            f"({build}), or take `pack` out of the prompt"
        )
    if prompt is not None and (prompt.instructions or prompt.examples or prompt.pack or prompt.awaited_pack):
        return
    if prompt is None or prompt.caller_system == "keep":
        raise ConfigError(
            f"{target.name} has no prompt: there is nothing to evaluate but the base model; give it instructions, or a "
            f"pack ({build})"
        )
