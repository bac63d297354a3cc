"""``gateway tune``."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes

_NANO = 10**9
TRL = "trl"


def tune(
    route: Annotated[str, typer.Argument(help="A route.")],
    job: Annotated[str | None, typer.Argument(help="With --cancel: the job, where there are several.")] = None,
    on: Annotated[
        str | None, typer.Option("--on", metavar="PROVIDER|trl", help="Who trains: a provider, or your own GPU.")
    ] = None,
    base: Annotated[
        str | None, typer.Option("--base", metavar="MODEL", help="What is trained from.  (default: the primary's base)")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", metavar="DIR", help="A data set.  (default: datasets/ROUTE)")
    ] = None,
    method: Annotated[str, typer.Option("--method", metavar="sft|dpo", help="Answers, or preferences.")] = "sft",
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, max=50, help="How often over the rows.  (default: as the vendor's)")
    ] = None,
    suffix: Annotated[
        str | None, typer.Option("--suffix", help="In the model's name.  (default: the route's name)")
    ] = None,
    max_usd: Annotated[
        float | None, typer.Option("--max-usd", min=0, max=1_000_000, help="What the job may be estimated at, at most.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before spending money.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End once the provider has the job.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Train even what was trained already, with the same settings.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="The route's jobs, and where they stand.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="End a job.")] = False,
    deployment: Annotated[
        str | None,
        typer.Option("--deployment", metavar="NAME", help="The trained model is deployed under this name (Azure)."),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", metavar="DIR", help="Load a LoRA into the server, and register it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="With --adapter: what it is called.  (default: ROUTE-vN)")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="With --on trl.  (default: tune/ROUTE beside routes.yaml)"),
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a route's next version on its data set: at a provider, or on your own GPU.

    Before anything is uploaded: the data set is held to the trainer's rules, the base's last training day is looked up,
    and the provider is asked whether it still trains for you. What it will cost is estimated and agreed to. Then rows
    are uploaded, the job begins, and is waited for; its model becomes the route's next version, which serves nobody
    until you promote it.

    Each step is written down before it is taken. A command that was stopped or killed goes on where it was, by the same
    command: with one upload and one job, paid once. Ctrl-C leaves the job running at the provider.

    `--on trl` writes a directory with the rows, a training script and its configuration; `--adapter` brings what you
    trained back, loaded into a vLLM server.

    Exit codes: 0 it is done (or, with --no-wait, begun), 1 it failed or may not be, 2 the command was misused, 130
    stopped by Ctrl-C.

    Example:  gateway tune forum-reply --on openai --max-usd 5

    Example:  gateway tune forum-reply --status

    Example:  gateway tune forum-reply --on trl --base Qwen/Qwen3-4B

    Example:  gateway tune forum-reply --on own --adapter tune/forum-reply/adapter
    """
    from gateway.cli.logs import configure_logs
    from gateway.cli.pack_sources import find_route
    from gateway.cli.tune_wish import TuneWish
    from gateway.config.settings import read_settings

    if method not in ("sft", "dpo"):
        raise typer.BadParameter(f"{method!r} is neither sft nor dpo", param_hint="--method")
    chosen = [flag for flag, is_set in (("--status", status), ("--cancel", cancel), ("--adapter", adapter)) if is_set]
    if len(chosen) > 1:
        raise typer.BadParameter("are two wishes: say one", param_hint=" and ".join(chosen))
    if job is not None and not cancel:
        raise typer.BadParameter(f"{job!r}: a job is named with --cancel", param_hint="JOB")
    loaded = load_routes(routes).routes
    wish = TuneWish(
        route=find_route(loaded, route),
        routes=loaded,
        routes_file=routes,
        on=on,
        base=base,
        dataset=dataset,
        method="dpo" if method == "dpo" else "sft",
        epochs=epochs,
        suffix=suffix,
        cap_nanousd=None if max_usd is None else int(Decimal(str(max_usd)) * _NANO),
        agreed=yes,
        wait=not no_wait,
        again=again,
        quiet=as_json,
        deployment=deployment,
    )
    configure_logs("warning")
    url = read_settings(database_url=database).database_url
    if status or cancel:
        from gateway.cli import tune_jobs

        work = tune_jobs.cancel(wish, url, job) if cancel else tune_jobs.status(wish, url)
    elif adapter is not None:
        from gateway.cli import tune_adapter

        work = tune_adapter.bring(wish, url, adapter, name)
    elif on == TRL:
        from gateway.cli import tune_kit

        work = tune_kit.write(wish, url, out)
    else:
        from gateway.cli import tune_run

        work = tune_run.run(wish, url)
    told = asyncio.run(work)
    typer.echo(json.dumps(told.as_object, indent=2, ensure_ascii=False) if as_json else "\n".join(told.lines))
    raise typer.Exit(told.exit_code)
