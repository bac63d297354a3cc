"""Who hears of requests when they are over: their log and their traces, where there are such."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gateway.execution.line_writer import LineWriter
from gateway.execution.request_event import Listener, RequestEvent
from gateway.execution.request_log import RequestLog
from gateway.execution.traces import Traces, endpoint_of
from gateway.metrics import Metrics

if TYPE_CHECKING:
    from gateway.config.routes import Provider


def log_listener(wanted: str | None, fd: int | None, metrics: Metrics, stack: ExitStack) -> Listener | None:
    """Return the log of requests; ``wanted`` is all, errors or off; None: all, and on a terminal errors."""
    if fd is None or wanted == "off":
        return None
    wanted = wanted or ("errors" if os.isatty(fd) else "all")
    writer = LineWriter(fd, metrics.log_lines_dropped)
    stack.callback(writer.close)
    return RequestLog(writer, errors_only=wanted == "errors").told


def trace_listener(
    environ: Mapping[str, str],
    instance: str,
    version: str,
    provider: Callable[[str], "Provider | None"],
    metrics: Metrics,
    stack: ExitStack,
) -> Listener | None:
    """Return the traces, where a collector is configured and the extra is installed."""
    endpoint = endpoint_of(environ)
    if endpoint is None:
        return None
    name = environ.get("OTEL_SERVICE_NAME")
    traces = Traces(
        endpoint, instance=instance, version=version, name=name, provider=provider, dropped=metrics.spans_dropped
    )
    stack.callback(traces.close)
    return traces.told


def together(*listeners: Listener | None) -> Listener | None:
    """Return one listener for all there are; None: there is none, and no event need be made."""
    present = [listener for listener in listeners if listener is not None]
    if len(present) < 2:
        return present[0] if present else None

    def told(event: RequestEvent) -> None:
        for listener in present:
            listener(event)

    return told
