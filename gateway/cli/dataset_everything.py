"""``gateway dataset export --everything``: what a vendor is about to close, and what is kept here, in one directory."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import typer

from gateway.cli.configuration import load_routes
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.cli.progress_bar import Advance
    from gateway.config.loader import Loaded
    from gateway.config.packs import Pack
    from gateway.config.routes import Provider, Target
    from gateway.learning.datasets.everything import RouteSaved
    from gateway.learning.datasets.manifest import Manifest
    from gateway.learning.datasets.vendor_files import Owner, VendorSaved
    from gateway.lifecycle.calendar import Calendar
    from gateway.store.database import Database


def export_everything(
    *, out: Path | None, providers: Sequence[str], routes: Path, database: str | None, as_json: bool
) -> None:
    """Save fine-tuning jobs and their files from providers, and every route's rows, verdicts and packs from here.

    Exits with 1 where something could not be had.
    """
    from gateway.cli.dataset_work import using
    from gateway.cli.known import read_known
    from gateway.cli.progress_bar import progress_bar
    from gateway.learning.datasets.everything import claim
    from gateway.lifecycle.calendar import Calendar

    loaded = load_routes(routes)
    chosen = _providers(loaded, providers)
    place = (out or routes.parent / "everything").absolute()
    work = _Work(loaded, place, SystemClock().now())
    calendar = Calendar(loaded.routes, read_known(database, quietly=True).published)
    try:
        claim(place, work.at, work.by)
        with progress_bar("exporting") as advance:
            told = using(database, lambda opened: work.run(opened, chosen, calendar, advance))
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or place}: {error.strerror}") from None
    typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode() if as_json else "\n".join(_lines(told, place)))
    raise typer.Exit(1 if told["missing"] else 0)


def _providers(loaded: "Loaded", names: Sequence[str]) -> "list[Provider]":
    from gateway.config.findings import did_you_mean
    from gateway.lifecycle.fine_tuning_jobs import WITH_JOBS

    known = loaded.routes.providers
    for name in names:
        if name not in known:
            raise typer.BadParameter(
                f"there is no provider {name!r}{did_you_mean(name, known)}", param_hint="--provider"
            )
    return [one for one in known.values() if (one.name in names if names else one.kind in WITH_JOBS)]


@dataclass(frozen=True, slots=True)
class _Work:
    """One export."""

    loaded: "Loaded"
    out: Path
    at: datetime

    @property
    def by(self) -> str:
        """Who exports."""
        from gateway.cli.cutover import whoami

        return whoami()

    async def run(
        self, opened: "Database | None", chosen: "Sequence[Provider]", calendar: "Calendar", advance: "Advance"
    ) -> dict[str, Any]:
        """Do it, and return the manifest of all of it."""
        from gateway.learning.datasets.everything import finish

        routes = await self._routes(opened, calendar)
        vendors = await self._vendors(opened, chosen, advance)
        told = finish(self.out, vendors, routes, self.at, self.by)
        unknown = "there is no database: what is asked to be deleted later is not looked for in these files"
        return told | ({} if opened is not None else {"warning": unknown})

    async def _routes(self, opened: "Database | None", calendar: "Calendar") -> "list[RouteSaved]":
        from gateway.learning.datasets.everything import save_packs, save_route
        from gateway.lifecycle.forecast import main_of

        saved, packs = [], self._packs_on_disk()
        for route in self.loaded.routes.routes.values():
            dates = calendar.dates_of(main_of(route))
            one = await save_route(route, dates, opened, self.out, self._blank(), self._putting(opened))
            await save_packs(
                route,
                one,
                self.out,
                lambda target: self._pack_files(opened, target, packs),
                lambda path, pack: self._keep_pack(opened, path, pack),
            )
            saved.append(one)
        return saved

    async def _vendors(
        self, opened: "Database | None", chosen: "Sequence[Provider]", advance: "Advance"
    ) -> "list[VendorSaved]":
        from gateway.cli.dataset_work import deleted_ever
        from gateway.learning.datasets.vendor_files import Saving, save_vendor
        from gateway.lifecycle.provider_pages import Reading
        from gateway.providers.http_client import HttpClient
        from gateway.providers.openai_wire import Upstream

        owners, nobody = self._owners()
        gone = await deleted_ever(opened)
        client, saved = HttpClient(), []
        try:
            for number, provider in enumerate(chosen):
                saving = Saving(
                    out=self.out / "providers" / provider.name,
                    owners=owners.get(provider.name, {}),
                    nobody=nobody,
                    blank=self._blank(),
                    gone=gone,
                    put=self._putting(opened),
                    advance=_part_of(advance, number, len(chosen)),
                )
                upstream = Upstream(provider, client, os.environ, SystemClock())
                saved.append(await save_vendor(Reading(upstream, lambda what, done, total: None), saving))
        finally:
            client.close()
        return saved

    def _owners(self) -> "tuple[dict[str, dict[str, Owner]], Owner]":
        """Return whose each provider's models are: a fine-tune's training file is its route's."""
        from gateway.cli.pack_sources import redactor_of
        from gateway.learning.datasets.vendor_files import Owner

        owners: dict[str, dict[str, Owner]] = {}
        for route in self.loaded.routes.routes.values():
            if route.primary is not None:
                own = Owner(route.name, route.tenant, redactor_of(route))
                owners.setdefault(route.primary.provider.name, {}).setdefault(route.primary.model, own)
        return owners, Owner("", None, redactor_of(None))

    def _blank(self) -> "Manifest":
        from gateway.learning.datasets.manifest import NEUTRAL, Manifest

        return Manifest("", None, NEUTRAL, {}, self.at, self.by)

    def _putting(self, opened: "Database | None") -> Any:
        from gateway.cli.dataset_work import publish

        async def put(directory: Path, manifest: "Manifest", files: Mapping[str, bytes]) -> None:
            await publish(opened, directory, manifest, files, "export", self.at)

        return put

    async def _pack_files(
        self, opened: "Database | None", target: "Target", packs: Mapping[str, Mapping[str, bytes]]
    ) -> Mapping[str, bytes] | None:
        from gateway.store.packs import PackStore

        prompt = target.prompt
        if prompt is None:
            return None
        if prompt.awaited_pack is not None:
            files = await PackStore(opened).files(prompt.awaited_pack) if opened is not None else {}
            if not files:
                raise ConfigError(f"{prompt.awaited_pack} is not in the database")
            return files
        if prompt.missing_pack is not None:
            raise ConfigError(f"{prompt.missing_pack} is not there")
        return packs.get(prompt.pack.hash) if prompt.pack is not None else None

    def _packs_on_disk(self) -> dict[str, dict[str, bytes]]:
        from gateway.config.packs import MANIFEST, BadPack, parse_pack
        from gateway.learning.packs.directory import read_files

        found = {}
        for file in self.loaded.routes.files:
            if Path(file).name == MANIFEST:
                files = read_files(Path(file).parent)
                try:
                    found[parse_pack(files).hash] = files
                except BadPack:
                    # Loaded a moment ago: whoever changes it meanwhile gets no copy.
                    continue
        return found

    async def _keep_pack(self, opened: "Database | None", path: Path, pack: "Pack") -> None:
        from gateway.store.datasets import DatasetStore, ExportedFile

        if opened is not None:
            ids = sorted({example.id for example in pack.examples} | pack.held_out)
            row = ExportedFile(socket.gethostname(), str(path), pack.route, pack.tenant or "", "export", ids, self.at)
            await DatasetStore(opened).register(row)


