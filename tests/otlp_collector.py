"""A collector of traces that speaks OTLP over HTTP: it keeps what it is sent, or hangs, or refuses."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 15.0


@dataclass
class RunningCollector:
    """``status`` is what it answers with; while ``hangs`` it answers nothing, and while ``rambles`` without an end."""

    port: int = 0
    status: int = 200
    hangs: bool = False
    rambles: bool = False
    said: int = 0
    """Bytes of an answer without an end."""
    elsewhere: str = ""
    """Where a status of 307 points to."""
    asked: int = 0
    """Requests, whatever was answered."""
    paths: list[str] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    stopped: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, count: int) -> list[Span]:
        """Wait until there are so many spans; return them in the order of their start."""
        wait_until(lambda: len(self.spans) >= count, f"{count} spans")
        assert len(self.spans) == count, [span.name for span in self.spans]
        return sorted(self.spans, key=lambda span: (span.start_time_unix_nano, span.kind))


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S:g} s: {what}"
        time.sleep(0.01)


def attributes(span: Any) -> dict[str, Any]:
    """A span's, or a resource's, attributes as Python's values."""
    return {pair.key: value_of(pair.value) for pair in span.attributes}


def value_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(each) for each in value.array_value.values]
    return getattr(value, str(kind))


@contextmanager
def running_collector() -> Iterator[RunningCollector]:
    """Listen on a free port of the loopback."""
    collector = RunningCollector()

    class Handler(BaseHTTPRequestHandler):
        def ramble(self) -> None:
            self.end_headers()
            with suppress(ConnectionError):
                while not collector.stopped.is_set():
                    self.wfile.write(bytes(65536))
                    collector.said += 65536

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if collector.hangs:
                collector.stopped.wait(PATIENCE_S)
                return
            collector.asked += 1
            if collector.status == 200:
                collector.paths.append(self.path)
                for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    collector.resources.append(attributes(of_resource.resource))
                    for scope in of_resource.scope_spans:
                        collector.spans.extend(scope.spans)
            self.send_response(collector.status)
            if collector.rambles:
                self.ramble()
                return
            if collector.status == 307:
                self.send_header("location", collector.elsewhere or f"{collector.url}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
