"""Dockerfile and compose.yaml against the code, the chart and the files that they name: no engine builds them here."""

import fnmatch
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml

from gateway import __version__
from gateway.cli import server
from gateway.cli.main import app
from gateway.config.loader import load
from gateway.config.settings import LEAST_PEPPER, PREFIX, Settings, unknown_variables
from tests.helm.chart_cases import ROOT, case_objects, gateway_container, workload
from tests.programs import required

LOOPBACK = "127.0.0.1:"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "gateway", "sandbox")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, each a word and the rest, with continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]  # type: ignore[misc]


def final_stage() -> list[tuple[str, str]]:
    all_ = instructions()
    last = max(at for at, (word, _) in enumerate(all_) if word == "FROM")
    return all_[last:]


def only(word: str) -> str:
    (rest,) = (rest for found, rest in final_stage() if found == word)
    return rest


def image_environment() -> dict[str, str]:
    return dict(part.split("=", 1) for rest in [only("ENV")] for part in shlex.split(rest))


# --- the Dockerfile ---


def test_what_is_copied_is_there_and_let_through_and_nothing_else_is() -> None:
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*"
    assert {line[1:] for line in ignored if line[0] == "!"} == copied


def test_the_wheel_is_built_from_all_that_it_is_made_of() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    assert {*needed, *project["project"]["license-files"]} <= {
        source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]
    }


def test_everything_is_installed_by_hash_and_nothing_is_compiled() -> None:
    steps = " && ".join(rest for word, rest in instructions() if word == "RUN")
    installs = [step for step in re.split("&&", steps) if "pip install" in step]
    assert len(installs) == 3
    assert [("--require-hashes" in step, "dist/*.whl" in step) for step in installs] == [
        (True, False),
        (True, False),
        (False, True),
    ]
    assert "--no-deps dist/*.whl" in steps
    assert "PIP_ONLY_BINARY=:all:" in " ".join(rest for word, rest in instructions() if word == "ENV")
    assert not re.search(r"apt-get|gcc|build-essential", steps)


def pins(name: str) -> dict[str, set[str]]:
    """Return what a lock holds: each package at its version, with its hashes."""
    found = re.finditer(r"^(\S+==\S+)(.*?)(?=^\S|\Z)", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)
    return {match[1]: set(re.findall(r"sha256:\w+", match[2])) for match in found}


@pytest.mark.parametrize(("lock", "holds"), [("build", "hatchling"), ("extras", "opentelemetry-sdk")])
def test_the_images_locks_are_parts_of_the_developers_lock(lock: str, holds: str) -> None:
    found = pins(f"requirements-{lock}.lock")
    assert any(pin.startswith(f"{holds}==") for pin in found)
    assert all(found.values())
    assert found.items() <= pins("requirements-dev.lock").items()


def test_every_extra_of_users_is_in_the_image() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = {re.split(r"[\[>=]", need)[0] for name, needs in extras.items() if name != "dev" for need in needs}
    installed = {pin.split("==")[0] for lock in ("", "-extras") for pin in pins(f"requirements{lock}.lock")}
    assert wanted <= installed
    assert not pins("requirements.lock").keys() & pins("requirements-extras.lock").keys()


def test_the_image_is_of_this_version_and_of_a_python_that_is_supported() -> None:
    assert f'image.version="{__version__}"' in only("LABEL")
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    (base,) = bases
    found = re.fullmatch(r"python:(3\.\d+)-slim-\w+", base)
    assert found is not None
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert f"Programming Language :: Python :: {found[1]}" in classifiers


def test_its_variables_are_settings_and_hold_no_key() -> None:
    told = {name: value for name, value in image_environment().items() if name.startswith(PREFIX)}
    assert unknown_variables(told) == []
    assert not [name for name in told if "KEY" in name]
    settings = Settings(**{k.removeprefix(PREFIX).lower(): v for k, v in told.items()}, key="k", admin_key="a")
    assert str(settings.port) == only("EXPOSE")
    home = only("WORKDIR")
    assert settings.database_url == f"sqlite:///{home}/gateway.db"
    assert settings.journal_dir == Path(home) / "journal"


