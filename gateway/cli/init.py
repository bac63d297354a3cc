"""``gateway init``: from a provider's account to a first routes.yaml."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli.configuration import DatabaseOption, JsonOption
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.routes import Provider
    from gateway.lifecycle.draft import Draft
    from gateway.lifecycle.inventory import Inventory
    from gateway.lifecycle.provider_pages import Progress
    from gateway.lifecycle.training_files import Studied

KEYS = {
    "openai": "OPENAI_API_KEY",
    "azure": "AZURE_OPENAI_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "together": "TOGETHER_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "groq": "GROQ_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "xai": "XAI_API_KEY",
    "databricks": "DATABRICKS_TOKEN",
    "nim": "NVIDIA_API_KEY",
}
"""The variables in which vendors' own clients look for the key."""
_BASE_URLS = {"azure": "AZURE_OPENAI_ENDPOINT"}
_VARIABLE_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_DOWNLOADS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What to draft, and where to."""

    provider: "Provider"
    out: Path
    fallback: str | None
    training_dir: Path | None


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was drafted, and what became of the files."""

    draft: "Draft"
    studied: Mapping[str, "Studied"]
    notes: tuple[str, ...]
    kept: tuple[str, ...]
    """Prompts that were there already, and were left as they are."""
    starters: int
    """Prompts that no training file taught anything."""


def init(
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="KIND", help="Who holds your fine-tunes: openai, azure, vllm, sandbox, …"),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Where its API lives, where it is not the vendor's own.")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The variable that holds the key. By default the vendor's own, such as OPENAI_API_KEY."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The file to write; prompts go beside it.")] = Path("routes.yaml"),
    fallback: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Who answers instead. By default what the vendor names.")
    ] = None,
    download_training: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the training files there; prompts start from what they teach."),
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draft routes.yaml from the fine-tunes that a provider holds for you.

    Reads its models, fine-tuning jobs and training files; changes nothing there. Each fine-tune becomes one route line,
    with its base, its last day and what it was trained on; each route gets a prompt to start from. No file that exists
    is overwritten. The dates that the provider's API tells are kept in the gateway's database, for `forecast`.

    Example:  gateway init --from openai --download-training training

    Try it:   gateway sandbox --fine-tunes 40      then      gateway init --from sandbox --out trial/routes.yaml
    """
    if from_ is None:
        _misuse(_offer(os.environ))
    if os.path.lexists(out):
        _misuse(
            f"{out} exists, and is never overwritten. Draft somewhere else, and take over what you want: "
            f"--out draft/{out.name}"
        )
    order = Order(_provider(from_, base_url, api_key_env, os.environ), out, fallback, download_training)
    done = draft_files(order, os.environ, SystemClock().now().date())
    from gateway.config.settings import read_settings

    done = _with_dates_kept(done, read_settings(database_url=database).database_url)
    if as_json:
        from gateway.cli.init_report import as_document

        typer.echo(json.dumps(as_document(done, out), indent=2))
    else:
        from gateway.cli.init_report import lines

        for line in lines(done, out, os.environ):
            typer.echo(line)


def _with_dates_kept(done: Drafted, url: str) -> Drafted:
    """Keep what the provider's API said of dates; where it cannot be kept, that is a note."""
    from gateway.cli.known import open_or_make
    from gateway.store.database import DatabaseUnavailable
    from gateway.store.published import PublishedStore

    inventory = done.draft.inventory

    async def keep() -> None:
        opened = await open_or_make(url)
        try:
            await PublishedStore(opened).replace(
                inventory.provider.name, inventory.models.values(), SystemClock().now()
            )
        finally:
            await opened.close()

    if not any(model.dates.shutdown or model.base for model in inventory.models.values()):
        return done
    try:
        asyncio.run(keep())
    except (DatabaseUnavailable, ValueError, OSError) as error:
        return replace(done, notes=(*done.notes, f"The provider's dates were not kept: {error}."))
    return done


def draft_files(order: Order, environ: Mapping[str, str], today: date) -> Drafted:
    """Read the account and write the files.

    Raises:
        ConfigError: the account cannot be read, has no fine-tunes, or a file cannot be written.
    """
    from gateway.lifecycle.draft_files import prompt_files, routes_yaml

    with _shown_progress() as progress:
        draft, studied, problems = asyncio.run(_read(order, environ, today, progress))
    if not draft.names:
        raise ConfigError(_nothing_found(draft.inventory))
    text = routes_yaml(draft, studied, _written_dir(order))
    try:
        kept = _write_prompts(order.out.parent, prompt_files(draft, studied))
        # A reader of the directory sees the whole file or none; one that appeared meanwhile is not replaced.
        with order.out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or order.out}: {error.strerror}") from None
    starters = sum(not (name in studied and studied[name].system) for name in draft.names)
    if studied:
        problems.append(
            "prompts/*.examples.jsonl quote training data, and requests to the fallback carry them: look before you "
            "commit them."
        )
    return Drafted(draft, studied, (*draft.notes, *problems), kept, starters)


