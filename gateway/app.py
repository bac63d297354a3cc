"""The composition root: the only place that knows everybody. Opens in order, closes in reverse."""

import asyncio
import os
import socket
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import structlog
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import __version__
from gateway.api import admin, feedback, openai, ops, stored
from gateway.api.deps import Services
from gateway.api.error_handlers import add_error_handlers
from gateway.api.front_door import FrontDoor
from gateway.api.guard import Guard
from gateway.api.openapi import Documented
from gateway.api.ops_door import OpsDoor
from gateway.api.pages import router as pages
from gateway.api.pages.access import Access
from gateway.api.pages.data import PageData
from gateway.api.wire import ModelEndpoint
from gateway.clock import Clock, SystemClock
from gateway.config.findings import InvalidRoutes
from gateway.config.key_entries import refuse_without_pepper
from gateway.config.loader import Loaded, load
from gateway.config.lost_packs import refuse_lost_packs
from gateway.config.settings import Settings
from gateway.config.watch import watch
from gateway.errors import ConfigError
from gateway.execution.draining import Draining
from gateway.execution.endpoints import ENDPOINTS
from gateway.execution.id_owners import IdOwners
from gateway.execution.key_ring import KeyRing
from gateway.execution.listeners import log_listener, together, trace_listener
from gateway.execution.process_collector import ProcessCollector, ProcessFacts
from gateway.execution.rate_limits import counting
from gateway.execution.request_event import Listener
from gateway.ledger.store_opener import StoreOpener
from gateway.metrics import Metrics
from gateway.policy import pack_examples, residency
from gateway.providers import classify
from gateway.providers.allowed_origins import AllowedOrigins
from gateway.providers.http_client import HttpClient
from gateway.providers.litellm_versions import refuse_malicious
from gateway.reasons import ProtocolRefusal
from gateway.wiring import Running

log = structlog.get_logger()
MOST_GAPS_TOLD = 50
"""Lines of one load; there may be thousands of keys."""
PREPARE_AFTER_S = 2.0


