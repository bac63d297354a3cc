"""``gateway sandbox``."""

import signal
import sys
from typing import Annotated

import typer

from gateway.errors import ConfigError


def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 8081,
    fine_tunes: Annotated[
        int,
        typer.Option("--fine-tunes", min=3, max=10_000, help="How many fine-tunes to sell: try `gateway init` on 40."),
    ] = 3,
) -> None:
    """Start the sandbox: a stand-in provider that speaks OpenAI's API, and whose models die on command.

    Retire a model:    curl -X POST 127.0.0.1:8081/sandbox/models/MODEL/retire -d '{"as": "openai"}'

    Bring it back:     curl -X POST 127.0.0.1:8081/sandbox/models/MODEL/restore

    What it bills:     curl 127.0.0.1:8081/sandbox/bill
    """
    from gateway.clock import SystemClock
    from gateway.sandbox.app import create_sandbox
    from gateway.sandbox.catalogue import default_catalogue
    from gateway.sandbox.server import listen, serve_sandbox

    try:
        listener = listen(host, port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port") from None
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    typer.echo(f"the sandbox provider listens on http://{host}:{listener.getsockname()[1]}/v1", err=True)
    clock = SystemClock()
    catalogue = default_catalogue(clock.now(), fine_tunes)
    serve_sandbox(listener=listener, sandbox=create_sandbox(clock=clock, catalogue=catalogue))
