"""The database as ``gateway keys`` uses it: opened, a key found by its name or id, and closed; and the pepper."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar

from gateway.cli.known import no_state_in, open_or_make
from gateway.errors import ConfigError, Conflict, NotFound

if TYPE_CHECKING:
    from gateway.store.database import Database
    from gateway.store.keys import KeyRow, KeyStore

NO_PEPPER: Final = (
    "GATEWAY_KEY_PEPPER is not set (nor GATEWAY_KEY_PEPPER_FILE): keys are kept as digests under it, so this command "
    "and every replica need the same one. Make it once, and keep it as you keep passwords:\n"
    "  export GATEWAY_KEY_PEPPER=$(openssl rand -hex 32)"
)
_LONGEST_NAME: Final = 200
T = TypeVar("T")


def pepper(database: str | None = None) -> bytes:
    """Return the pepper of the environment. Raises ``ConfigError`` that says how to make one."""
    from gateway.config.settings import read_settings

    secret = read_settings(database_url=database).key_pepper
    if secret is None:
        raise ConfigError(NO_PEPPER)
    return secret.get_secret_value().encode()


def person(by: str | None) -> str:
    """Name who does it, for the audit: whom ``--by`` names, or who sits at this machine."""
    from gateway.cli.cutover import whoami
    from gateway.config.findings import printable

    return printable(by or whoami())[:_LONGEST_NAME]


def with_database(url: str | None, work: "Callable[[Database], Awaitable[T]]", *, make: bool = False) -> T:
    """Return what work on the database comes to. ``make``: a SQLite file that is not there yet is made.

    Raises ``ConfigError``: there is no such key or database, another has the name, or it cannot be reached.
    """
    from gateway.config.settings import read_settings
    from gateway.store.database import Database, DatabaseUnavailable

    chosen = read_settings(database_url=url).database_url

    async def opened_for() -> "T":
        database = await open_or_make(chosen) if make else await Database.open_existing(chosen)
        if database is None:
            raise no_state_in(chosen)
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(opened_for())
    except (Conflict, NotFound) as error:
        raise ConfigError(error.message) from None
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot reach the keys: {error}") from None


async def key_named(store: "KeyStore", name: str) -> "KeyRow":
    """Return the key of a name or an id. Raises ``ConfigError`` with the nearest name where there is none."""
    from gateway.config.findings import did_you_mean, printable

    rows = await store.all()
    for row in rows:
        if name in (row.caller.name, row.caller.id):
            return row
    near = did_you_mean(name, [row.caller.name for row in rows])
    said = (
        f"there is no key '{printable(name)[:100]}' in the database{near or '; `gateway keys list --all` has them all'}"
    )
    raise ConfigError(f"{said} (keys of routes.yaml are changed there)")
