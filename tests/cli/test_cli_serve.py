import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from command_line import Run
from gateway_server import ROOT, free_port, running_gateway, wait_until_ready

ROUTES = """\
version: 1
providers: {p: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: p, model: m1}}
defaults: {provider: p, fallbacks: [base]}
routes:
  a: {primary: null}
"""


@pytest.mark.rig
def test_a_port_that_is_taken_ends_with_1_and_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "gateway", "serve", "--routes", str(path), "--port", port]
        ran = subprocess.run(command, env=clean, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ran.stderr
    assert "--port" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_secret_that_is_not_set_is_an_error_here(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES.replace("kind: vllm,", "kind: vllm, api_key_env: NOBODY_SETS_THIS,"))
    ran = run("serve", "--routes", path, "--port", "0")
    assert ran.code == 1
    assert "routes.yaml:2: " in ran.err
    assert "NOBODY_SETS_THIS" in ran.err


def test_keys_without_the_pepper_are_an_error_here_and_a_warning_to_check(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES + f'keys: {{forum: {{digest: "hmac-sha256:{"ab" * 32}"}}}}\n')
    checked = run("check", path)
    assert checked.code == 0
    assert "routes.yaml:7: warning: keys count only where GATEWAY_KEY_PEPPER" in checked.out
    ran = run("serve", "--routes", path, "--port", "0")
    assert ran.code == 1
    assert "routes.yaml:7: keys count only where GATEWAY_KEY_PEPPER" in ran.err


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        pytest.param(["--host", "0.0.0.0"], {}, "GATEWAY_KEY", id="open to the network without keys"),
        pytest.param(["--port", "70000"], {}, "GATEWAY_PORT", id="a port beyond all ports"),
        pytest.param(
            [], {"GATEWAY_KEY_FILE": "/no/such/file"}, "GATEWAY_KEY_FILE", id="a key in a file that is not there"
        ),
        pytest.param(
            ["--routes", "/no/such/routes.yaml"], {}, "routes.yaml:1: ", id="a configuration that is not there"
        ),
    ],
)
def test_what_it_refuses_to_start_with(
    arguments: list[str], environ: dict[str, str], says: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_LOG_LEVEL", "error")
    ran = run("serve", *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert says in ran.err


def test_a_database_that_is_none_is_told_at_the_start(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(ROUTES)
    ran = run("serve", "--routes", path, "--port", "0", "--database", "mysql://user:s3cret@host/ledger")
    assert ran.code == 1
    assert "GATEWAY_DATABASE_URL: mysql: the ledger is kept in sqlite or postgresql" in ran.err
    assert "s3cret" not in ran.err


@pytest.mark.rig
def test_a_journal_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "journals").write_text("a file where the directory should be")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    environ["GATEWAY_JOURNAL_DIR"] = str(tmp_path / "journals")
    command = [sys.executable, "-m", "gateway", "serve", "--routes", str(tmp_path / "routes.yaml"), "--port", "0"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("The ledger's journal cannot be written below ")
    assert "Traceback" not in ran.stderr + ran.stdout


def test_it_greets_warns_of_variables_that_mean_nothing_and_stops_when_it_is_asked_to(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    with running_gateway(tmp_path / "routes.yaml", tmp_path, GATEWAY_DRAIN="5") as gateway:
        assert httpx.get(f"{gateway.v1}/models", trust_env=False).json()["data"][0]["id"] == "a"
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(20) == 0
        log = gateway.log.read_text()
    assert f"understudy serves 1 route at {gateway.v1}: a" in log
    assert "warning: GATEWAY_DRAIN is not a setting; did you mean 'GATEWAY_DRAIN_S'?" in log
    assert "Traceback" not in log


@pytest.mark.rig
def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    port = free_port()
    command = [sys.executable, "-m", "gateway", "serve", "--routes", str(tmp_path / "routes.yaml"), "--host", "::1"]
    command += ["--port", str(port), "--database", f"sqlite:///{tmp_path}/ledger.db"]
    log = tmp_path / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until_ready(f"http://[::1]:{port}", process, log)
        finally:
            process.terminate()
            process.wait(20)
    assert f"http://[::1]:{port}/v1" in log.read_text()


def test_a_sandbox_on_a_port_that_is_taken(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = run("sandbox", "--port", str(taken.getsockname()[1]))
    assert ran.code == 1
    assert "choose another with --port" in ran.err