def _part_of(advance: "Advance", number: int, of: int) -> "Advance":
    """Return what tells the progress of one part of several as that of the whole."""
    return lambda share, said: advance((number + share) / of, said)


def _lines(told: Mapping[str, Any], place: Path) -> list[str]:
    from gateway.cli.aligned import aligned
    from gateway.config.findings import printable
    from gateway.lifecycle.forecast_words import counted

    out = [f"everything is in {place}: {counted(len(told['files']), 'file')}, and manifest.json with their hashes"]
    for one in told["providers"]:
        held = f"{counted(one['fetched'], 'file')} fetched, {one['already_there']:,} there already"
        out.append(f"{one['provider']}: {counted(one['jobs'], 'job')}; {held}")
    rows = [_route_cells(one) for one in told["routes"]]
    out += ["", *aligned([("route", "kept", "packs", "stops", "last training day"), *rows])] if rows else []
    notes = [note for one in told["providers"] for note in one["notes"]]
    notes += [told["warning"]] if "warning" in told else []
    out += ["", *map(printable, notes)] if notes else []
    if told["missing"]:
        out += ["", "could not be had:"]
        out += [f"  {printable(one['what'])}: {printable(one['why'])}" for one in told["missing"]]
    return [*out, *(["", "next:", *(f"  {step}" for step in told["next"])] if told["next"] else [])]


def _route_cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    kept = ", ".join(f"{count:,} {kind}" for kind, count in one["rows"].items()) or "nothing"
    return one["route"], kept, ", ".join(one["packs"]), str(one["stops"] or ""), str(one["last_training_day"] or "")
