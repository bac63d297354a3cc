import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from otlp_collector import RunningCollector, attributes, running_collector, wait_until

from gateway.api.telling import traceparent_of
from gateway.execution.otel_spans import TIMEOUT_S
from gateway.execution.request_event import RequestEvent
from gateway.execution.traces import Traces, endpoint_of, shown
from gateway.metrics import Metrics
from gateway.reasons import FailureKind, Outcome, Reason, Role
from tests.example_routes import a_provider
from tests.store.rows import an_entry

AT = datetime(2026, 11, 29, 12, 0, 0, 250_000, tzinfo=UTC)
AZURE = a_provider(name="openai", kind="azure", base_url="https://acme.openai.azure.com:8443/openai/v1")
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01".encode()
SOONER_S = TIMEOUT_S - 1
"""Whoever waited for a collector that hangs would take longer; a busy machine alone does not."""
Open = Callable[..., Traces]


@pytest.fixture
def collector() -> Iterator[RunningCollector]:
    with running_collector() as running:
        yield running


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def open_traces(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    opened = []
    # What the machine that runs the test has configured is not what is tested.
    for name in ("OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)

    def start(url: str, name: str | None = None) -> Traces:
        traces = Traces(
            f"{url}/v1/traces", instance="replica-1", version="1.2.3", name=name,
            provider={"openai": AZURE}.get, dropped=metrics.spans_dropped,
        )  # fmt: skip
        opened.append(traces)
        return traces

    yield start
    for traces in opened:
        traces.close()


def an_event(**fields: Any) -> RequestEvent:
    given = {
        "request_id": "req_1",
        "endpoint": "chat_completions",
        "route": "forum-reply",
        "stream": True,
        "status": 200,
        "code": None,
        "key": "default",
        "started_at": AT,
        "duration_s": 1.5,
        "attempts": (an_entry(),),
    }
    return RequestEvent(**given | fields)


def dropped(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("gateway_trace_spans_dropped_total")


async def test_a_request_is_a_span_and_each_attempt_one_below_it(
    collector: RunningCollector, open_traces: Open
) -> None:
    begun = AT + timedelta(milliseconds=1)
    failed = an_entry(
        outcome=Outcome.FAILED, failure=FailureKind.TIMEOUT, status=None, model_answered=None,
        started_at=begun, finished_at=begun + timedelta(seconds=1),
    )  # fmt: skip
    answered = an_entry(
        role=Role.FALLBACK, target="luna", reason=Reason.TIMEOUT, model_asked="gpt-6-luna",
        model_answered="gpt-6-luna-1", provider="elsewhere", ttft_ms=200.0, reasoning_tokens=7, overhead_ms=0.4,
        contract_broken=True, started_at=begun + timedelta(seconds=1), finished_at=begun + timedelta(seconds=1.4),
    )  # fmt: skip
    traces = open_traces(collector.url)
    traces.told(an_event(attempts=(failed, answered), adapted=["max_tokens"]))
    traces.close()
    request, first, second = collector.wait_for(3)
    assert collector.paths == ["/v1/traces"]
    assert collector.resources[0]["service.name"] == "understudy"
    assert (collector.resources[0]["service.instance.id"], collector.resources[0]["service.version"]) == (
        "replica-1",
        "1.2.3",
    )
    assert [span.name for span in (request, first, second)] == [
        "chat forum-reply", f"chat {failed.model_asked}", "chat gpt-6-luna",
    ]  # fmt: skip
    assert (request.kind, first.kind, second.kind) == (2, 3, 3), "server, client, client"
    assert {first.parent_span_id, second.parent_span_id} == {request.span_id}
    assert request.parent_span_id == b""
    assert request.start_time_unix_nano == int(AT.timestamp() * 1e6) * 1000
    assert request.end_time_unix_nano - request.start_time_unix_nano == 1_500_000_000
    assert first.end_time_unix_nano - first.start_time_unix_nano == 1_000_000_000
    assert (request.status.code, first.status.code, second.status.code) == (0, 2, 0)
    said = attributes(request)
    assert said["gen_ai.operation.name"] == "chat"
    assert said["gateway.route"] == said["gen_ai.request.model"] == "forum-reply"
    assert (said["gateway.reason"], said["gateway.served_by"], said["gateway.attempts"]) == ("timeout", "fallback", 2)
    assert (said["http.response.status_code"], said["gateway.request_id"]) == (200, "req_1")
    assert said["gateway.adapted"] == ["max_tokens"]
    assert not [name for name in said if name.startswith("gen_ai.usage")], "tokens are the attempts', and add up once"
    said = attributes(first)
    assert (said["error.type"], said["gateway.outcome"]) == ("timeout", "failed")
    assert (said["server.address"], said["server.port"]) == ("acme.openai.azure.com", 8443)
    assert said["gen_ai.provider.name"] == "azure.ai.openai"
    assert "http.response.status_code" not in said
    said = attributes(second)
    assert (said["gen_ai.request.model"], said["gen_ai.response.model"]) == ("gpt-6-luna", "gpt-6-luna-1")
    assert (said["gen_ai.usage.input_tokens"], said["gen_ai.usage.output_tokens"]) == (1200, 150)
    assert said["gen_ai.usage.cache_read.input_tokens"] == 300
    assert said["gen_ai.usage.reasoning.output_tokens"] == 7
    assert (said["gateway.cost_nanousd"], said["gateway.contract_broken"]) == (495_000, True)
    assert "server.address" not in said, "a provider that the configuration no longer has"


@pytest.mark.parametrize(
    ("traceparent", "spans", "trace"),
    [
        pytest.param(PARENT, 2, TRACE, id="a caller's trace goes on"),
        pytest.param(PARENT[:-1] + b"0", 0, None, id="one that is not sampled is not recorded"),
        pytest.param(b"00-zz-b7ad6b7169203331-01", 2, None, id="nonsense begins a trace of our own"),
        pytest.param(b"\xff\xfe\r\n", 2, None, id="bytes that are no text do so too"),
        pytest.param(f"00-{'0' * 32}-b7ad6b7169203331-01".encode(), 2, None, id="a trace of zeros is none"),
        pytest.param(None, 2, None, id="none at all"),
    ],
)
async def test_the_callers_trace(
    collector: RunningCollector, open_traces: Open, traceparent: bytes | None, spans: int, trace: str | None
) -> None:
    traces = open_traces(collector.url)
    traces.told(an_event(traceparent=traceparent))
    traces.close()
    found = collector.wait_for(spans)
    assert len({span.trace_id for span in found}) <= 1
    if spans:
        request = next(span for span in found if span.kind == 2)
        same = request.trace_id.hex() == TRACE
        assert same is (trace is not None)
        assert request.parent_span_id.hex() == ("b7ad6b7169203331" if trace else "")


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        pytest.param("http://c:4318/v1/traces", "http://c:4318/v1/traces", id="as it is"),
        pytest.param("https://me:pass@c/v1/traces?key=k", "https://c/v1/traces", id="nothing secret"),
        pytest.param("https://me@[::1]:4318/v1/traces", "https://[::1]:4318/v1/traces", id="nobody's name"),
    ],
)
def test_what_is_logged_of_a_collectors_address(endpoint: str, said: str) -> None:
    assert shown(endpoint) == said


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        pytest.param([(b"host", b"a"), (b"traceparent", PARENT)], PARENT, id="the caller's"),
        pytest.param([(b"host", b"a")], None, id="none"),
        pytest.param([(b"traceparent", b"0" * 513)], None, id="one so long that OpenTelemetry would log it"),
    ],
)
def test_which_trace_of_the_caller_is_told(headers: list[tuple[bytes, bytes]], kept: bytes | None) -> None:
    assert traceparent_of(headers) == kept


