"""What ``gateway tune`` is asked for, what it tells, and what it opens: the database, and the way to a provider."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from gateway.cli.known import open_or_make
from gateway.clock import Clock, SystemClock
from gateway.config.findings import did_you_mean
from gateway.config.routes import Provider, Route, Routes
from gateway.errors import ConfigError
from gateway.lifecycle.provider_pages import Refused
from gateway.policy.tuning import Method
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.store.database import Database, DatabaseUnavailable

STOPPED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneWish:
    """What the command line asks for."""

    route: Route
    routes: Routes
    routes_file: Path
    on: str | None
    base: str | None
    dataset: Path | None
    method: Method
    epochs: int | None
    suffix: str | None
    cap_nanousd: int | None
    agreed: bool
    wait: bool
    again: bool
    quiet: bool
    """Whether only the outcome is wanted."""
    deployment: str | None

    @property
    def directory(self) -> Path:
        """Where the data set is."""
        from gateway.cli.dataset_work import directory_of

        return self.dataset.absolute() if self.dataset is not None else directory_of(self.route, self.routes_file)

    def provider(self) -> Provider:
        """Return the provider that is to train. Raises ``BadParameter`` where none is named, or there is no such."""
        if self.on is None:
            known = ", ".join(self.routes.providers)
            raise typer.BadParameter(f"say who trains: --on trl, or a provider ({known})", param_hint="--on")
        return self.named(self.on)

    def named(self, name: str) -> Provider:
        """Return a provider of routes.yaml. Raises ``BadParameter`` where there is none of this name."""
        found = self.routes.providers.get(name)
        if found is None:
            near = did_you_mean(name, self.routes.providers)
            raise typer.BadParameter(f"{self.routes_file} has no provider {name!r}{near}", param_hint="--on")
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """What is said at the end."""

    lines: list[str]
    as_object: dict[str, Any]
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works with."""

    database: Database
    clock: Clock
    client: HttpClient
    environ: Mapping[str, str]

    def upstream(self, provider: Provider) -> Upstream:
        """Return the way to a provider."""
        return Upstream(provider, self.client, self.environ, self.clock)


@asynccontextmanager
async def opened(wish: TuneWish, url: str) -> AsyncIterator[Opened]:
    """Open the database, made where it is a file that is not there yet, and the network to routes.yaml's providers.

    Raises:
        ConfigError: the database cannot be used, or a provider refuses in the body.
    """
    clock = SystemClock()
    origins = AllowedOrigins(clock)
    origins.replace(wish.routes, os.environ, None)
    try:
        database = await open_or_make(url)
        client = HttpClient(permits=origins.permits)
        try:
            yield Opened(database, clock, client, os.environ)
        finally:
            client.close()
            await database.close()
            # Connections end in the loop's next turn.
            await asyncio.sleep(0)
    except Refused as refused:
        raise ConfigError(str(refused)) from None
    except (DatabaseUnavailable, ValueError) as error:
        raise ConfigError(f"cannot tune: {error}") from None
