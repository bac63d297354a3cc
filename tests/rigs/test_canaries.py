"""Secrets as canaries: over every fault and every output none of them is seen again, in whatever form.

Outputs are answers' bytes, both streams of the gateway's own, everything in its directory (journals, database, the
keys' snapshot), what it sends to webhooks and to the collector, and what each command prints.
"""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from canaries import TELLS, Canaries, TellingProvider, running_telling_provider

from tests.gateway_server import ROOT, RunningGateway, free_port, running_gateway, running_process

pytestmark = pytest.mark.rig

SECRETS = {
    "provider key": "sk-cnryProv/8f3kQ+x=9Lm2Vt71",
    "second key": "cnryVend-7Hj2~pQ4!zR8wXk30s",
    "callers key": "cnryCall-Kp3vN8sT1xYq6Bz40w",
    "admin key": "cnryAdmn-Wd5mJ2cF7hGr9Ls81e",
    "the pepper": "cnryPepp-Tn6yU3bV0kXo4Ei72aPq5Sd8",
    "webhook secret": "whsec_Y25yeVdlYmgtUXo4dUc1cEw5bUh0N0prUnYz",
    "webhook address": "cnryPath-Bv4nM9kL2jH7gF1d",
    "database password": "cnryData-Xs1cD6vF2bG8nH3j",
    "limits password": "cnryLimt-Ol9pK0iJ5uH3yG7t",
    "collector header": "cnryOtlp-Er2tY6uI8oP4aS1d",
    "collector password": "cnryColl-Zx5cV1bN7mQ3wE9r",
    "file key": "cnryFile-Gh8jK4lZ2xC6vB0n",
}
CANARIES = Canaries(SECRETS)
ROUTES = """
version: 1
providers:
  second: {{kind: openai-compatible, base_url: "{url}/v1", api_key_env: VEND_KEY}}
  filed: {{kind: openai-compatible, base_url: "{url}/v1", api_key_file: "{file}"}}
  nowhere: {{kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", api_key_env: PROV_KEY}}
{accounts}
fallbacks: {{base: {{provider: second, model: says-key-500}}}}
defaults: {{provider: nowhere, fallbacks: [base], owner: team}}
webhooks: {{hook: {{url_env: HOOK_URL, secret_env: HOOK_SECRET}}}}
routes:
  closed: {{provider: nowhere, primary: m, fallback_on: []}}
  filed: {{provider: filed, primary: says-key-400, fallback_on: []}}
{routes}
"""


@dataclass
class Stage:
    """A gateway among those who tell, and all that was seen of it."""

    provider: TellingProvider
    routes: Path
    state: Path
    environ: dict[str, str]
    outputs: list[tuple[str, bytes]] = field(default_factory=list)

    def say(self, where: str, output: bytes) -> None:
        self.outputs.append((where, output))

    def ask(self, client: httpx.Client, method: str, path: str, **sent: object) -> httpx.Response:
        answer = client.request(method, path, **sent)  # type: ignore[arg-type]
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.multi_items())
        self.say(f"{method} {path} {str(sent)[:160]}", head.encode() + b"\n\n" + answer.content)
        return answer

    def files(self) -> None:
        """Take everything that stands in the gateway's own directory."""
        for file in sorted(self.state.rglob("*")):
            if file.is_file() and file not in (self.routes, self.state / "key.txt"):
                self.say(str(file), file.read_bytes().rstrip(b"\0"))

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command of the gateway's."""
        ran = subprocess.run(
            [sys.executable, "-m", "gateway", *arguments],
            cwd=ROOT, env=bare() | self.environ | environ, capture_output=True, timeout=60,
        )  # fmt: skip
        self.say(f"gateway {' '.join(arguments)} {sorted(environ)}", ran.stdout + b"\n" + ran.stderr)
        return ran

    def run_all(self, commands: Iterable[tuple[str, ...]], **environ: str) -> None:
        with ThreadPoolExecutor(3) as aside:
            list(aside.map(lambda command: self.run(*command, **environ), commands))


OF_RESPONSES = ("says-key-response-failed", "says-key-response")
COMMANDS = (
    ("config", "show"), ("check",), ("explain", "filed"), ("keys", "list"), ("ledger", "verify"), ("ledger", "export"),
    ("lifecycle", "events"), ("try", "filed", "hi"),
)  # fmt: skip
OF_THE_DATABASE = (
    ("migrate",), ("keys", "list"), ("report",), ("cutover", "filed", "base"),
)  # fmt: skip