async def test_a_refused_request_is_a_span_with_its_error(collector: RunningCollector, open_traces: Open) -> None:
    traces = open_traces(collector.url, "gateway-eu")
    traces.told(an_event(status=404, code="route_not_found", route=None, attempts=()))
    traces.told(an_event(status=502, code="upstream_error", started_at=AT + timedelta(seconds=1), attempts=()))
    traces.told(an_event(endpoint="/v1/models", attempts=()))
    traces.close()
    refused, failed = collector.wait_for(2)
    assert (refused.name, attributes(refused)["error.type"], refused.status.code) == ("chat", "route_not_found", 0)
    assert (failed.status.code, attributes(failed)["error.type"]) == (2, "upstream_error")
    assert collector.resources[0]["service.name"] == "gateway-eu"


@pytest.mark.parametrize("status", [400, 307], ids=["refuses", "points elsewhere"])
async def test_a_collector_that_refuses_costs_its_spans_and_later_ones_arrive(
    status: int, collector: RunningCollector, open_traces: Open, metrics: Metrics
) -> None:
    collector.status = status
    traces = open_traces(collector.url)
    traces.told(an_event())
    traces._behind.flush()
    wait_until(lambda: traces._behind._lost == 2, "the collector has refused")
    collector.status = 200
    traces.told(an_event())
    traces.close()
    assert len(collector.wait_for(2)) == 2
    assert dropped(metrics) == 2


