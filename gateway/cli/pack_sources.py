"""What the pack commands work on: rows, instructions, redaction, and the packs that somebody names."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import orjson
import typer

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.findings import Finding
    from gateway.config.packs import Pack
    from gateway.config.routes import Route, Routes, Target
    from gateway.learning.capture.redaction import Redactor
    from gateway.learning.packs.rows import Source
    from gateway.store.database import Database
    from gateway.store.recordings import Recording

RECORDINGS = "recordings"
"""In the place of a file: what the route's primary answered while it lived."""


@dataclass(frozen=True, slots=True)
class NamedPack:
    """A pack, and what is known of where it is used."""

    label: str
    pack: "Pack"
    directory: Path | None = None
    """None: it lives in the database."""
    route: "Route | None" = None
    target: "Target | None" = None


def find_route(routes: "Routes", name: str) -> "Route":
    """Return a route; raise ``BadParameter`` where there is none of that name."""
    from gateway.config.findings import did_you_mean

    if name not in routes.routes:
        near = did_you_mean(name, routes.routes)
        raise typer.BadParameter(f"{routes.files[0]} has no route {name!r}{near}", param_hint="ROUTE")
    return routes.routes[name]


def find_fallback(route: "Route", name: str | None) -> "Target | None":
    """Return the fallback that a pack is for: the named one, or the first; None where a route has none."""
    if name is None:
        return route.fallbacks[0] if route.fallbacks else None
    for target in route.fallbacks:
        if target.name == name:
            return target
    names = ", ".join(target.name for target in route.fallbacks) or "none"
    raise typer.BadParameter(f"route {route.name!r} has the fallbacks {names}", param_hint="--fallback")


def redactor_of(route: "Route | None", words: str | None = None) -> "Redactor":
    """Return what redacts a route's texts: as asked for, else as the route's capture says, else everything built in."""
    from gateway.config.routes_learning import Redaction
    from gateway.learning.capture.redaction import Redactor

    capture = route.capture if route is not None else None
    patterns = capture.patterns if capture is not None else {}
    regions = capture.phone_regions if capture is not None else ()
    chosen: Sequence[Redaction] = capture.redact if capture is not None else get_args(Redaction)
    if words is not None:
        named = [word.strip() for word in words.split(",") if word.strip()]
        if unknown := [word for word in named if word not in get_args(Redaction)]:
            message = f"{unknown[0]!r} is none of {', '.join(get_args(Redaction))}"
            raise typer.BadParameter(message, param_hint="--redact")
        chosen = [word for word in get_args(Redaction) if word in named]
    return Redactor(chosen, patterns, regions)


def read_sources(
    names: Sequence[str], route: "Route", database: str | None
) -> "tuple[list[Source], tuple[Finding, ...]]":
    """Return the rows of files and recordings, and what is to be said of them, by line.

    Raises:
        ConfigError: one cannot be read, or holds rows that cannot be used: all of these, each with its line.
    """
    from gateway.config.findings import Finding
    from gateway.learning.packs.rows import Source, recorded_rows
    from gateway.learning.packs.training_rows import InvalidTrainingFile, read_rows

    sources: list[Source] = []
    findings: list[Finding] = []
    errors: list[Finding] = []
    for name in dict.fromkeys(names):
        if name == RECORDINGS:
            recorded = asyncio.run(_recordings(route, database))
            pairs = [(row.request, row.answer) for row in recorded if row.sample == 0 and row.answer is not None]
            source, unusable = recorded_rows(pairs, RECORDINGS)
            sources.append(source)
            if unusable:
                findings.append(Finding(name, 1, f"{unusable:,} are no examples (two system messages, say): left out"))
            continue
        try:
            read = read_rows(content_of(Path(name)), name)
        except InvalidTrainingFile as refused:
            errors += refused.findings
            continue
        sources.append(Source(read.label, read.rows))
        findings += read.findings
    if errors:
        raise InvalidTrainingFile(tuple(errors))
    return sources, tuple(findings)


def author_words(file: Path | None, fallback: "Target | None") -> tuple[str | None, str]:
    """Return the instructions that a person wrote, and where; None where nobody did."""
    from gateway.learning.packs.building import FROM_ROWS

    if file is not None:
        try:
            text = content_of(file).decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ConfigError(f"{file} is not UTF-8") from None
        if not text:
            raise ConfigError(f"{file} is empty")
        return text, file.name
    prompt = fallback.prompt if fallback is not None else None
    if fallback is None or prompt is None or not prompt.instructions:
        return None, FROM_ROWS
    origin = f"fallback {fallback.name}"
    # Without words of its own, a prompt has those of the pack that is about to be replaced.
    theirs = prompt.pack
    if theirs is not None and prompt.instructions == theirs.instructions:
        own = theirs.manifest.get("instructions_from")
        return (prompt.instructions, origin) if own == origin else (None, FROM_ROWS)
    return prompt.instructions, origin