def bare() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with running_telling_provider() as provider:
        key_file = tmp_path / "key.txt"
        key_file.write_text(SECRETS["file key"])
        # An account each, since a refused key makes the gateway doubt the whole account.
        accounts = "\n".join(
            f'  {name}: {{kind: openai-compatible, base_url: "{provider.url}/v1", api_key_env: PROV_KEY}}'
            for name in TELLS
        )
        lines = "\n".join(f"  {name}: {{primary: {name}, provider: {name}}}" for name in TELLS)
        alone = "\n".join(f"  only-{name}: {{primary: {name}, provider: {name}, fallback_on: []}}" for name in TELLS)
        routes = tmp_path / "routes.yaml"
        routes.write_text(ROUTES.format(url=provider.url, file=key_file, accounts=accounts, routes=f"{lines}\n{alone}"))
        collector = provider.url.replace("http://", f"http://user:{SECRETS['collector password']}@")
        environ = {
            "PROV_KEY": SECRETS["provider key"],
            "VEND_KEY": SECRETS["second key"],
            "HOOK_URL": f"{provider.url}/{SECRETS['webhook address']}?t={SECRETS['webhook address']}",
            "HOOK_SECRET": SECRETS["webhook secret"],
            "GATEWAY_KEY": SECRETS["callers key"],
            "GATEWAY_ADMIN_KEY": SECRETS["admin key"],
            "GATEWAY_KEY_PEPPER": SECRETS["the pepper"],
            "GATEWAY_UI_ACTIONS": "true",
            "GATEWAY_LOG_LEVEL": "debug",
            "GATEWAY_LOG_REQUESTS": "all",
            "GATEWAY_LIMITS_URL": f"redis://u:{SECRETS['limits password']}@127.0.0.1:9/0",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote(SECRETS['collector header'])}",
        }  # fmt: skip
        yield Stage(provider, routes, tmp_path, environ)
        CANARIES.absent_from(stage_outputs(provider))


def stage_outputs(provider: TellingProvider) -> list[tuple[str, bytes]]:
    return [("what left for a webhook or a collector", body) for body in provider.taken]


def test_the_canaries_are_known_again() -> None:
    """Without this, all that follows might be blind."""
    import base64

    for name, secret in SECRETS.items():
        for shown in (
            secret, f"Bearer {secret}", secret.encode().hex(), quote(secret, safe=""), json.dumps({"k": secret}),
            *(base64.b64encode(b"x" * n + secret.encode() + b"yz").decode() for n in range(4)),
            *(base64.urlsafe_b64encode(b"x" * n + secret.encode()).decode() for n in range(4)),
        ):  # fmt: skip
            assert any(found.startswith(name) for found in CANARIES.found_in(f"<{shown}>".encode())), (name, shown)


def test_no_fault_and_no_output_tells_a_secret(stage: Stage) -> None:
    with running_gateway(stage.routes, stage.state, **stage.environ) as gateway:
        caller = {"authorization": f"Bearer {SECRETS['callers key']}"}
        admin = {"authorization": f"Bearer {SECRETS['admin key']}"}
        with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
            made = every_fault(stage, client, caller, admin)
            every_page(stage, client, admin)
            refused_reloads(stage, gateway, client, admin)
        stage.run_all(
            COMMANDS,
            GATEWAY_ROUTES_FILE=str(stage.routes),
            GATEWAY_DATABASE_URL=f"sqlite+aiosqlite:///{gateway.database}",
            GATEWAY_PORT=gateway.url.rpartition(":")[2],
        )
    stage.files()
    tables(stage, gateway.database)
    Canaries(SECRETS | made).absent_from(stage.outputs + stage_outputs(stage.provider))
    assert stage.provider.told >= set(TELLS), "each of them was asked"
    assert len(stage.outputs) > 150