class App:
    """The gateway as an ASGI app: its lifespan here, its requests by the front door (``api/front_door.py``)."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        environ: Mapping[str, str] | None = None,
        log_fd: int | None = None,
    ) -> None:
        """``log_fd`` is where requests are logged; None: nowhere."""
        refuse_malicious()
        self._settings = settings
        self._log_fd = log_fd
        self._clock = clock or SystemClock()
        self._environ = os.environ if environ is None else environ
        pepper = secret(settings.key_pepper)
        self.ring = KeyRing(
            secret(settings.key),
            secret(settings.admin_key),
            pepper=pepper.encode() if pepper is not None else None,
            residency=settings.key_residency,
            pins=settings.key_pins,
        )
        self._guard = Guard(self.ring, self._clock, admits_all=settings.open and not settings.is_loopback)
        self.draining = Draining()
        """Whoever runs this app tells it here of a stop; the end of its lifespan alone is too late to say so."""
        self.unusable: ConfigError | None = None
        """Which setting kept it from starting."""
        self.loaded: Loaded = load(settings.routes_file, environ=self._environ)
        refuse_without_pepper(self.loaded, is_keyed=self.ring.is_keyed)
        self._rest = Documented(
            title="Understudy", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
        )
        for router in (openai.router, stored.router, feedback.router, ops.router, admin.router, pages):
            self._rest.include_router(router)
        add_error_handlers(self._rest)
        self._rest.state.access = Access(secret(settings.admin_key), is_keyed=not self.ring.is_open, ring=self.ring)
        self.ops: ASGIApp = OpsDoor(self._rest, settings.metrics_host)
        """What machines ask, for a port of its own."""
        self._door = FrontDoor(self._guard, self._rest, self.draining, self._clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            await self._door(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def protocol_refused(self, refusal: ProtocolRefusal) -> None:
        """Count a connection that the server ended by itself."""
        if self._door.metrics is not None:
            self._door.metrics.protocol_refusals.labels(refusal.value).inc()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self._running():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except ConfigError as error:
            self.unusable = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        except Exception as error:
            log.exception("startup_failed")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        """Build everything that lives as long as the process."""
        settings, clock = self._settings, self._clock
        async with AsyncExitStack() as stack:
            metrics = self._door.metrics = Metrics()
            metrics.build.info({"version": __version__})
            origins = AllowedOrigins(clock, metrics.foreign_connections.inc)
            client = HttpClient(permits=origins.permits)
            stack.callback(client.close)
            store = StoreOpener(settings.database_url, clock, settings.journal_dir, self.loaded.routes.ledger)
            stack.push_async_callback(lambda: store.close(self.draining.ledger_close_s()))
            instance = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
            limits = await stack.enter_async_context(counting(secret(settings.limits_url), clock, metrics))
            running = Running(
                self.loaded.routes, client, origins, store, metrics, instance, clock, self._environ, self.ring, limits
            )
            stack.push_async_callback(running.close)
            self._door.until_known = running.agreement.known
            services = self._services(running, store, metrics, instance, stack)
            facts = ProcessFacts(
                ledger=store.figures,
                lag_s=running.lag.worst_s,
                is_ready=lambda: not services.not_ready(),
                is_refused=lambda: services.config_error is not None,
                limits_shared=lambda: limits.is_shared,
            )
            metrics.registry.register(ProcessCollector(running.pipeline, facts))
            self._door.told = self._listener(running, metrics, instance, stack)
            self._open_endpoints(services)
            await running.keeper.take_kept()
            self._prove_residency(self.loaded)
            store.start(services.waiting_for, running.opened, lambda: running.keeper.took_kept)
            running.start()
            stop = asyncio.Event()
            watching = asyncio.create_task(self._watch(running, services, metrics, stop))
            stack.push_async_callback(_stopped, watching, stop)
            preparing = asyncio.create_task(self._prepare_rules())
            stack.callback(preparing.cancel)
            if settings.open and self.ring.is_open and not settings.is_loopback:
                log.warning("open_to_anybody", host=settings.host, why="GATEWAY_OPEN=true, and there are no keys")
            log.info("serving", version=__version__, routes=len(self.loaded.routes.routes), instance=instance)
            yield
            self.draining.began = True

    def _services(
        self, running: Running, store: StoreOpener, metrics: Metrics, instance: str, stack: AsyncExitStack
    ) -> Services:
        """Give the endpoints behind FastAPI what they need of what runs."""
        settings, clock = self._settings, self._clock
        data = PageData(settings.database_url, clock)
        stack.callback(data.close)
        services = self._rest.state.services = Services(
            running.pipeline,
            metrics,
            clock,
            clock.now(),
            data,
            instance,
            str(settings.routes_file),
            settings.ui_actions,
        )
        services.draining, services.keeper = self.draining, running.keeper
        services.ledger_waits, services.id_owners = store.journal.not_ready, IdOwners(self.ring)
        services.verify, services.feedback = running.verify, running.feedback
        services.admission = running.admission
        services.ledger_figures = store.figures
        services.exercised = lambda route: running.exercised.last(route) if running.exercised.is_known else None
        services.reload_waits = lambda: running.configurations.waits_because
        services.waiting_for = running.waiting_for
        return services

    def _open_endpoints(self, services: Services) -> None:
        """Let requests for models in."""
        for endpoint in ENDPOINTS:
            self._door.hot[f"/v1{endpoint.path}"] = ModelEndpoint(
                endpoint,
                services.pipeline,
                self._guard,
                clock=self._clock,
                max_body_bytes=self._settings.max_body_bytes,
                metrics=services.metrics,
                id_owners=services.id_owners,
                told=self._door.told,
            )

    def _listener(self, running: Running, metrics: Metrics, instance: str, stack: AsyncExitStack) -> Listener | None:
        """Return who hears of every request when it is over; what it holds is flushed when the stack closes."""
        behind = stack.enter_context(ExitStack())
        return together(
            log_listener(self._settings.log_requests, self._log_fd, metrics, behind),
            trace_listener(
                self._environ,
                instance,
                __version__,
                lambda name: running.pipeline.snapshot.routes.providers.get(name),
                metrics,
                behind,
            ),
        )

    async def _prepare_rules(self) -> None:
        """Compile what failures are classified by, once the first requests are through."""
        await self._clock.sleep(PREPARE_AFTER_S)
        await asyncio.to_thread(classify.prepare)

    def _prove_residency(self, loaded: Loaded) -> None:
        """Say at load, and not at the first request, what residencies of the known keys keep from their callers."""
        gaps = list(residency.gaps(loaded.routes, self.ring.callers))
        for gap in gaps[:MOST_GAPS_TOLD]:
            log.warning("outside_residency", message=gap)
        if len(gaps) > MOST_GAPS_TOLD:
            log.warning("outside_residency", message=f"and {len(gaps) - MOST_GAPS_TOLD} gaps more, of {len(gaps)}")

    async def _watch(self, running: Running, services: Services, metrics: Metrics, stop: asyncio.Event) -> None:
        """Replace the configuration whole when its files change; keep the last good one when they are broken."""

        def on_loaded(loaded: Loaded) -> None:
            running.replace(loaded.routes)
            self._prove_residency(loaded)
            self.loaded, services.config_error = loaded, None

        def on_refused(error: InvalidRoutes) -> None:
            services.config_error = str(error)
            metrics.config_reloads.labels("refused").inc()
            log.error("config_refused", errors=str(error).splitlines())

        def prepare(loaded: Loaded) -> None:
            refuse_without_pepper(loaded, is_keyed=self.ring.is_keyed)
            refuse_lost_packs(loaded, running.pipeline.snapshot.routes)
            pack_examples.index(loaded.routes)

        await watch(
            Path(self._settings.routes_file),
            environ=self._environ,
            current=self.loaded,
            on_loaded=on_loaded,
            on_refused=on_refused,
            stop=stop,
            prepare=prepare,
        )


async def _stopped(task: "asyncio.Task[None]", stop: asyncio.Event) -> None:
    stop.set()
    await asyncio.gather(task, return_exceptions=True)


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] | None = None,
    log_fd: int | None = None,
) -> App:
    """Return the gateway as an ASGI app; ``log_fd`` is where requests are logged.

    Raises:
        InvalidRoutes: routes.yaml cannot be used.
        ConfigError: a malicious release of litellm is installed.
    """
    return App(settings, clock=clock, environ=environ, log_fd=log_fd)


def secret(value: SecretStr | None) -> str | None:
    """Return a secret's text, for the guard alone."""
    return value.get_secret_value() if value is not None else None
