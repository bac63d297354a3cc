"""``gateway serve``."""

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.typed import typed
from gateway.errors import ConfigError

if TYPE_CHECKING:
    from gateway.config.settings import Settings

SANDBOX_PORT = 8081
STDOUT = 1


def serve(
    routes: Annotated[Path | None, typer.Option(help="The configuration.  (default: routes.yaml)")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  (default: 127.0.0.1)")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.  (default: 8080)")] = None,
    database: Annotated[
        str | None, typer.Option(help="Where the ledger is kept.  (default: sqlite+aiosqlite:///state/gateway.db)")
    ] = None,
    with_sandbox: Annotated[
        bool, typer.Option("--with-sandbox", help="Also start the sandbox provider, on 127.0.0.1:8081.")
    ] = False,
) -> None:
    """Start the gateway.

    Every option can be set by a variable as well: GATEWAY_ROUTES_FILE, GATEWAY_HOST, GATEWAY_PORT,
    GATEWAY_DATABASE_URL. Callers' key: GATEWAY_KEY or GATEWAY_KEY_FILE; the operator's: GATEWAY_ADMIN_KEY or
    GATEWAY_ADMIN_KEY_FILE; a key for each caller: GATEWAY_KEY_PEPPER or GATEWAY_KEY_PEPPER_FILE, and gateway keys.
    Without keys it serves this machine only, and refuses to listen anywhere else unless GATEWAY_OPEN=true.
    GATEWAY_JOURNAL_DIR: a directory on a disk that stays, where rows wait for the database, by default beside it
    (SQLite) or in state/; what a killed process left there, the next one brings to the ledger.

    Each request is a line of JSON on stdout: GATEWAY_LOG_REQUESTS=all, errors or off; everything else is on stderr
    (GATEWAY_LOG_LEVEL). Neither ever holds what callers write.

    GATEWAY_METRICS_PORT serves /metrics, /healthz and /readyz on a port of their own without a key, on
    GATEWAY_METRICS_HOST (127.0.0.1; in a container 0.0.0.0). OTEL_EXPORTER_OTLP_ENDPOINT: where traces go
    (docs/metrics.md).

    People look at /ui (docs/pages.md): with keys, the admin's opens it, a reviewer's the review.
    GATEWAY_UI_ACTIONS=true lets it move routes.

    What one connection may take in time, bytes and sockets: GATEWAY_HEADER_S, GATEWAY_BODY_S, GATEWAY_MAX_BODY_BYTES,
    GATEWAY_MAX_CONNECTIONS (docs/limits.md).

    SIGTERM stops it in order: not ready at once, answers run on for GATEWAY_DRAIN_S seconds (25). A second one stops
    it now.
    """
    from gateway.cli.logs import configure_logs
    from gateway.config.settings import read_settings, unknown_variables

    with _stoppable():
        settings = read_settings(routes_file=routes, host=host, port=port, database_url=database)
        configure_logs(settings.log_level, waits=False)
        for warning in unknown_variables(os.environ):
            typer.echo(f"warning: {warning}", err=True)
        try:
            with _sandbox() if with_sandbox else contextlib.nullcontext():
                _run(settings)
        finally:
            # What kept it from starting is the last thing that a person reads.
            logging.shutdown()


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Have SIGTERM mean the same from the start to the end: a stop that was asked for is no failure.

    While it serves, the server takes the signals. Before, there is nothing to end in order but the sandbox beside it,
    and after it only what ends anyway: a signal then must not turn the exit code into a failure's.
    """
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    except BaseException as end:
        if not isinstance(end, SystemExit) or end.code:
            signal.signal(signal.SIGTERM, before)
        raise
    for sig in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sig, signal.SIG_IGN)


def _run(settings: "Settings") -> None:
    import uvicorn
    import uvloop

    from gateway.app import create_app
    from gateway.cli.protocol_watch import Limits
    from gateway.cli.server import Server
    from gateway.cli.sockets import listen, raise_limit
    from gateway.store.database import to_async_url

    try:
        to_async_url(settings.database_url)
    except ValueError as error:
        raise ConfigError(f"GATEWAY_DATABASE_URL: {error}") from None
    app = create_app(settings, log_fd=STDOUT)
    missing = [finding for finding in app.loaded.warnings if finding.missing_secret]
    if missing:
        raise ConfigError("\n".join(map(str, missing)))
    for finding in app.loaded.warnings:
        typer.echo(f"warning: {finding}", err=True)
    raise_limit(settings.max_connections)
    listener = listen(settings.host, settings.port)
    config = uvicorn.Config(
        app,
        interface="asgi3",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    ops = None
    if settings.metrics_port is not None:
        ops = listen(settings.metrics_host, settings.metrics_port, "GATEWAY_METRICS_PORT")
    server = Server(
        config,
        app,
        drain_s=settings.drain_s,
        linger_s=settings.lingers_s,
        ops=ops,
        limits=Limits(header_s=settings.header_s, body_s=settings.body_s),
        most_connections=settings.max_connections,
    )
    _greet(listener, list(app.loaded.routes.routes))
    try:
        with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve([listener]))
    except SystemExit:
        # Uvicorn's own word for an app that did not start; the way out of it is in the setting's.
        if app.unusable is not None:
            raise app.unusable from None
        raise
    if not server.started:
        raise typer.Exit(1)


def _greet(listener: socket.socket, routes: list[str]) -> None:
    """Tell a person what to do next."""
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    typer.echo(
        f"understudy serves {len(routes)} route{'s' * (len(routes) != 1)} at {url}/v1: {', '.join(routes[:8])}",
        err=True,
    )
    if routes and sys.stderr.isatty():
        typer.echo(f"look at it in a browser:    {url}/ui", err=True)
        typer.echo(f'try it in another terminal: {typed()} try {routes[0]} "My order has not arrived."', err=True)


@contextlib.contextmanager
def _sandbox() -> Iterator[None]:
    """Run the sandbox beside us, in a process of its own, for as long as we run."""
    if _accepts(SANDBOX_PORT):
        raise ConfigError(
            f"something else listens on 127.0.0.1:{SANDBOX_PORT}, where the sandbox would be; end it first"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "sandbox", "--port", str(SANDBOX_PORT)], preexec_fn=_end_with_parent
    )
    try:
        deadline = time.monotonic() + 15
        while not _accepts(SANDBOX_PORT):
            if process.poll() is not None:
                raise ConfigError(f"the sandbox did not start; is something else on port {SANDBOX_PORT}?")
            if time.monotonic() > deadline:
                raise ConfigError("the sandbox did not start within 15 s")
            time.sleep(0.05)
        if process.poll() is not None:
            raise ConfigError(f"the sandbox did not start: something else is on port {SANDBOX_PORT}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def _end_with_parent() -> None:
    """Have the kernel end this child when the gateway ends in any way, a kill -9 included."""
    if sys.platform == "linux":
        prctl_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(prctl_set_pdeathsig, signal.SIGTERM)


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