def test_the_chart_mounts_what_the_image_expects_as_whom_the_image_expects() -> None:
    found = case_objects("trial")
    security = workload(found)["spec"]["template"]["spec"]["securityContext"]
    assert only("USER") == f"{security['runAsUser']}:{security['runAsGroup']}"
    users = " ".join(rest for word, rest in final_stage() if word == "RUN")
    assert {f"--uid {security['runAsUser']}", f"--gid {security['runAsGroup']}"} <= set(
        re.findall(r"--[ug]id \d+", users)
    )
    mounts = {mount["name"]: mount["mountPath"] for mount in gateway_container(found)["volumeMounts"]}
    assert mounts["state"] == only("WORKDIR")
    assert mounts["config"] == str(Path(image_environment()["GATEWAY_ROUTES_FILE"]).parent)


def test_it_starts_a_command_that_exists_without_a_shell_between() -> None:
    assert json.loads(only("ENTRYPOINT")) == ["gateway"]
    (command,) = json.loads(only("CMD"))
    assert command in commands()


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (503, 1), (None, 1)], ids=["alive", "ill", "gone"])
def test_its_health_check_tells_who_is_alive(status: int | None, exit_code: int) -> None:
    command = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert command[0] == "python"
    with answering(status) as port:
        ran = subprocess.run(
            [sys.executable, *command[1:]],
            env={"GATEWAY_PORT": str(port)},
            capture_output=True,
            timeout=30,
            check=False,
        )
    assert ran.returncode == exit_code


