import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.store.database import Database, DatabaseUnavailable, to_async_url, where, writing


async def test_opening_creates_the_file_and_its_directory_for_their_owner_alone(path: Path) -> None:
    database = await Database.open(f"sqlite:///{path}")
    await database.close()
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)


async def test_sqlite_writes_ahead_and_waits_a_moment_for_a_lock(path: Path) -> None:
    database = await Database.open(f"sqlite:///{path}")
    async with database.engine.connect() as connection:
        settings = [
            await connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "busy_timeout")
        ]
    async with writing(database) as connection:
        survives_a_power_cut = await connection.scalar(text("PRAGMA synchronous"))
    async with database.engine.connect() as connection:
        afterwards = await connection.scalar(text("PRAGMA synchronous"))
    await database.close()
    assert settings == ["wal", 1, 1000]
    assert (survives_a_power_cut, afterwards) == (2, 1), "a journal lets go of what the ledger has"


async def test_a_transaction_that_fails_leaves_its_connection_as_it_was(path: Path) -> None:
    database = await Database.open(f"sqlite:///{path}")
    with pytest.raises(LookupError):
        async with writing(database, wait_ms=7_000) as connection:
            raise LookupError(await connection.scalar(text("PRAGMA busy_timeout")))
    async with database.engine.connect() as connection:
        left = [await connection.scalar(text(f"PRAGMA {name}")) for name in ("synchronous", "busy_timeout")]
    await database.close()
    assert left == [1, 1000]


async def test_a_schema_that_was_never_migrated_has_no_version(path: Path) -> None:
    database = await Database.open(f"sqlite:///{path}")
    assert await database.schema_version() is None
    assert not await database.is_current()
    await database.close()


async def test_a_migrated_schema_is_current_until_its_version_is_another(database: Database) -> None:
    assert await database.is_current()
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'of another release'"))
    assert await database.schema_version() == "of another release"
    assert not await database.is_current()


async def test_a_file_that_is_no_database_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, and they are longer than a header.\n" * 20)
    with pytest.raises(DatabaseUnavailable, match=r"notes\.txt: file is not a database"):
        await Database.open(f"sqlite:///{path}")


async def test_a_place_that_cannot_be_written_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseUnavailable, match=str(tmp_path / "file")):
        await Database.open(f"sqlite:///{tmp_path / 'file' / 'gateway.db'}")


async def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseUnavailable, match=r"postgresql\+asyncpg://app:\*\*\*@127\.0\.0\.1:1/ledger"):
        await Database.open("postgresql://app:hunter2@127.0.0.1:1/ledger")


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///state/gateway.db", "sqlite+aiosqlite"),
        ("sqlite+aiosqlite:////var/lib/gateway.db", "sqlite+aiosqlite"),
        ("postgresql://app@db/ledger", "postgresql+asyncpg"),
        ("postgresql+psycopg://app@db/ledger", "postgresql+asyncpg"),
    ],
)
def test_every_url_of_a_database_gets_our_driver(url: str, driver: str) -> None:
    assert to_async_url(url).drivername == driver


@pytest.mark.parametrize("url", ["mysql://app@db/ledger", "sqlite://", "sqlite:///:memory:"])
def test_a_url_that_can_hold_no_ledger_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="ledger"):
        to_async_url(url)


def test_a_password_among_the_parameters_is_told_to_nobody() -> None:
    url = "postgresql://db/ledger?user=app&password=hunter2&sslmode=require"
    assert where(to_async_url(url)) == "postgresql+asyncpg://db/ledger?sslmode=require&user=app"


def test_a_relative_path_is_told_in_full() -> None:
    assert where(to_async_url("sqlite:///state/gateway.db")) == str(Path("state/gateway.db").absolute())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_store_comes_up_without_alembic() -> None:
    script = "import sys, gateway.store.usage, gateway.store.migrate; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
