"""Run migrations online, on the same async engines that the gateway uses.

The URL comes from ``gateway.store.migrate``, or by hand: ``alembic -x url=sqlite:///state/gateway.db revision …``.
"""

import asyncio

from sqlalchemy import URL, Connection, event

from alembic import context
from gateway.store.database import create_engine, to_async_url
from gateway.store.tables import metadata

MIGRATION_LOCK = 7_305_808_869_229_538


def database_url() -> URL:
    url: URL | None = context.config.attributes.get("url")
    if url is not None:
        return url
    try:
        return to_async_url(context.get_x_argument(as_dictionary=True)["url"])
    except KeyError:
        raise SystemExit("say which database: alembic -x url=sqlite:///state/gateway.db …") from None


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            # Two that migrate at once would both create the tables; the number is ours alone, and means nothing.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        context.run_migrations()


async def run_online(url: URL) -> None:
    engine = create_engine(url, patient=True)
    if url.get_backend_name() == "sqlite":
        # Python's driver begins no transaction for DDL: a migration that is killed half-way would stay half-way, and
        # two processes that start at once would both create the tables.
        event.listen(engine.sync_engine, "connect", _leave_transactions_to_us)
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


def _leave_transactions_to_us(connection, _record) -> None:
    connection.isolation_level = None


if context.is_offline_mode():
    raise SystemExit("migrations run against a database; there is no offline mode")
asyncio.run(run_online(database_url()))
