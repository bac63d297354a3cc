"""The chart says nothing of the gateway that is not so: settings, ports, paths, commands, files, figures."""

import base64
import gzip
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from gateway import __version__
from gateway.api import openai, ops
from gateway.cli import server
from gateway.cli.main import app
from gateway.config.loader import load
from gateway.config.routes_ledger import Ledger
from gateway.config.settings import LEAST_PEPPER, PREFIX, Settings, unknown_variables
from gateway.execution.endpoints import ENDPOINTS
from tests.command_line import Run, run
from tests.helm.chart_cases import (
    CASES,
    CHART,
    LEAST,
    ROOT,
    Object,
    case_objects,
    chart,
    gateway_container,
    objects,
    objects_in,
    one,
    over,
    texts,
    workload,
)

__all__ = ["run"]
SANDBOX_PORT = 8081
PUBLIC_PATHS = {"/v1", "/ui"}
MADE_UP = {
    "GATEWAY_DATABASE_URL": "postgresql://user:word@db/understudy",
    "GATEWAY_LIMITS_URL": "redis://:word@redis:6379",
    "GATEWAY_KEY_PEPPER": "p" * LEAST_PEPPER,
}


def environment(found: list[Object], container: Object) -> dict[str, str]:
    """Return what a container is told; what comes from a Secret is made up."""
    told = {}
    for variable in container["env"]:
        told[variable["name"]] = variable.get("value") or MADE_UP.get(variable["name"], "from-a-secret")
    return told


def settings_of(name: str) -> Settings:
    found = case_objects(name)
    told = environment(found, gateway_container(found))
    return Settings(**{k.removeprefix(PREFIX).lower(): v for k, v in told.items() if k.startswith(PREFIX)})


@pytest.mark.parametrize("name", CASES)
def test_every_variable_is_a_setting_and_has_a_value_that_it_takes(name: str) -> None:
    found = case_objects(name)
    pod = workload(found)["spec"]["template"]["spec"]
    migrations = [o["spec"]["template"]["spec"]["containers"][0] for o in found if o["kind"] == "Job"]
    for container in [*pod["containers"], *pod.get("initContainers", []), *migrations]:
        told = environment(found, container) if "env" in container else {}
        assert unknown_variables(told) == []
    settings = settings_of(name)
    assert not settings.is_loopback
    assert settings.journal_dir is not None


def test_what_the_chart_says_unasked_is_what_the_gateway_does_unasked() -> None:
    said, unsaid = settings_of("trial"), Settings()
    for name in ("drain_s", "max_body_bytes", "header_s", "body_s", "max_connections", "log_level", "key_pins", "open"):
        assert getattr(said, name) == getattr(unsaid, name), name
    assert (said.key_pepper, said.limits_url) == (None, None)
    assert said.linger_s == Settings(host="0.0.0.0", key="k", admin_key="a").lingers_s
    assert said.ui_actions is unsaid.ui_actions


def test_what_is_asked_arrives() -> None:
    told = settings_of("everything-on")
    assert (told.host, told.drain_s, told.linger_s, told.key_residency) == ("::", 100, 10, "eu")
    assert (told.header_s, told.body_s, told.max_connections, told.key_pins) == (5, 60, 500, True)
    assert told.ui_actions
    assert (told.log_level, told.log_requests, told.metrics_port) == ("debug", "errors", 9464)


def test_the_collectors_address_is_a_variable_that_the_gateway_reads() -> None:
    told = environment(case_objects("everything-on"), gateway_container(case_objects("everything-on")))
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    assert any("OTEL_EXPORTER_OTLP_ENDPOINT" in file.read_text() for file in (ROOT / "gateway").rglob("*.py"))


@pytest.mark.parametrize("name", CASES)
def test_ports_lead_to_where_the_gateway_listens(name: str) -> None:
    found, settings = case_objects(name), settings_of(name)
    ports = {port["name"]: port["containerPort"] for port in gateway_container(found)["ports"]}
    listens = {"http": settings.port} | ({"metrics": settings.metrics_port} if settings.metrics_port else {})
    assert ports == listens
    for object_ in found:
        if object_["kind"] == "Service":
            assert {p["targetPort"] for p in object_["spec"]["ports"]} <= set(ports)
        if object_["kind"] == "NetworkPolicy":
            assert {p["port"] for rule in object_["spec"]["ingress"] for p in rule["ports"]} == set(ports)