async def _read(
    order: Order, environ: Mapping[str, str], today: date, progress: "Progress"
) -> "tuple[Draft, dict[str, Studied], list[str]]":
    from gateway.config.routes import Routes
    from gateway.lifecycle.calendar import Calendar
    from gateway.lifecycle.draft import draft
    from gateway.lifecycle.fine_tuning_jobs import FileState, TrainingFile
    from gateway.lifecycle.inventory import read_inventory
    from gateway.lifecycle.training_files import fetch, study
    from gateway.providers.http_client import HttpClient
    from gateway.providers.openai_wire import Upstream

    client = HttpClient()
    try:
        upstream = Upstream(order.provider, client, environ, SystemClock())
        inventory = await read_inventory(upstream, today, progress)
        published = {(order.provider.name, name): model for name, model in inventory.models.items()}
        routes = Routes(config_hash="", routes={}, providers={order.provider.name: order.provider})
        drafted = draft(inventory, Calendar(routes, published), today, order.fallback)
        studied: dict[str, Studied] = {}
        problems: list[str] = []
        gate = asyncio.Semaphore(_DOWNLOADS_AT_ONCE)
        jobs = [*((route.name, route.fine_tune.job) for route in drafted.routes), *drafted.gone]
        wanted = [
            (name, job.file) for name, job in jobs if job and job.file and job.file.state is not FileState.DELETED
        ]

        async def take(name: str, file: TrainingFile, directory: Path) -> None:
            try:
                async with gate:
                    studied[name] = study(await fetch(upstream, file, directory / f"{name}.jsonl"))
            except (ConfigError, OSError) as error:
                problems.append(f"The training file of {name} was not taken: {error}.")
            progress("downloads", len(studied) + len(problems), len(wanted))

        if order.training_dir is not None:
            await asyncio.gather(*(take(name, file, order.training_dir) for name, file in wanted))
        return drafted, studied, problems
    finally:
        client.close()


def _provider(kind: str, base_url: str | None, api_key_env: str | None, environ: Mapping[str, str]) -> "Provider":
    from gateway.config.findings import did_you_mean
    from gateway.config.named_secrets import url_problem
    from gateway.config.provider_entries import complete_base_url
    from gateway.config.routes import Provider
    from gateway.config.vendors import VENDORS

    vendor = VENDORS.get(kind)
    if vendor is None:
        _misuse(
            f"--from: there is no kind {kind!r}{did_you_mean(kind, VENDORS)}\nThere are: {', '.join(sorted(VENDORS))}"
        )
    if vendor.litellm is not None or vendor.needs:
        _misuse(f"--from: accounts of {kind} cannot be read; docs/providers.md shows how to write its routes by hand")
    written = base_url or environ.get(_BASE_URLS.get(kind, "")) or vendor.base_url
    if written is None:
        variable = f", or set {_BASE_URLS[kind]}" if kind in _BASE_URLS else ""
        _misuse(f"{kind} has no address of its own: say where it is with --base-url https://…{variable}")
    if problem := url_problem(written):
        _misuse(f"--base-url {problem}")
    if api_key_env is not None and not _VARIABLE_NAME.fullmatch(api_key_env):
        # What was given is not repeated: it may be the key itself.
        _misuse("--api-key-env must be the NAME of an environment variable, in upper case; never the key")
    usual = KEYS.get(kind)
    name = api_key_env or (usual if usual and (vendor.needs_key or environ.get(usual)) else None)
    if name is not None and not environ.get(name, "").strip():
        _misuse(f"{name} is not set: it must hold your key for {kind}, as in\n\n  {name}=… gateway init --from {kind}")
    return Provider(name=kind, kind=kind, base_url=complete_base_url(written, vendor), api_key_env=name)


def _offer(environ: Mapping[str, str]) -> str:
    found = [(kind, name) for kind, name in KEYS.items() if environ.get(name, "").strip()]
    lines = ["Say who holds your fine-tunes:", ""]
    if found:
        width = max(len(kind) for kind, _ in found)
        lines += [f"  gateway init --from {kind:<{width}}      {name} is set" for kind, name in found]
    else:
        lines = ["No provider's key is set in this shell. Name a provider, and set its variable:", ""]
        lines += [
            "  OPENAI_API_KEY=… gateway init --from openai",
            "  AZURE_OPENAI_API_KEY=… gateway init --from azure --base-url https://NAME.openai.azure.com",
        ]
    lines += ["  gateway init --from vllm --base-url http://HOST:8000", "", "To see it first without any account:", ""]
    lines += ["  gateway sandbox --fine-tunes 40", "  gateway init --from sandbox      in a second terminal"]
    return "\n".join(lines)


def _nothing_found(inventory: "Inventory") -> str:
    provider = inventory.provider
    some = ", ".join(list(inventory.models)[:8])
    listed = (
        f"{len(inventory.models)} models: {some}{', …' if len(inventory.models) > 8 else ''}" if some else "no models"
    )
    advice = "Write a route by hand for each model that you use: routes.reference.yaml shows how."
    notes = "".join(f"\n{note}" for note in inventory.notes)
    return f"no fine-tunes were found at {provider.kind} ({provider.base_url}), which lists {listed}.\n{advice}{notes}"


def _written_dir(order: Order) -> str | None:
    """Return how routes.yaml names the directory of training files: relative to itself."""
    if order.training_dir is None:
        return None
    return Path(os.path.relpath(order.training_dir, order.out.parent)).as_posix()


def _write_prompts(root: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Write the files that are not there yet; return the paths of those that are."""
    kept = []
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            kept.append(path)
    return tuple(kept)


@contextmanager
def _shown_progress() -> "Iterator[Progress]":
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, int] = {}

        def show(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type]

        yield show


def _misuse(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
