"""The end of a SQLite connection, also where it is ended from two sides."""

import asyncio
from pathlib import Path

from sqlalchemy import make_url

from gateway.store.database import create_engine
from gateway.store.sqlite_connection import SqliteConnection, connect

SOON_S = 5.0


async def test_a_close_that_another_one_overtakes_comes_to_an_end(tmp_path: Path) -> None:
    connection = await connect(str(tmp_path / "a.db"))
    closing = asyncio.create_task(connection.close())
    await asyncio.sleep(0)
    connection.stop()
    closing.cancel()
    done, _ = await asyncio.wait([closing], timeout=SOON_S)
    assert done, "it waits for a thread that has ended"


async def test_engines_make_their_connections_so(tmp_path: Path) -> None:
    engine = create_engine(make_url(f"sqlite+aiosqlite:///{tmp_path}/a.db"))
    async with engine.connect() as made:
        driver = (await made.get_raw_connection()).driver_connection
        assert isinstance(driver, SqliteConnection)
        assert driver._thread.daemon
    await engine.dispose()