def every_fault(stage: Stage, client: httpx.Client, caller: dict[str, str], admin: dict[str, str]) -> dict[str, str]:
    said = {"messages": [{"role": "user", "content": "Hi"}], "input": "Hi", "prompt": "Hi", "voice": "alloy"}
    chats = [name for name in TELLS if name not in OF_RESPONSES]
    for name in (*chats, *(f"only-{name}" for name in chats), "closed", "filed", "nowhere"):
        for stream in (False, True):
            stage.ask(
                client, "POST", "/v1/chat/completions", json={"model": name, "stream": stream} | said, headers=caller
            )
    for path in ("responses", "completions", "embeddings", "moderations", "images/generations", "audio/speech"):
        for name in ("only-says-key-400", "only-says-key-html", "only-says-key-not-json", "only-says-key-500"):
            stage.ask(client, "POST", f"/v1/{path}", json={"model": name} | said, headers=caller)
    for name in OF_RESPONSES:
        for stream in (False, True):
            stage.ask(
                client, "POST", "/v1/responses", json={"model": name, "input": "Hi", "stream": stream}, headers=caller
            )
    form = {"file": ("a.wav", b"RIFF"), "model": (None, "only-says-key-400")}
    stage.ask(client, "POST", "/v1/audio/transcriptions", files=form, headers=caller)
    for path in (
        "/v1/models",
        "/v1/models/filed",
        "/v1/responses/resp_x",
        "/openapi.json",
        "/metrics",
        "/readyz",
        "/healthz",
    ):
        for headers in (caller, admin, {}):
            stage.ask(client, "GET", path, headers=headers)
    for name, secret in SECRETS.items():
        # In every place where it is wrong: nobody repeats it.
        for sent in (
            {"authorization": f"Basic {secret}"},
            {"authorization": secret, "api-key": secret},
            caller | {"x-request-id": f"{secret}!"},
        ):
            stage.ask(client, "GET", "/v1/models", headers=sent)
        stage.ask(client, "GET", "/v1/models", params={"key": secret})
        assert name
    created = stage_created(client, admin)
    stage.ask(client, "GET", "/admin/keys", headers=admin)
    stage.ask(client, "GET", "/admin/audit", headers=admin)
    if created:
        stage.ask(client, "GET", "/v1/models", headers={"authorization": f"Bearer {created}"})
        stage.ask(client, "POST", "/admin/keys", json={"name": "for-canaries"}, headers=admin)
    return {"a key that was made": created} if created else {}


def stage_created(client: httpx.Client, admin: dict[str, str]) -> str:
    """Make a key: the one answer that tells it."""
    answer = client.post("/admin/keys", json={"name": "for-canaries"}, headers=admin)
    assert answer.status_code in (200, 201), answer.text
    return next(value for value in answer.json().values() if isinstance(value, str) and value.startswith("us_"))


def every_page(stage: Stage, client: httpx.Client, admin: dict[str, str]) -> None:
    for path in (
        "/ui",
        "/ui/calendar",
        "/ui/cost",
        "/ui/cost.csv",
        "/ui/requests",
        "/ui/review",
        "/ui/keys",
        "/ui/keys/new",
        "/ui/login",
        "/ui/x",
        "/ui/routes/filed",
    ):
        stage.ask(client, "GET", path, headers=admin)
        stage.ask(client, "GET", path)
    form = {"content-type": "application/x-www-form-urlencoded", "sec-fetch-site": "same-origin"}
    for secret in SECRETS.values():
        stage.ask(client, "POST", "/ui/login", content=f"key={quote(secret[:-1])}&next=/ui", headers=form)
    stage.ask(
        client,
        "POST",
        "/ui/login",
        content=f"key={quote(SECRETS['admin key'])}&next=/ui",
        headers=form,
    )


def refused_reloads(stage: Stage, gateway: RunningGateway, client: httpx.Client, admin: dict[str, str]) -> None:
    good, secret = stage.routes.read_text(), SECRETS["provider key"]
    for bad in (
        good.replace("http://127.0.0.1:9/v1", f"http://user:{secret}@127.0.0.1:9/v1"),
        good.replace("api_key_env: PROV_KEY", f"api_key: {secret}"),
        good.replace("api_key_env: PROV_KEY", f"api_key_env: {secret}"),
        good.replace("secret_env: HOOK_SECRET", f"secret: {secret}"),
        good.replace("http://127.0.0.1:9/v1", f"http://127.0.0.1:9/v1?key={secret}"),
        good.replace("url_env: HOOK_URL", f"url: https://hooks.slack.com/services/{secret}"),
    ):
        stage.routes.write_text(bad)
        deadline = time.monotonic() + 15
        while not (stage.ask(client, "GET", "/readyz").json()["config_error"]) and time.monotonic() < deadline:
            time.sleep(0.2)
        stage.ask(client, "GET", "/ui", headers=admin)
        stage.routes.write_text(good)
        while stage.ask(client, "GET", "/readyz").json()["config_error"] and time.monotonic() < deadline:
            time.sleep(0.2)