async def test_spans_go_to_the_collector_alone(
    collector: RunningCollector, open_traces: Open, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_collector() as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url)
        collector.status, collector.elsewhere = 307, f"{other.url}/v1/traces"
        traces = open_traces(collector.url)
        traces.told(an_event())
        traces._behind.flush()
        wait_until(lambda: traces._behind._lost == 2, "the collector pointed elsewhere")
        traces.close()
        assert collector.asked > 0
        assert other.asked == 0


async def test_a_collector_that_hangs_holds_nobody_up_and_a_stop_waits_a_second(
    collector: RunningCollector, open_traces: Open, metrics: Metrics
) -> None:
    collector.hangs = True
    traces = open_traces(collector.url)
    began = time.monotonic()
    for _ in range(6_000):
        traces.told(an_event())
    assert time.monotonic() - began < SOONER_S, "whoever answers requests does not wait"
    assert dropped(metrics) == 12_000 - 5_002, "what cannot wait is counted"
    began = time.monotonic()
    traces.close()
    assert time.monotonic() - began < SOONER_S


async def test_of_an_answer_without_an_end_little_is_read(collector: RunningCollector, open_traces: Open) -> None:
    collector.rambles = True
    traces = open_traces(collector.url)
    traces.told(an_event())
    traces.close()
    wait_until(lambda: collector.said > 0, "it has answered")
    await asyncio.sleep(0.5)
    # What the system's own buffers take is beyond our say.
    assert collector.said < 16 * 1024 * 1024


async def test_nobody_at_the_collectors_address(open_traces: Open, metrics: Metrics) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        traces = open_traces(f"http://127.0.0.1:{held.getsockname()[1]}")
        traces.told(an_event())
        began = time.monotonic()
        traces.close()
        assert time.monotonic() - began < SOONER_S


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        pytest.param({}, None, id="nothing is configured"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces", id="a base"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"},
            "http://t/x",
            id="an address of its own for traces",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None, id="switched off"
        ),
    ],
)
def test_where_spans_go(environ: dict[str, str], endpoint: str | None) -> None:
    assert endpoint_of(environ) == endpoint


def test_where_only_the_interface_is_installed_nothing_is_exported_and_it_is_said_at_once() -> None:
    code = (
        "import sys; from gateway.execution.traces import endpoint_of\n"
        "sys.modules['opentelemetry.sdk'] = None\n"
        "assert endpoint_of({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://c:4318'}) is None"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "understudy-gateway[otel]" in ran.stdout + ran.stderr


def test_nothing_of_opentelemetry_is_imported_where_nobody_configured_it() -> None:
    # FastAPI imports the bare interface by itself where it is installed; what costs memory is behind these two.
    code = (
        "import sys, gateway.execution.listeners\n"
        "sys.exit(any(name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter')) for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