def named_packs(name: str, routes: "Routes | None", database: str | None) -> list[NamedPack]:
    """Return the pack in a directory, or those of a route's fallbacks.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    from gateway.config.packs import MANIFEST
    from gateway.learning.packs.directory import read_directory

    directory = Path(name)
    is_route = routes is not None and name in routes.routes
    if (directory / MANIFEST).exists() or (directory.is_dir() and not is_route):
        pack = read_directory(directory)
        route = routes.routes.get(pack.route) if routes is not None else None
        return [NamedPack(name, pack, directory, route, find_fallback(route, None) if route is not None else None)]
    if routes is None:
        raise typer.BadParameter(f"there is no directory {name!r}")
    found = list(_of_route(find_route(routes, name), routes, database))
    if not found:
        raise ConfigError(
            f"routes.{name}: no fallback has a pack yet; build one: gateway pack build {name} --from FILE"
        )
    return found


def referenced_packs(routes: "Routes", database: str | None) -> tuple[list[NamedPack], list[str]]:
    """Return every pack that a configuration names, and what is to be said of those that are not there."""
    found: list[NamedPack] = []
    lacking: list[str] = []
    for route in routes.routes.values():
        for target in route.fallbacks:
            prompt = target.prompt
            if prompt is not None and prompt.missing_pack is not None:
                lacking.append(
                    f"routes.{route.name} ({target.name}): there is no pack at {prompt.missing_pack}; "
                    f"build it: gateway pack build {route.name} --from FILE"
                )
            try:
                found += _of_target(route, target, routes, database)
            except ConfigError as error:
                lacking.append(f"routes.{route.name} ({target.name}): {error}")
    return found, lacking


def window_of(routes: "Routes", target: "Target | None") -> int | None:
    """Return how many tokens a target takes; None: not known."""
    from gateway.clock import SystemClock
    from gateway.providers.prices import PriceBook

    if target is None:
        return None
    book = PriceBook.for_routes(routes, SystemClock().now().date())
    return book.window(target.provider.name, target.model)


def _of_route(route: "Route", routes: "Routes", database: str | None) -> Iterator[NamedPack]:
    for target in route.fallbacks:
        yield from _of_target(route, target, routes, database)


def _of_target(route: "Route", target: "Target", routes: "Routes", database: str | None) -> Iterator[NamedPack]:
    prompt, label = target.prompt, f"{route.name} ({target.name})"
    if prompt is not None and prompt.pack is not None:
        yield NamedPack(label, prompt.pack, _directory_of(prompt.pack, routes), route, target)
    elif prompt is not None and prompt.awaited_pack is not None:
        yield NamedPack(label, asyncio.run(_fetched(prompt.awaited_pack, database)), None, route, target)


def _directory_of(pack: "Pack", routes: "Routes") -> Path | None:
    """Find the directory that a configuration read a pack from."""
    from gateway.config.packs import MANIFEST

    manifests = [Path(file) for file in routes.files if os.path.basename(file) == MANIFEST]
    theirs = (path.parent for path in manifests if orjson.loads(path.read_bytes()).get("hash") == pack.hash)
    return next(theirs, None)


async def _fetched(hash_: str, url: str | None) -> "Pack":
    from gateway.config.packs import BadPack
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable
    from gateway.store.packs import PackStore

    try:
        database = await Database.open_existing(read_settings(database_url=url).database_url)
        try:
            found = await PackStore(database).fetch([hash_]) if database is not None else {}
        finally:
            if database is not None:
                await database.close()
    except (DatabaseUnavailable, ValueError, BadPack) as error:
        raise ConfigError(f"pack {hash_}: {error}") from None
    if hash_ not in found:
        raise ConfigError(f"the database has no pack {hash_}; put it there: gateway pack push DIR")
    return found[hash_]


async def _recordings(route: "Route", url: str | None) -> "list[Recording]":
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable

    try:
        database = await Database.open_existing(read_settings(database_url=url).database_url)
        if database is None:
            return []
        try:
            # What was recorded while the route was another customer's stays out.
            return [row for row in await recordings_of(route, database) if row.tenant == (route.tenant or "")]
        finally:
            await database.close()
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot read the recordings: {error}") from None


async def recordings_of(route: "Route", database: "Database") -> "list[Recording]":
    """Return what a route's primary answered as it is asked today, whoever's route it was then.

    Raises:
        ConfigError: it has no primary.
        DatabaseUnavailable: the database is away.
    """
    from gateway.learning.recordings.plan import asked_with
    from gateway.store.recordings import RecordingStore

    if route.primary is None:
        raise ConfigError(f"routes.{route.name} has no primary, and so no recordings")
    own = (route.name, route.primary.provider.name, route.primary.model, asked_with(route.primary))
    return await RecordingStore(database).of_route(*own)


def content_of(path: Path) -> bytes:
    """Return a training file's content, cut behind the most that is read; raise ``ConfigError`` where it cannot be."""
    from gateway.learning.packs.training_rows import MAX_FILE_BYTES

    try:
        with path.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
