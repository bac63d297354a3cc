"""A port of its own for machines: no key, three paths, and nothing else."""

import socket
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from gateway_server import free_port, running_gateway

from gateway.cli.ops_server import MOST_AT_ONCE

pytestmark = pytest.mark.rig
ROUTES = """\
version: 1
providers: {p: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: p, model: m1}}
defaults: {provider: p, fallbacks: [base]}
routes:
  a: {primary: null}
"""


def test_prometheus_needs_no_key_on_a_port_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    port = free_port()
    keys = {"GATEWAY_KEY": "sk-callers", "GATEWAY_ADMIN_KEY": "sk-admin"}
    with running_gateway(path, tmp_path, GATEWAY_METRICS_PORT=str(port), **keys) as gateway:
        assert httpx.get(f"{gateway.url}/metrics", trust_env=False).status_code == 401
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as ops:
            metrics = ops.get("/metrics")
            assert metrics.status_code == 200
            assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
            assert "gateway_ready 1.0\n" in metrics.text
            assert ops.get("/healthz").json() == {"status": "ok"}
            assert ops.get("/readyz").json()["ready"] is True
            for method, elsewhere in (("GET", "/v1/models"), ("GET", "/ui"), ("POST", "/metrics"), ("GET", "/docs")):
                answer = ops.request(method, elsewhere, headers={"authorization": "Bearer sk-admin"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
            rebound = ops.get("/metrics", headers={"host": "evil.example"})
            assert rebound.status_code == 403, "a page elsewhere whose name was made to point here"
    assert gateway.process.returncode == 0
    with httpx.Client(trust_env=False) as client:
        try:
            client.get(f"http://127.0.0.1:{port}/healthz")
        except httpx.ConnectError:
            return
    raise AssertionError("the port is still open")


def test_a_port_for_machines_that_is_taken_says_which_setting(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    port = free_port()
    with running_gateway(path, tmp_path, port=port, wait=False, GATEWAY_METRICS_PORT=str(port)) as gateway:
        assert gateway.process.wait(30) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in gateway.log.read_text()
    assert "choose another with GATEWAY_METRICS_PORT" in gateway.log.read_text()


def test_connections_that_are_kept_open_keep_nobody_out(tmp_path: Path) -> None:
    """A kubelet that is not answered ends the process."""
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    port = free_port()
    with running_gateway(path, tmp_path, GATEWAY_METRICS_PORT=str(port)), ExitStack() as stack:
        half = b"GET /metrics HTTP/1.1\r\nhost: loc"
        for number in range(2 * MOST_AT_ONCE):
            kept = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            kept.sendall(half if number % 2 else b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for path_ in ("/healthz", "/readyz", "/metrics"):
            assert httpx.get(f"http://127.0.0.1:{port}{path_}", trust_env=False).status_code == 200
