"""Bring a database's schema to head. The one module of ours that runs alembic, and imports it only then."""

from pathlib import Path

from gateway.store.database import DatabaseUnavailable, make_sqlite_file, to_async_url, unavailable_as_such, where

__all__ = ["DatabaseUnavailable", "migrate", "migrations_directory"]

_PACKAGE = Path(__file__).parent.parent


def migrate(url: str, revision: str = "head") -> None:
    """Migrate the database to ``revision``; does nothing where it stands there already.

    Blocks, and runs an event loop of its own: from async code call it in a thread. Raises ``DatabaseUnavailable``.
    """
    from alembic.config import Config

    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(migrations_directory(_PACKAGE)).replace("%", "%%"))
    async_url = to_async_url(url)
    # As an attribute: an option would be interpolated, and a password may hold a "%".
    config.attributes["url"] = async_url
    with unavailable_as_such(where(async_url)):
        make_sqlite_file(async_url)
        command.upgrade(config, revision)


def migrations_directory(package: Path) -> Path:
    """Return where the migrations are: inside an installed package, or beside the package in a checkout.

    Raises ``FileNotFoundError``.
    """
    for directory in (package / "store" / "migrations", package.parent / "alembic"):
        if (directory / "env.py").is_file():
            return directory
    raise FileNotFoundError(f"no migrations in {package} or beside it")
