from pathlib import Path

from forty_routes import write

from gateway.config.loader import load
from gateway.execution.exercised import Exercised
from gateway.execution.known_series import export_zeros
from gateway.execution.prepared import Snapshot
from gateway.execution.route_collector import RouteCollector
from gateway.execution.target_board import TargetBoard
from gateway.execution.target_collector import TargetCollector
from gateway.metrics import Metrics
from gateway.metrics.exposition import page
from gateway.providers.http_client import HttpClient
from gateway.providers.openai_wire import Upstream
from tests.execution.test_route_collector import Running
from tests.fake_clock import FakeClock

PROMISED_BYTES = 1024 * 1024


def test_forty_routes_that_are_busy_fit_the_page_that_is_promised(tmp_path: Path) -> None:
    clock, metrics, client = FakeClock(), Metrics(), HttpClient()
    routes = load(write(tmp_path), environ={"OPENAI_API_KEY": "k"}).routes
    upstreams = {name: Upstream(provider, client, {}, clock) for name, provider in routes.providers.items()}
    export_zeros(metrics, routes)
    snapshot = Snapshot(routes, upstreams, metrics=metrics, clock=clock)
    running = Running(snapshot, TargetBoard(clock, lambda target, carefully: None))
    metrics.registry.register(RouteCollector(running, Exercised(lambda: None, clock)))
    metrics.registry.register(TargetCollector(running))
    for prepared in snapshot.prepared.values():
        for target in prepared.targets.values():
            for streamed in (False, True):
                target.meters.duration("chat_completions", streamed).observe(0.3)
    assert len(snapshot.prepared) == 40
    size = len(page(metrics.registry))
    assert 200_000 < size < PROMISED_BYTES
