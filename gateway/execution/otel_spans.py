"""Requests as OpenTelemetry's spans: one for the request, one below it for each attempt, by the GenAI names.

The only file that imports OpenTelemetry, which is an extra; nobody imports this one before traces are configured.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from gateway.execution.request_event import RequestEvent
from gateway.reasons import Outcome

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from gateway.config.routes import Provider
    from gateway.ledger.entry import Entry

LONGEST_ANSWER: Final = 64 * 1024
"""Bytes of a collector's answer."""
OPERATIONS: Final = {
    "chat_completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
"""Endpoints by their GenAI operation; the others go by their own name."""
VENDORS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "vertex": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Kinds of providers whose GenAI name is another than ours."""
TIMEOUT_S: Final = 5.0
_TRACE_CONTEXT: Final = TraceContextTextMapPropagator()


class _Short(requests.Session):
    """Reads no more of an answer than a collector has to say: one without an end would fill the memory.

    It goes to the collector alone: by no proxy of the environment, and nowhere that an answer points to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send one batch; a collector that points elsewhere has not taken it."""
        with super().send(request, **kwargs | {"stream": True, "allow_redirects": False}) as answer:
            answer.raw = BytesIO(answer.raw.read(LONGEST_ANSWER))
            if answer.is_redirect:
                answer.status_code = HTTPStatus.BAD_GATEWAY
        return answer


class Spans:
    """Makes spans of requests that are over, and brings them to the collector; in one thread alone."""

    def __init__(
        self, endpoint: str, instance: str, version: str, provider: Callable[[str], "Provider | None"], name: str | None
    ) -> None:
        own = {"service.version": version, "service.instance.id": instance}
        self._kept = _Kept()
        resource = Resource.create({"service.name": name or "understudy", **own})
        self._tracing = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._tracing.add_span_processor(self._kept)
        self._tracer = self._tracing.get_tracer("gateway", version)
        self._provider = provider
        # What the exporter says of each batch that fails is said once, by whoever counts what is lost.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(endpoint, timeout=TIMEOUT_S, session=_Short())

    def export(self, events: list[RequestEvent]) -> int:
        """Bring these requests' spans to the collector; return how many spans it did not take."""
        for event in events:
            self._add(event)
        spans, self._kept.spans = self._kept.spans, []
        if not spans or self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return 0
        return len(spans)

    def stop(self) -> None:
        """Let no export go on trying."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _add(self, event: RequestEvent) -> None:
        operation = OPERATIONS.get(event.endpoint, event.endpoint)
        parent = None
        if event.traceparent is not None:
            parent = _TRACE_CONTEXT.extract({"traceparent": event.traceparent.decode("latin-1")})
        begun = _nanoseconds(event.started_at)
        span = self._tracer.start_span(
            f"{operation} {event.route}" if event.route else operation,
            context=parent,
            kind=SpanKind.SERVER,
            start_time=begun,
        )
        if not span.is_recording():
            # Not sampled: its attempts would not be either, and most of the work is what follows.
            return
        span.set_attributes(_present(request_attributes(event, operation)))
        if event.status >= 500:
            span.set_status(StatusCode.ERROR)
        context = set_span_in_context(span)
        for attempt in event.attempts:
            called = self._tracer.start_span(
                f"{operation} {attempt.model_asked}",
                context=context,
                kind=SpanKind.CLIENT,
                attributes=_present(attempt_attributes(attempt, operation, self._provider(attempt.provider))),
                start_time=_nanoseconds(attempt.started_at),
            )
            _close(called, attempt)
        span.end(begun + int(event.duration_s * 1e9))


class _Kept(SpanProcessor):
    """Keeps spans that ended until they are exported."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """Keep one; those that are not sampled are never recorded."""
        if span.context is not None and span.context.trace_flags.sampled:
            self.spans.append(span)


def request_attributes(event: RequestEvent, operation: str) -> "Mapping[str, AttributeValue | None]":
    """Return what a request's span says; None: nothing."""
    last = event.attempts[-1] if event.attempts else None
    answered = last if last is not None and last.outcome is not Outcome.FAILED else None
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": event.route,
        "http.request.method": "POST",
        "http.response.status_code": event.status,
        "error.type": event.code or (str(event.status) if event.status >= 400 else None),
        "gateway.request_id": event.request_id,
        "gateway.endpoint": event.endpoint,
        "gateway.route": event.route,
        "gateway.stream": event.stream,
        "gateway.key": event.key,
        "gateway.attempts": len(event.attempts),
        "gateway.adapted": tuple(event.adapted) or None,
        "gateway.team": last.team if last is not None else None,
        "gateway.served_by": answered.role.value if answered is not None else None,
        "gateway.reason": answered.reason.value if answered is not None else None,
        "gateway.overhead_ms": answered.overhead_ms if answered is not None else None,
    }


def attempt_attributes(
    attempt: "Entry", operation: str, provider: "Provider | None"
) -> "Mapping[str, AttributeValue | None]":
    """Return what an attempt's span says; None: nothing."""
    url = urlsplit(provider.base_url) if provider is not None else None
    kind = provider.kind if provider is not None else None
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": VENDORS.get(kind, kind) if kind is not None else None,
        "gen_ai.request.model": attempt.model_asked,
        "gen_ai.response.model": attempt.model_answered,
        "gen_ai.usage.input_tokens": attempt.input_tokens,
        "gen_ai.usage.output_tokens": attempt.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": attempt.cached_input_tokens,
        "gen_ai.usage.reasoning.output_tokens": attempt.reasoning_tokens or None,
        "server.address": url.hostname if url is not None else None,
        "server.port": url.port if url is not None else None,
        "http.response.status_code": attempt.status,
        "error.type": attempt.failure.value if attempt.failure is not None else None,
        "gateway.attempt_id": attempt.attempt_id,
        "gateway.route": attempt.route,
        "gateway.target": attempt.target,
        "gateway.served_by": attempt.role.value,
        "gateway.provider": attempt.provider,
        "gateway.reason": attempt.reason.value,
        "gateway.outcome": attempt.outcome.value,
        "gateway.usage_source": attempt.usage_source.value,
        "gateway.cost_nanousd": attempt.cost_nanousd,
        "gateway.ttft_ms": attempt.ttft_ms,
        "gateway.substituted": attempt.substituted or None,
        "gateway.contract_broken": attempt.contract_broken,
    }


def _close(span: Span, attempt: "Entry") -> None:
    if attempt.outcome in (Outcome.FAILED, Outcome.INTERRUPTED):
        span.set_status(StatusCode.ERROR, attempt.failure.value if attempt.failure is not None else None)
    span.end(_nanoseconds(attempt.finished_at))


def _present(attributes: "Mapping[str, AttributeValue | None]") -> "dict[str, AttributeValue]":
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e6) * 1000