@pytest.mark.parametrize("name", CASES)
def test_prometheus_finds_one_way_in_and_has_what_it_takes(name: str) -> None:
    found, settings = case_objects(name), settings_of(name)
    for monitor in (o for o in found if o["kind"] in ("ServiceMonitor", "PodMonitor")):
        (endpoint,) = monitor["spec"].get("endpoints") or monitor["spec"]["podMetricsEndpoints"]
        if monitor["kind"] == "ServiceMonitor":
            selector = monitor["spec"]["selector"]["matchLabels"].items()
            (service,) = (o for o in found if o["kind"] == "Service" and selector <= o["metadata"]["labels"].items())
            (port,) = service["spec"]["ports"]
            assert endpoint["port"] == port["name"] == port["targetPort"]
        assert endpoint["port"] == ("metrics" if settings.metrics_port else "http")
        assert endpoint["honorLabels"] is True, "endpoint is a label of the gateway's own"
        if settings.metrics_port:
            assert settings.metrics_host == settings.host
            assert "authorization" not in endpoint
        else:
            sent = endpoint["authorization"]["credentials"]
            if observer := CASES[name]["keys"].get("observerKey"):
                assert sent == {"name": "understudy-keys", "key": observer}
            else:
                assert sent == secret_of(found, "GATEWAY_KEY")


def secret_of(found: list[Object], variable: str) -> dict[str, str]:
    (one_,) = [v for v in gateway_container(found)["env"] if v["name"] == variable]
    named: dict[str, str] = one_["valueFrom"]["secretKeyRef"]
    return named


def test_secrets_of_keys_and_limits_are_read_from_where_they_are_said_to_be() -> None:
    found = case_objects("everything-on")
    assert secret_of(found, "GATEWAY_KEY_PEPPER") == {"name": "understudy-keys", "key": "GATEWAY_KEY_PEPPER"}
    assert secret_of(found, "GATEWAY_LIMITS_URL") == {"name": "understudy-redis", "key": "GATEWAY_LIMITS_URL"}
    (policy,) = [o for o in found if o["kind"] == "NetworkPolicy"]
    assert {"ports": [{"port": 6379, "protocol": "TCP"}]} in policy["spec"]["egress"]


def test_with_a_pepper_callers_need_share_no_key() -> None:
    settings = settings_of("live")
    assert (settings.key, settings.key_pepper is not None, settings.admin_key is not None) == (None, True, True)


def test_paths_are_ones_that_the_gateway_has() -> None:
    asked = {route.path for route in ops.router.routes}
    container = gateway_container(case_objects("trial"))
    probed = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")}
    assert probed == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    assert set(probed.values()) <= asked
    assert one(case_objects("everything-on"), "Pod")["spec"]["containers"][0]["command"][-1].endswith("/readyz")
    monitor = one(case_objects("everything-on"), "ServiceMonitor")
    assert monitor["spec"]["endpoints"][0]["path"] in asked
    served = {f"/v1{endpoint.path}" for endpoint in ENDPOINTS} | {route.path for route in openai.router.routes}
    assert all(path.startswith("/v1/") for path in served)
    routed = {
        p["path"]["value"] for p in one(case_objects("everything-on"), "HTTPRoute")["spec"]["rules"][0]["matches"]
    }
    assert routed <= PUBLIC_PATHS


def test_commands_and_their_options_exist() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    seen = set()
    for name in ("trial", "live", "everything-on"):
        found = case_objects(name)
        pod = workload(found)["spec"]["template"]["spec"]
        jobs = [o["spec"]["template"]["spec"]["containers"][0] for o in found if o["kind"] == "Job"]
        for container in [*pod["containers"], *pod.get("initContainers", []), *jobs]:
            if container["name"] == "proxy":
                continue
            program, command, *arguments = container["command"]
            assert program == "gateway"
            options = {flag for parameter in commands[command].params for flag in parameter.opts}
            assert {argument for argument in arguments if argument.startswith("--")} <= options
            seen.add(command)
    assert seen == {"serve", "migrate", "sandbox"}
    assert "gateway" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]


def test_the_ten_seconds_after_the_drain_are_enough_for_the_gateway_to_end() -> None:
    assert server.LEAVES_S + server.HUNG_S < 10


def test_the_chart_is_of_the_gateways_version() -> None:
    assert chart().metadata["appVersion"] == __version__


# --- configuration ---


def test_the_trials_routes_pass_the_check_and_are_served_by_the_sandbox_beside_them(run: Run) -> None:
    file = CHART / "files" / "trial" / "routes.yaml"
    checked = run("check", file)
    assert checked.code == 0, checked.err
    (provider,) = load(file, environ={}).routes.providers.values()
    (sandbox,) = workload(case_objects("trial"))["spec"]["template"]["spec"]["initContainers"]
    assert sandbox["restartPolicy"] == "Always"
    assert provider.base_url == f"http://127.0.0.1:{SANDBOX_PORT}/v1"
    assert sandbox["command"][-3:] == ["127.0.0.1", "--port", str(SANDBOX_PORT)]


