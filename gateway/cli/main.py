"""The ``gateway`` command. Each command imports what it needs when it runs, so that ``serve`` listens at once."""

import os
import sys
from collections.abc import Callable
from functools import cache

import typer
from typer.main import get_command

from gateway import __version__
from gateway.cli import (
    ask,
    capture_delete,
    classify,
    configuration,
    cutover,
    database,
    dataset_stats,
    dataset_validate,
    demo,
    evaluate,
    explain,
    forecast,
    impact,
    init,
    pack_store,
    promote,
    record,
    report,
    sandbox,
    scan,
    serve,
    tune,
)
from gateway.cli.capture import capture_app
from gateway.cli.dataset import dataset_app
from gateway.cli.import_litellm import import_app
from gateway.cli.keys import keys_app
from gateway.cli.ledger import ledger_app
from gateway.cli.lifecycle import lifecycle_app
from gateway.cli.pack import pack_app
from gateway.errors import ConfigError

app = typer.Typer(
    name="gateway",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Understudy: applications name a task, routes.yaml maps it to a fine-tuned model, and when that model is gone "
    "the same request is answered by a base model with a prompt.\n\n"
    "First steps:\n\n"
    "  gateway demo                      see it all happen, in two minutes\n\n"
    "  gateway serve --with-sandbox      try everything, without a key\n\n"
    "  gateway init --from openai        draft routes.yaml from your fine-tunes\n\n"
    "  gateway import litellm C.yaml     draft it from a LiteLLM proxy's config\n\n"
    "  gateway check routes.yaml         find what is wrong beforehand\n\n"
    "  gateway forecast                  what stops, and who answers then\n\n"
    "  gateway explain --route R         who would answer, and why\n\n"
    "  gateway record --before-shutdown  whose answers to keep while they can be had\n\n"
    "  gateway pack build R --from F     make a prompt of the fine-tune's own training file\n\n"
    "  gateway evaluate R                is the fallback good enough?\n\n"
    "  gateway dataset build R           the next fine-tune's examples\n\n"
    "  gateway tune R --on PROVIDER      train the next version\n\n"
    "  gateway promote R v2              the next model: a patch, a share, or at once\n\n"
    "  gateway keys create NAME          let an application call, within bounds\n\n"
    "  gateway report                    what it cost, how fast it was, and who answered\n\n"
    "Exit codes: 0 all is well, 1 there are findings, 2 the command was misused.",
)
config_app = typer.Typer(no_args_is_help=True, help="Look at what a configuration amounts to.")
config_app.command("show")(configuration.show)

app.command("init")(init.init)
app.add_typer(import_app, name="import")
app.command("serve")(serve.serve)
app.command("check")(configuration.check)
app.add_typer(config_app, name="config")
app.add_typer(lifecycle_app, name="lifecycle")
app.command("migrate")(database.migrate)
app.add_typer(ledger_app, name="ledger")
app.command("explain")(explain.explain)
app.command("cutover")(cutover.cutover)
app.command("promote")(promote.promote)
app.add_typer(keys_app, name="keys")
app.command("forecast")(forecast.forecast)
app.command("impact")(impact.impact)
capture_app.command("delete")(capture_delete.delete)
app.add_typer(capture_app, name="capture")
app.command("record")(record.record)
pack_app.command("push")(pack_store.push)
pack_app.command("remove")(pack_store.remove)
app.add_typer(pack_app, name="pack")
dataset_app.command("stats")(dataset_stats.stats)
dataset_app.command("validate")(dataset_validate.validate)
app.add_typer(dataset_app, name="dataset")
app.command("evaluate")(evaluate.evaluate)
app.command("tune")(tune.tune)
app.command("report")(report.report)
app.command("scan")(scan.scan)
app.command("try")(ask.try_route)
app.command("classify")(classify.classify)
app.command("sandbox")(sandbox.sandbox)
app.command("demo")(demo.demo)


def version(value: bool) -> None:
    """Print the version and stop."""
    if value:
        typer.echo(f"understudy-gateway {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _version: bool = typer.Option(False, "--version", callback=version, is_eager=True, help="Print the version."),
) -> None:
    """Carry the options of the command itself."""


@cache
def command() -> Callable[[], object]:
    """Build the whole command line, once a process: whoever runs many, as tests do, pays for it only once."""
    return get_command(app)


def main() -> None:
    """Run the command line; configuration errors become findings on stderr and exit code 1."""
    try:
        command()()
    except ConfigError as error:
        from gateway.config.findings import printable

        # It may repeat what a provider said, or what somebody else wrote.
        typer.echo("\n".join(map(printable, str(error).split("\n"))), err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output has enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
