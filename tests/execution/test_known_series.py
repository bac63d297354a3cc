from decimal import Decimal

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway.config.routes import Webhook
from gateway.config.routes_learning import Capture, Rehearsal
from gateway.execution.known_series import export_zeros
from gateway.metrics import Metrics
from tests.example_routes import a_route, some_routes


def zeros(metrics: Metrics, name: str, label: str) -> dict[str, float]:
    page = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    return {sample.labels[label]: sample.value for family in page for sample in family.samples if sample.name == name}


def test_what_a_configuration_lets_one_expect_is_there_at_zero() -> None:
    metrics = Metrics()
    routes = some_routes(
        a_route(capture=Capture(share=0.1), rehearsal=Rehearsal(share=0.1, mode="shadow", max_usd_per_day=Decimal(1))),
        webhooks={"ops": Webhook(name="ops", url="https://ops.example/hook")},
    )
    export_zeros(metrics, routes)
    assert zeros(metrics, "gateway_config_reloads_total", "outcome") == {"loaded": 0, "refused": 0, "waiting": 0}
    assert zeros(metrics, "gateway_webhooks_total", "outcome") == {"delivered": 0, "failed": 0, "given_up": 0}
    assert {"available", "gone", "no_access"} <= zeros(metrics, "gateway_model_probes_total", "outcome").keys()
    assert {"ok", "failed"} <= zeros(metrics, "gateway_calendar_polls_total", "outcome").keys()
    moves = zeros(metrics, "gateway_cutovers_total", "reason")
    assert {"primary", "gone", "shutdown_reached", "commanded"} <= moves.keys()
    assert "circuit_open" not in moves, "what passes moves no route"
    assert zeros(metrics, "gateway_rehearsals_total", "outcome")["ok"] == 0
    assert zeros(metrics, "gateway_rehearsal_cost_usd_total", "route") == {"forum-reply": 0}
    assert zeros(metrics, "gateway_captured_total", "outcome")["kept"] == 0


def test_another_configuration_takes_no_count_back() -> None:
    metrics = Metrics()
    metrics.config_reloads.labels("refused").inc()
    export_zeros(metrics, some_routes())
    assert zeros(metrics, "gateway_config_reloads_total", "outcome")["refused"] == 1
