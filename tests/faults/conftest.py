"""What every fault story has: a provider to misbehave, a gateway to withstand it, and what must hold in any case."""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import uvloop
from fake_provider import FakeProvider, running_provider
from migrated_database import migrated
from served_gateway import PRICES, Serve, ServedGateway, eventually, read_rows, served


def pytest_asyncio_loop_factories(config: object, item: object) -> dict[str, Callable[[], Any]]:
    """Run these stories on the loop that the gateway runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database to copy."""
    path = tmp_path_factory.mktemp("ledger") / "empty.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(autouse=True)
async def _nothing_unhandled() -> AsyncIterator[None]:
    """No story may leave an exception that nobody took."""
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unhandled.append(context))
    yield
    assert unhandled == []


@pytest.fixture
async def provider(_nothing_unhandled: None) -> AsyncIterator[FakeProvider]:
    async with running_provider() as running:
        yield running
    assert running.errors == []


@pytest.fixture
async def serve(provider: FakeProvider, empty_ledger: Path, tmp_path: Path) -> AsyncIterator[Serve]:
    """Start a gateway; the arguments are laid over its usual routes, everything else is a setting.

    The route ``reply`` has the primary ``tuned`` at one account of the provider, and the fallback ``base`` at another.
    """
    databases: list[Path] = []
    async with AsyncExitStack() as stack:

        async def start(
            route: Mapping[str, Any] | None = None,
            *,
            first: Mapping[str, Any] | None = None,
            more_routes: Mapping[str, Any] | None = None,
            more_fallbacks: Mapping[str, Any] | None = None,
            more_providers: Mapping[str, Any] | None = None,
            more_sections: Mapping[str, Any] | None = None,
            base: Mapping[str, Any] | None = None,
            lifecycle: Mapping[str, Any] | None = None,
            environ: Mapping[str, str] | None = None,
            after: ServedGateway | None = None,
            **settings: Any,
        ) -> ServedGateway:
            # A start after another gateway's: it finds what that one kept.
            directory = tmp_path / f"gateway{len(databases)}"
            directory.mkdir()
            ledger = copied(after.database, directory / "before.db") if after is not None else empty_ledger
            account = {"kind": "openai-compatible", "base_url": provider.base_url}
            routes = {
                "version": 1,
                "providers": {"first": account | dict(first or {}), "second": account, **(more_providers or {})},
                "fallbacks": {
                    "base": {"provider": "second", "model": "base", **(base or {})},
                    **(more_fallbacks or {}),
                },
                "defaults": {"provider": "first", "fallbacks": ["base"]},
                "routes": {"reply": {"primary": "tuned", **(route or {})}, **(more_routes or {})},
                "prices": {"first": PRICES, "second": PRICES},
                "lifecycle": lifecycle or {},
                **(more_sections or {}),
            }
            gateway = await stack.enter_async_context(
                served(routes, directory, ledger, environ=environ or {}, **settings)
            )
            databases.append(gateway.database)
            return gateway

        yield start
    every_call_has_its_row(provider, databases)
    await eventually(lambda: not provider.lines, "every upstream connection is closed")


def every_call_has_its_row(provider: FakeProvider, databases: list[Path]) -> None:
    """Whatever happened to a call, the ledger has exactly one row of it: they carry the same id."""
    rows = [row.attempt_id for database in databases for row in read_rows(database)]
    assert len(rows) == len(set(rows))
    asked = [call for call in provider.chats() if not call.path.endswith("/cancel")]
    missing = [call.body for call in asked if call.header("x-client-request-id") not in rows]
    assert missing == []


def copied(database: Path, to: Path) -> Path:
    """Copy a database that is in use: what was written last is not in its file yet."""
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nobody listens, and nobody can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