def tables(stage: Stage, database: Path) -> None:
    """Take every row of every table: a page of the file may have parted a text."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as opened:
        for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in opened.execute(f'SELECT * FROM "{name}"'):
                stage.say(
                    f"table {name}",
                    "\n".join(bytes.decode(v, "latin-1") if isinstance(v, bytes) else str(v) for v in row).encode(),
                )
    opened.close()


AWAY = f"postgresql+asyncpg://gateway:{SECRETS['database password']}@127.0.0.1:9/ledger"


def test_a_database_that_is_away_tells_no_password(stage: Stage) -> None:
    with running_gateway(stage.routes, stage.state, database_url=AWAY, wait=False, **stage.environ) as gateway:
        wait_for_log(gateway, b"database")
        admin = {"authorization": f"Bearer {SECRETS['admin key']}"}
        with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client:
            for path in ("/readyz", "/ui", "/ui/cost", "/ui/requests", "/metrics", "/admin/keys", "/admin/audit"):
                stage.ask(client, "GET", path, headers=admin)
            stage.ask(client, "POST", "/admin/keys", json={"name": "x"}, headers=admin)
    stage.run_all(OF_THE_DATABASE, GATEWAY_DATABASE_URL=AWAY, GATEWAY_ROUTES_FILE=str(stage.routes))
    stage.files()
    CANARIES.absent_from(stage.outputs)


def wait_for_log(gateway: RunningGateway, word: bytes) -> None:
    deadline = time.monotonic() + 30
    while word not in gateway.log.read_bytes() or b"serving" not in gateway.log.read_bytes():
        assert time.monotonic() < deadline, gateway.log.read_text()
        assert gateway.process.poll() is None, gateway.log.read_text()
        time.sleep(0.05)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"GATEWAY_KEY_PEPPER": SECRETS["the pepper"][:24]}, id="a pepper that is too short"),
        pytest.param(
            {"GATEWAY_DATABASE_URL": f"nonsense://u:{SECRETS['database password']}@h/x"}, id="a database of no kind"
        ),
        pytest.param(
            {"GATEWAY_DATABASE_URL": f"postgresql://u:{SECRETS['database password']}@h:port/x"},
            id="a database at no port",
        ),
        pytest.param({"GATEWAY_LIMITS_URL": f"nonsense://u:{SECRETS['limits password']}@h/x"}, id="limits of no kind"),
        pytest.param({"GATEWAY_PORT": SECRETS["callers key"]}, id="a key where the port should be"),
        pytest.param({"GATEWAY_OPEN": SECRETS["admin key"]}, id="a key where a word should be"),
        pytest.param({"GATEWAY_KEY_FILE": SECRETS["admin key"]}, id="a key where its file should be"),
        pytest.param({"GATEWAY_ROUTES_FILE": SECRETS["admin key"][:20] + "/no.yaml"}, id="a file that is not there"),
        pytest.param({"HOOK_SECRET": SECRETS["webhook secret"][6:] + "!"}, id="a webhook's secret of another form"),
        pytest.param({"HOOK_URL": f"ftp://x/{SECRETS['webhook address']}"}, id="a webhook's address of another form"),
        pytest.param({"PROV_KEY": ""}, id="a key that is not set"),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": f"nonsense:{SECRETS['collector password']}@@"}, id="a collector of no form"
        ),
    ],
)
def test_a_start_that_fails_tells_no_secret(wrong: dict[str, str], stage: Stage) -> None:
    usual = {"GATEWAY_ROUTES_FILE": str(stage.routes), "GATEWAY_PORT": str(free_port())}
    usual["GATEWAY_DATABASE_URL"] = f"sqlite+aiosqlite:///{stage.state / 'ledger.db'}"
    log = stage.state / "started.log"
    command = [sys.executable, "-m", "gateway", "serve"]
    with running_process(command, log, bare() | stage.environ | usual | wrong) as process:
        # Some start all the same.
        deadline = time.monotonic() + 60
        while process.poll() is None and b'"serving"' not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
    said = log.read_bytes()
    stage.say(f"serve with {sorted(wrong)}", said)
    stage.files()
    given = SECRETS | {
        f"what {name} was": value for name, value in wrong.items() if len(value) >= 16 and "/no.yaml" not in value
    }
    Canaries(given).absent_from(stage.outputs)
    assert said
