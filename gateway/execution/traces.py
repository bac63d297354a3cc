"""Traces of requests, for who has a collector: made behind the answers, and dropped where it does not keep up."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import structlog

from gateway.execution.behind import Behind
from gateway.execution.request_event import RequestEvent
from gateway.metrics import Counters

if TYPE_CHECKING:
    from gateway.config.routes import Provider
    from gateway.execution.otel_spans import Spans

log = structlog.get_logger()
EVERY_S: Final = 1.0
AT_ONCE: Final = 500
MOST_WAITING: Final = 5_000
"""Spans that wait for the collector; what comes then is dropped and counted."""
CLOSE_S: Final = 1.0
BASE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
OF_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


def endpoint_of(environ: Mapping[str, str]) -> str | None:
    """Return where spans go; None: nowhere, for nobody named a collector, or the extra is not installed."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    base = environ.get(BASE)
    endpoint = environ.get(OF_TRACES) or (f"{base.rstrip('/')}/v1/traces" if base else None)
    if endpoint and not _has_extra():
        log.warning(
            "traces_not_exported", why=f"{BASE} is set, and the extra is not installed: understudy-gateway[otel]"
        )
        return None
    return endpoint or None


def _has_extra() -> bool:
    """Whether spans can be made and sent; the API alone, which other packages bring along, cannot."""
    try:
        return all(map(importlib.util.find_spec, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        return False


def shown(endpoint: str) -> str:
    """Return an address as it may be logged: without a name and a password, and without its query."""
    parts = urlsplit(endpoint)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class Traces:
    """Takes events of requests; everything else happens in a thread of its own, the imports included."""

    def __init__(
        self,
        endpoint: str,
        *,
        instance: str,
        version: str,
        name: str | None,
        provider: Callable[[str], "Provider | None"],
        dropped: Counters,
    ) -> None:
        """``name`` is the service's; ``provider`` returns a provider of the current configuration."""
        self._open = (endpoint, instance, version, provider, name)
        self._shown = shown(endpoint)
        self._spans: Spans | None = None
        self._taken = True
        self._behind: Behind[RequestEvent] = Behind(
            "traces", self._export, dropped, most=MOST_WAITING, every_s=EVERY_S, at_once=AT_ONCE
        )

    def told(self, event: RequestEvent) -> None:
        """Take one event; only requests to models have a trace."""
        if event.is_of_model:
            spans = 1 + len(event.attempts)
            self._behind.put(event, spans, spans)

    def close(self) -> None:
        """Export the rest; a collector that does not answer is waited for a second."""
        self._behind.close(CLOSE_S)
        if self._spans is not None:
            self._spans.stop()

    def _export(self, events: list[RequestEvent]) -> int:
        try:
            if self._spans is None:
                from gateway.execution.otel_spans import Spans

                self._spans = Spans(*self._open)
            lost = self._spans.export(events)
        except Exception:
            log.exception("traces_not_exported")
            return sum(1 + len(event.attempts) for event in events)
        self._say(lost == 0)
        return lost

    def _say(self, taken: bool) -> None:
        """Say it once when the collector takes nothing any more, and once when it does again."""
        if taken is not self._taken:
            self._taken = taken
            say = log.info if taken else log.warning
            say("traces_taken" if taken else "traces_not_taken", endpoint=self._shown)
