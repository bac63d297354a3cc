"""``gateway ledger``: what is kept of every call, whether it is whole, and a way out for it."""

import asyncio
import json
from pathlib import Path

import typer

from gateway.cli.configuration import ROUTES, DatabaseOption, JsonOption, RoutesOption
from gateway.cli.ledger_export import export
from gateway.cli.ledger_verify import verify
from gateway.clock import SystemClock
from gateway.errors import ConfigError

ledger_app = typer.Typer(no_args_is_help=True, help="See what the ledger holds, prove it, and export it.")


@ledger_app.command("status")
def status(routes: RoutesOption = ROUTES, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show what the ledger holds, and what is still on its way there.

    Each call of a provider is written to the gateway's journal, a file, before it is made, and is a row of the database
    about a second after its end. A journal whose process is gone is taken up by the next gateway that starts with the
    same database and journal directory (GATEWAY_JOURNAL_DIR). Rows are counted by the hourly totals, so even a large
    ledger is looked at in a moment. Changes nothing, and may run beside a gateway.

    Exit codes: 0 all is well, 1 something needs a person, and is said below with what to do.

    Example:  gateway ledger status
    """
    from gateway.cli.ledger_findings import findings_of
    from gateway.cli.ledger_seen import ledger_of, see
    from gateway.cli.ledger_text import status_json, status_lines

    url, root = journals_of(database)
    seen = asyncio.run(see(url, root, ledger_of(routes)))
    findings = findings_of(seen)
    if as_json:
        typer.echo(json.dumps(status_json(seen), indent=2))
    else:
        for line in status_lines(seen, SystemClock().now()):
            typer.echo(line)
        for finding in findings:
            typer.echo(f"! {finding}")
    if findings:
        raise typer.Exit(1)


def journals_of(database: str | None) -> tuple[str, Path]:
    """Return a database's URL, and where the journals of its gateways are.

    Raises:
        ConfigError: a setting is wrong, or the URL names no database that a ledger can be kept in.
    """
    from gateway.config.settings import read_settings
    from gateway.ledger.store_opener import journal_root

    settings = read_settings(database_url=database)
    try:
        return settings.database_url, journal_root(settings.database_url, settings.journal_dir)
    except ValueError as error:
        raise ConfigError(str(error)) from None


ledger_app.command("verify")(verify)
ledger_app.command("export")(export)
