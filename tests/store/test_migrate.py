import asyncio
import sqlite3
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

import gateway
from alembic import command
from gateway.ledger.entry import Entry
from gateway.store.database import Database, DatabaseUnavailable, to_async_url
from gateway.store.migrate import migrate, migrations_directory
from gateway.store.tables import SCHEMA_HEAD, attempts, metadata
from gateway.store.usage import UsageStore
from tests.store.rows import an_entry

PACKAGE = Path(gateway.__file__).parent


def test_the_code_is_written_for_the_head_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_directory(PACKAGE)))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_HEAD]


async def test_migrating_makes_the_very_schema_that_the_tables_describe(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    assert await database.is_current()


def test_migrating_again_changes_nothing(path: Path) -> None:
    migrate(f"sqlite:///{path}")
    before = dump(path)
    migrate(f"sqlite:///{path}")
    assert dump(path) == before


@pytest.mark.rig
async def test_processes_that_migrate_at_once_do_not_trip_over_each_other(path: Path) -> None:
    empty = await Database.open(f"sqlite:///{path}")
    await empty.close()
    script = f"from gateway.store.migrate import migrate; input(); migrate('sqlite:///{path}')"
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdin=asyncio.subprocess.PIPE)
        for _ in range(3)
    ]
    async with asyncio.timeout(60):
        await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert f"INSERT INTO \"alembic_version\" VALUES('{SCHEMA_HEAD}');" in dump(path)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.rig)])
async def test_a_column_is_added_beside_old_rows_and_old_replicas_and_taken_away_again(
    path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    is_sqlite = kind == "sqlite"
    url = f"sqlite:///{path}" if is_sqlite else request.getfixturevalue("postgres").fresh_database()
    await asyncio.to_thread(migrate, url, "20261202_training")
    database = await Database.open(url)
    table_file = "SELECT pg_relation_filenode('attempts')"

    async def write_as_before(entry: Entry) -> None:
        """Insert as the version before does, which names its own columns and no other."""
        values = entry._asdict()
        del values["contract_broken"]
        async with database.engine.begin() as connection:
            await connection.execute(insert(attempts).values(values))

    async def first_value(query: Any) -> Any:
        async with database.engine.connect() as connection:
            return (await connection.execute(query)).scalars().all()

    old, beside, new = (an_entry(timedelta(seconds=after)) for after in range(3))
    await write_as_before(old)
    file = None if is_sqlite else await first_value(text(table_file))
    await asyncio.to_thread(migrate, url)
    assert is_sqlite or await first_value(text(table_file)) == file, "the rows were not written anew"
    await write_as_before(beside)
    await UsageStore(database).insert_attempts([new._replace(contract_broken=True)])
    assert await first_value(select(attempts.c.contract_broken).order_by(attempts.c.attempt_id)) == [None, None, True]
    config = Config(attributes={"url": to_async_url(url)})
    config.set_main_option("script_location", str(migrations_directory(PACKAGE)))
    await asyncio.to_thread(command.downgrade, config, "20261202_training")
    # As another version's process finds it, which has no statement prepared.
    await database.close()
    database = await Database.open(url)
    ids = await first_value(select(attempts.c.attempt_id).order_by(attempts.c.attempt_id))
    assert ids == [old.attempt_id, beside.attempt_id, new.attempt_id]
    await write_as_before(an_entry(timedelta(seconds=3)))
    await database.close()


def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE served_targets (in_the_way TEXT)")
    connection.close()
    before = dump(path)
    with pytest.raises(DatabaseUnavailable, match=r"gateway\.db: table served_targets already exists"):
        migrate(f"sqlite:///{path}")
    assert dump(path) == before


def test_rows_are_kept_in_the_order_of_their_key(path: Path) -> None:
    migrate(f"sqlite:///{path}")
    assert sum("WITHOUT ROWID" in line for line in dump(path)) == len(metadata.tables)


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=str)
def test_the_tables_can_be_made_on_postgresql(table: object) -> None:
    statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[arg-type]
    assert "BIGINT" in statement
    assert "ROWID" not in statement


@pytest.mark.parametrize("directory", ["site-packages/gateway/store/migrations", "site-packages/alembic"])
def test_migrations_are_found_in_an_installed_package_and_in_a_checkout(tmp_path: Path, directory: str) -> None:
    (tmp_path / directory).mkdir(parents=True)
    (tmp_path / directory / "env.py").touch()
    assert migrations_directory(tmp_path / "site-packages" / "gateway") == tmp_path / directory


def test_a_package_without_migrations_says_so(tmp_path: Path) -> None:
    # The library of that name is a neighbour of ours where both are installed, and holds no migrations.
    (tmp_path / "alembic").mkdir()
    (tmp_path / "alembic" / "__init__.py").touch()
    with pytest.raises(FileNotFoundError, match="no migrations"):
        migrations_directory(tmp_path / "gateway")


def test_the_folder_of_migrations_does_not_hide_the_library() -> None:
    assert not (migrations_directory(PACKAGE) / "__init__.py").exists()


def dump(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return lines