@pytest.mark.parametrize("name", [name for name in CASES if "existingConfigMap" not in CASES[name].get("config", {})])
def test_files_lie_where_routes_yaml_looks_for_them(name: str, tmp_path: Path) -> None:
    mounted = mount(case_objects(name), tmp_path)
    assert mounted == Path(settings_of(name).routes_file).parent.relative_to("/")
    loaded = load(tmp_path / "etc/understudy/routes.yaml", environ={"OPENAI_API_KEY": "k"})
    assert not loaded.warnings
    if name != "trial":
        (prompt,) = (t.prompt for t in loaded.routes.routes["forum-reply"].fallbacks)
        assert prompt is not None
        assert "forum posts" in str(prompt)


def mount(found: list[Object], root: Path) -> Path:
    """Lay a ConfigMap's keys out as Kubernetes does; return where, from the root."""
    pod = workload(found)["spec"]["template"]["spec"]
    (volume,) = [v for v in pod["volumes"] if v["name"] == "config"]
    (place,) = [m for m in gateway_container(found)["volumeMounts"] if m["name"] == "config"]
    source = volume["projected"]["sources"][0]["configMap"]
    data = one(found, "ConfigMap", source["name"])["data"]
    assert {item["key"] for item in source["items"]} == set(data)
    for item in source["items"]:
        file = root / place["mountPath"].lstrip("/") / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]], encoding="utf-8")
    return Path(place["mountPath"].lstrip("/"))


def test_texts_arrive_as_they_were_written() -> None:
    text = "tabs\t, quotes \" ', {{ .Values.image }} $x, <b>&amp;, ∑ \u2028 and\r\n  an end without a line break"
    given = over(
        LEAST, {"config": {"routes": "version: 1\nproviders: {}\n# {{ braces }}\n", "files": {"a/b.md": text}}}
    )
    data = one(objects(given), "ConfigMap", "understudy-config")["data"]
    assert data == {"routes.yaml": given["config"]["routes"], "a__b.md": text}


def test_the_journals_limit_that_the_chart_reckons_with_is_the_gateways() -> None:
    assert f'"journal_mib" {Ledger().journal_mib} ' in (CHART / "templates" / "_checks.tpl").read_text()


def test_state_is_kept_on_the_volume_that_is_mounted() -> None:
    for name in CASES:
        found, settings = case_objects(name), settings_of(name)
        places = {m["mountPath"] for m in gateway_container(found)["volumeMounts"] if m["name"] == "state"}
        assert places == {"/var/lib/understudy"}
        assert str(settings.journal_dir).startswith("/var/lib/understudy/")
        if CASES[name].get("database", {}).get("kind") != "postgresql":
            assert settings.database_url.startswith("sqlite:////var/lib/understudy/")


# --- monitoring ---


def files(kind: str, ending: str) -> list[Path]:
    return sorted((CHART / "files" / kind).glob(f"*{ending}"))


def test_rules_arrive_as_their_files_have_them() -> None:
    rendered = {o["metadata"]["name"]: o for o in objects_in(texts(CASES["postgresql"])["rules.yaml"])}
    expected = {f"understudy-{file.stem}": yaml.safe_load(file.read_text()) for file in files("rules", ".yaml")}
    assert expected, "the chart brings rules"
    assert {name: rule["spec"] for name, rule in rendered.items()} == expected
    assert all(rule["metadata"]["labels"]["release"] == "kube-prometheus-stack" for rule in rendered.values())


def test_dashboards_arrive_as_their_files_have_them_with_the_label_that_grafana_looks_for() -> None:
    rendered = {o["metadata"]["name"]: o for o in objects_in(texts(CASES["postgresql"])["dashboards.yaml"])}
    assert set(rendered) == {f"understudy-dashboard-{file.stem}" for file in files("dashboards", ".json")}
    for file in files("dashboards", ".json"):
        found = rendered[f"understudy-dashboard-{file.stem}"]
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert found["data"] == {f"understudy-{file.name}": file.read_text().strip() + "\n"}


def test_dashboards_link_to_the_gateways_own_address() -> None:
    for found in objects_in(texts(CASES["everything-on"])["dashboards.yaml"]):
        (text,) = found["data"].values()
        assert json.loads(text)
        assert "http://127.0.0.1:8080" not in text
        assert found["metadata"]["annotations"] == {"grafana_folder": "Understudy"}


def test_a_release_fits_the_secret_in_which_helm_keeps_it() -> None:
    # Chart, values and manifest: JSON, gzip, then base64 twice (Helm's own, and Kubernetes').
    sources = {str(f.relative_to(CHART)): f.read_bytes() for f in CHART.rglob("*") if f.is_file()}
    held: dict[str, Any] = {name: base64.b64encode(content).decode() for name, content in sources.items()}
    held["manifest"] = "\n".join(texts(CASES["everything-on"]).values())
    size = len(base64.b64encode(base64.b64encode(gzip.compress(json.dumps(held).encode()))))
    assert size < 700_000, "leave room for routes.yaml and prompts within the 1 MiB of a Secret"
