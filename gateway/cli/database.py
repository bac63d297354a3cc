"""``gateway migrate``."""

from typing import Annotated

import typer

from gateway.errors import ConfigError


def migrate(
    database: Annotated[
        str | None, typer.Option(help="The database.  (default: sqlite+aiosqlite:///state/gateway.db)")
    ] = None,
) -> None:
    """Bring the ledger's database to this version's schema.

    SQLite needs no call: `serve` migrates it by itself. PostgreSQL is migrated by this command only, once per upgrade.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import DatabaseUnavailable, to_async_url, where
    from gateway.store.migrate import migrate as bring_to_head

    url = read_settings(database_url=database).database_url
    try:
        place = where(to_async_url(url))
        bring_to_head(url)
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot migrate: {error}") from None
    typer.echo(f"{place} is at this version's schema")