@contextmanager
def answering(status: int | None) -> Iterator[int]:
    """Answer /healthz with a status; None: nobody listens at the port."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" and status else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Health)
    port: int = httpd.server_address[1]
    if status is None:
        httpd.server_close()
        yield port
        return
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield port
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join(10)


# --- compose.yaml ---


def commands() -> dict[str, Any]:
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return found


def mounts(service: str) -> Iterator[tuple[str, str]]:
    """Yield what a service mounts, and where."""
    for volume in SERVICES[service].get("volumes", []):
        source, target = volume.split(":")[:2]
        yield source, target


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_names_only_what_is_there(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", service["image"]), "a tag that says which"
    for source, _ in mounts(name):
        assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]
    for other, on in service["depends_on"].items() if "depends_on" in service else ():
        assert on["condition"] != "service_healthy" or "test" in SERVICES[other]["healthcheck"]
        assert on["condition"] != "service_completed_successfully" or SERVICES[other]["restart"] == "no"
    if mode := service.get("network_mode"):
        assert mode.removeprefix("service:") in SERVICES
        assert "ports" not in service, "whose network it is publishes its ports"
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]


def test_every_volume_is_used() -> None:
    assert {source for name in SERVICES for source, _ in mounts(name) if source[0] != "."} == set(COMPOSE["volumes"])


def test_nothing_can_be_reached_from_other_machines() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert all(port.startswith(LOOPBACK) for port in published)


def test_our_containers_run_commands_with_options_and_settings_that_exist() -> None:
    for name in OURS:
        command, *arguments = SERVICES[name]["command"]
        options = {flag for parameter in commands()[command].params for flag in parameter.opts}
        assert {argument for argument in arguments if argument.startswith("--")} <= options
        assert unknown_variables(SERVICES[name].get("environment", {})) == []
        assert SERVICES[name]["image"] == f"understudy:{__version__}"
        assert (SERVICES[name]["read_only"], SERVICES[name]["cap_drop"]) == (True, ["ALL"])


def gateway_settings() -> Settings:
    told = image_environment() | SERVICES["gateway"]["environment"]
    told.pop(f"{PREFIX}KEY_PEPPER_FILE")
    return Settings(**{k.removeprefix(PREFIX).lower(): v for k, v in told.items() if k.startswith(PREFIX)})


def test_the_pepper_is_a_file_where_the_gateway_looks_for_it_and_long_enough() -> None:
    (config,) = SERVICES["gateway"]["configs"]
    assert SERVICES["gateway"]["environment"][f"{PREFIX}KEY_PEPPER_FILE"] == config["target"]
    found = re.fullmatch(r"\$\{GATEWAY_KEY_PEPPER:-(.*)\}", COMPOSE["configs"][config["source"]]["content"])
    assert found is not None
    assert len(found[1]) >= LEAST_PEPPER


def test_the_gateway_keeps_its_journal_on_a_volume_and_its_database_where_it_was_migrated() -> None:
    settings = gateway_settings()
    places = {target for source, target in mounts("gateway") if source in COMPOSE["volumes"]}
    assert str(settings.journal_dir.parent) in places if settings.journal_dir else False
    assert SERVICES["migrate"]["environment"]["GATEWAY_DATABASE_URL"] == settings.database_url
    database = SERVICES["database"]["environment"]
    url = urlsplit(settings.database_url)
    assert (url.hostname, url.path) == ("database", f"/{database['POSTGRES_DB']}")
    assert (url.username, url.password) == (database["POSTGRES_USER"], database["POSTGRES_PASSWORD"])


def test_stopping_has_the_time_that_it_takes() -> None:
    given_s = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert given_s >= gateway_settings().drain_s + server.LEAVES_S + server.HUNG_S


def test_every_file_of_the_configuration_is_mounted_where_routes_yaml_looks_for_it(tmp_path: Path) -> None:
    for source, target in mounts("gateway"):
        if source.startswith("./"):
            place = tmp_path / target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(ROOT / source)
    loaded = load(tmp_path / str(gateway_settings().routes_file).lstrip("/"), environ={})
    assert not loaded.warnings
    assert loaded.routes.config_hash == load(ROOT / "routes.yaml", environ={}).routes.config_hash


def test_the_sandbox_listens_where_routes_yaml_looks_for_it() -> None:
    (provider,) = load(ROOT / "routes.yaml", environ={}).routes.providers.values()
    sandbox = SERVICES["sandbox"]
    assert sandbox["network_mode"] == "service:gateway"
    port = sandbox["command"][sandbox["command"].index("--port") + 1]
    assert provider.base_url == f"http://127.0.0.1:{port}/v1"
    assert {p.split(":")[-1] for p in SERVICES["gateway"]["ports"]} == {str(gateway_settings().port), port}


# --- what it mounts for those who watch ---


def watching(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose" / name).read_text())
    return config


def test_prometheus_scrapes_the_gateway_with_its_callers_key() -> None:
    (job,) = watching("prometheus.yaml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"gateway:{gateway_settings().port}"]
    assert job["metrics_path"] == "/metrics"
    (config,) = SERVICES["prometheus"]["configs"]
    assert job["authorization"] == {"credentials_file": config["target"]}
    assert COMPOSE["configs"][config["source"]]["content"] == SERVICES["gateway"]["environment"][f"{PREFIX}KEY"], (
        "the same words, with the same default"
    )


def test_prometheus_reads_its_configuration_and_the_charts_rules(tmp_path: Path) -> None:
    at = {target: ROOT / source for source, target in mounts("prometheus") if source.startswith("./")}
    (flag,) = (f for f in SERVICES["prometheus"]["command"] if f.startswith("--config.file="))
    config = at[flag.removeprefix("--config.file=")].read_text()
    (pattern,) = yaml.safe_load(config)["rule_files"]
    rules = at[str(Path(pattern).parent)]
    assert fnmatch.filter((str(file) for file in rules.iterdir()), f"*{Path(pattern).suffix}")
    (tmp_path / "callers-key").write_text("k")
    (tmp_path / "rules").symlink_to(rules)
    (tmp_path / "prometheus.yaml").write_text(config.replace("/etc/prometheus", str(tmp_path)))
    checked = subprocess.run(
        [required("promtool"), "check", "config", str(tmp_path / "prometheus.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "rules found" in checked.stdout


def test_alertmanager_reads_its_configuration_and_is_where_prometheus_looks() -> None:
    at = {target: ROOT / source for source, target in mounts("alertmanager") if source.startswith("./")}
    (flag,) = (f for f in SERVICES["alertmanager"]["command"] if f.startswith("--config.file="))
    checked = subprocess.run(
        [required("amtool"), "check-config", str(at[flag.removeprefix("--config.file=")])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    (manager,) = watching("prometheus.yaml")["alerting"]["alertmanagers"]
    (target,) = manager["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert SERVICES[name]["ports"] == [f"{LOOPBACK}{port}:{port}"]


def test_grafana_finds_prometheus_and_the_charts_dashboards() -> None:
    (source,) = watching("grafana-datasource.yaml")["datasources"]
    url = urlsplit(source["url"])
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert SERVICES[str(url.hostname)]["ports"] == [f"{LOOPBACK}{url.port}:{url.port}"]
    at = {target: ROOT / source for source, target in mounts("grafana")}
    (provider,) = watching("grafana-dashboards.yaml")["providers"]
    dashboards = at[provider["options"]["path"]]
    assert list(dashboards.glob("*.json"))
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    assert (dashboards / home.name).is_file()
    provisioned = {str(Path(target).parent) for target in at if target.endswith(".yaml")}
    assert provisioned == {"/etc/grafana/provisioning/datasources", "/etc/grafana/provisioning/dashboards"}
