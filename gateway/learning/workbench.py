"""What commands that ask models need: the configuration prepared as the server prepares it, and the database."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.clock import Clock
from gateway.config.routes import Route, Routes, Target
from gateway.execution.accounting import Accounting
from gateway.execution.prepared import Snapshot
from gateway.execution.prepared_target import PreparedTarget
from gateway.execution.sweeper import Sweeper
from gateway.learning.asking import Asker
from gateway.learning.knowledge import Knowledge
from gateway.ledger.delivery import Delivery
from gateway.ledger.drain import Drain
from gateway.ledger.journal import Journal
from gateway.ledger.refused import RefusedRows
from gateway.ledger.store_opener import journal_root
from gateway.metrics import Metrics
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from gateway.providers.worker_destinations import destinations
from gateway.providers.worker_process import LitellmWorker
from gateway.store.database import Database, where
from gateway.store.evaluations import EvaluationStore
from gateway.store.published import PublishedStore
from gateway.store.recordings import RecordingStore
from gateway.store.usage import UsageStore

LEDGER_CLOSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Workbench:
    """A configuration to ask its models by, and where what they say is kept."""

    snapshot: Snapshot
    asker: Asker
    database: Database
    recordings: RecordingStore
    evaluations: EvaluationStore
    clock: Clock

    @classmethod
    @asynccontextmanager
    async def open(
        cls, routes: Routes, database: Database, environ: Mapping[str, str], clock: Clock
    ) -> AsyncIterator["Workbench"]:
        """Prepare everything; at the end write the ledger's rows and let go of the network.

        Raises:
            ConfigError: a pack that routes.yaml names by hash is not in the database, or cannot be used; or nothing can
                be written where the ledger's journal is to be.
        """
        knowledge = Knowledge()
        await knowledge.read(database, routes)
        routes = knowledge.complete(routes)
        published = await PublishedStore(database).all()
        async with AsyncExitStack() as stack:
            origins = AllowedOrigins(clock)
            client, worker = HttpClient(permits=origins.permits), _worker_for(routes, clock, environ)
            stack.callback(client.close)
            if worker is not None:
                stack.push_async_callback(worker.close)
                worker.listen(at_once=False)
            path = worker.path if worker is not None else None
            origins.replace(routes, environ, path)
            upstreams = {name: Upstream(p, client, environ, clock, path) for name, p in routes.providers.items()}
            snapshot = Snapshot(routes, upstreams, metrics=Metrics(), clock=clock, published=published)
            journal = _journal(stack, routes, database, environ, clock)
            accounting = Accounting(journal, f"{socket.gethostname()}-cli", clock)
            asker = Asker(accounting, clock, Sweeper())
            yield cls(snapshot, asker, database, RecordingStore(database), EvaluationStore(database), clock)

    def route(self, name: str) -> Route:
        """Return a route of the configuration, its packs in place."""
        return self.snapshot.routes.routes[name]

    def prepared(self, route: Route, target: Target) -> PreparedTarget:
        """Prepare a target of a route, or one like it with another prompt."""
        return self.snapshot.prepare_target(route, target)


def _journal(
    stack: AsyncExitStack, routes: Routes, database: Database, environ: Mapping[str, str], clock: Clock
) -> Journal:
    """Return a journal of this command's own; at the end the database has it, or the next server's start sees to it."""
    place = environ.get("GATEWAY_JOURNAL_DIR")
    url = database.engine.url
    root = journal_root(url.render_as_string(), Path(place) if place else None)
    journal = Journal.open(root, database=where(url), clock=clock, ledger=routes.ledger)
    usage = UsageStore(database)
    drain = Drain(journal, Delivery(lambda: usage, RefusedRows(root)), clock)
    drain.start()
    stack.push_async_callback(drain.close, LEDGER_CLOSE_S)
    return journal


def _worker_for(routes: Routes, clock: Clock, environ: Mapping[str, str]) -> LitellmWorker | None:
    vendors = [target.provider.vendor for route in routes.routes.values() for target in route.targets]
    needed = any(vendor.litellm is not None or vendor.bridge is not None for vendor in vendors)
    if not needed:
        return None
    worker = LitellmWorker(clock=clock, environ=environ)
    worker.permit(destinations(routes, environ, clock))
    return worker
