"""``gateway dataset``: the next fine-tune's examples, built of marks, recordings and files, written for trainers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption, load_routes
from gateway.clock import SystemClock
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.cli.dataset_work import Published
    from gateway.config.routes import Route
    from gateway.learning.datasets.building import Built
    from gateway.learning.datasets.formats import Format
    from gateway.store.database import Database

dataset_app = typer.Typer(
    no_args_is_help=True,
    help="Build the next fine-tune's examples, prove them, and write them as trainers read them.",
)
RouteArgument = Annotated[str, typer.Argument(help="A route.")]


@dataset_app.command("build")
def build(
    route: RouteArgument,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="SOURCE|FILE",
            help="corrections, approved, recordings, captured, or a training file; may be repeated.  "
            "(default: corrections, approved, and the route's training.file)",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its directory.  (default: datasets/ROUTE beside routes.yaml)")
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a data set: training rows, evaluation rows, and a preference pair for every correction.

    Everything is redacted. Of one input the best answer stays: a person's correction, else what a person approved of,
    else a file's, else a recording, else a captured one. A fifth of the conversations is kept to evaluate with, chosen
    by a hash of how each begins: the same rows are on the same side for ever, and a training row that tells the answer
    of an evaluation row is left out. Rows of other tenants are never read. manifest.json says of each row whose input
    it is, who wrote its answer, and why it may be used. All files are readable by you alone.

    The same rows give the same bytes, and so the same hash, in whatever order they come.

    Example:  gateway dataset build forum-reply
    """
    from gateway.cli.cutover import whoami
    from gateway.cli.dataset_report import built_lines, built_report
    from gateway.cli.dataset_work import deleted_ever, directory_of, publish, sourced, using, usual_sources
    from gateway.cli.pack_sources import find_route, redactor_of
    from gateway.learning.datasets.building import Whose
    from gateway.learning.datasets.building import build as build_dataset

    known = load_routes(routes).routes
    own = find_route(known, route)
    names = sources or usual_sources(own, known)
    directory = out.absolute() if out is not None else directory_of(own, routes)
    whose = Whose(own.name, own.tenant, whoami(), SystemClock().now())

    async def work(opened: "Database | None") -> "tuple[Built, Published]":
        read = await sourced(names, own, opened)
        built = build_dataset(read, whose, redactor_of(own), await deleted_ever(opened))
        if not built.files:
            raise ConfigError(_nothing(route, names, built))
        return built, await publish(opened, directory, built.manifest, built.files, "dataset", whose.at)

    told = built_report(*using(database, work))
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else "\n".join(built_lines(told)))


@dataset_app.command("export")
def export(
    route: Annotated[str | None, typer.Argument(help="A route.")] = None,
    form: Annotated[str | None, typer.Option("--format", metavar="FORMAT", help="A trainer's.")] = None,
    split: Annotated[str | None, typer.Option(metavar="train|evaluation|both", help="Which rows.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="DIR", help="A data set.  (default: datasets/ROUTE)")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="Save all that a vendor may close, of every route.")
    ] = False,
    providers: Annotated[
        list[str] | None,
        typer.Option("--provider", metavar="NAME", help="With --everything: of this provider; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The directory to write.  (default: datasets/ROUTE/FORMAT)")
    ] = None,
    routes: RoutesOption = ROUTES,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a data set as a trainer reads it: train.jsonl, evaluation.jsonl, and what each row is.

    FORMAT is openai-sft, openai-dpo, bedrock, together, fireworks, trl-sft, trl-dpo or trl-kto. Preference formats
    (-dpo) have the corrections whose answer is known; trl-kto has what people called right or wrong. What a format has
    no place for (tools at Bedrock's, say) is never bent: the row is left out, and named with its line.

    --everything, before a vendor closes: every fine-tuning job with its training, validation and result files, and of
    every route its corrections, approved, captured and recorded answers, its verdicts and prompt packs, with one
    manifest of hashes, dates, what could not be had, and what to do next. A second run fetches what is not there yet;
    exit code 1: something could not be had.

    Example:  gateway dataset export forum-reply --format openai-sft

    Example:  gateway dataset export --everything --out everything
    """
    from gateway.cli.dataset_report import export_lines
    from gateway.cli.dataset_work import directory_of
    from gateway.cli.pack_sources import find_route

    if everything:
        from gateway.cli.dataset_everything import export_everything

        if route or form or split or source:
            raise typer.BadParameter("saves all there is; give it only --out and --provider", param_hint="--everything")
        export_everything(out=out, providers=providers or (), routes=routes, database=database, as_json=as_json)
        return
    if route is None or form is None:
        raise typer.BadParameter("name a route and a --format, or ask for --everything", param_hint="ROUTE")
    if providers:
        raise typer.BadParameter("goes with --everything", param_hint="--provider")
    own = find_route(load_routes(routes).routes, route)
    told = _exported(own, _format(form), split or "both", source or directory_of(own, routes), out, routes, database)
    typer.echo(json.dumps(told, indent=2, ensure_ascii=False) if as_json else "\n".join(export_lines(told)))


def _exported(
    route: "Route", form: "Format", split: str, source: Path, out: Path | None, routes: Path, database: str | None
) -> dict[str, Any]:
    """Write one data set in one format, and return what is to be said of it."""
    from gateway.cli.cutover import whoami
    from gateway.cli.dataset_report import export_report
    from gateway.cli.dataset_work import directory_of, publish, using
    from gateway.learning.datasets.directory import read
    from gateway.learning.datasets.export import exported
    from gateway.policy.splits import Split

    if split not in ("both", *Split):
        raise typer.BadParameter(f"{split!r} is none of train, evaluation, both", param_hint="--split")
    at = SystemClock().now()
    dataset = read(source.absolute())
    if (dataset.manifest.route, dataset.manifest.tenant) != (route.name, route.tenant):
        raise ConfigError(f"{source} is the data set of route '{dataset.manifest.route}', not of '{route.name}'")
    splits = tuple(Split) if split == "both" else (Split(split),)
    written = exported(dataset, form, splits=splits, by=whoami(), at=at)
    if not written.files:
        reasons = "; ".join(sorted({row.reason for row in written.left_out})) or "it has no rows"
        raise ConfigError(f"nothing of {source} can be written as {form.name}: {reasons}")
    place = out.absolute() if out is not None else directory_of(route, routes) / form.name

    async def work(opened: "Database | None") -> "Published":
        return await publish(opened, place, written.manifest, written.files, "export", at)

    return export_report(written, using(database, work), form)


def _format(name: str) -> "Format":
    from gateway.config.findings import did_you_mean
    from gateway.learning.datasets.formats import FORMATS

    if name not in FORMATS:
        message = f"{name!r} is none of {', '.join(FORMATS)}{did_you_mean(name, FORMATS)}"
        raise typer.BadParameter(message, param_hint="--format")
    return FORMATS[name]


def _nothing(route: str, names: list[str], built: "Built") -> str:
    """Say why there is no row at all."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in built.manifest.left_out.items())
    if reasons:
        return f"of {', '.join(names)} no row of route {route!r} is left: {reasons}"
    return (
        f"there is nothing to build a data set of route {route!r} from: {', '.join(names)} have no rows; mark answers "
        "(POST /v1/feedback), or say --from FILE, --from recordings or --from captured"
    )
