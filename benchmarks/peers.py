"""Who is measured: how each is installed into an environment of its own, configured, and started.

Everybody gets the same two upstreams and does the least that its documents allow: one worker, no database, no keys,
its own logs of requests off where that is one switch. Ours alone has its accounting on.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks.interpreter import choose_interpreter
from benchmarks.nginx import nginx_path, nginx_version, write_proxy

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "benchmarks" / ".cache"
LEDGER = "ledger.db"
_INSTALL_WITHIN_S = 900.0


class Absent(Exception):
    """A peer cannot take part here; the message says why."""


@dataclass(frozen=True)
class Upstreams:
    """The base URLs of the stub: one for plain answers, one for streams."""

    plain: str
    stream: str


@dataclass(frozen=True)
class Door:
    """Where to send a kind of request, and how it names the model."""

    path: str
    model: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """How to start a peer, and its two doors; ``announced`` finds the port in its output where it picks its own."""

    command: Sequence[str]
    plain: Door
    stream: Door
    env: Mapping[str, str] = field(default_factory=dict)
    announced: re.Pattern[str] | None = None


class Peer(Protocol):
    """Something that can stand between the load and the stub."""

    name: str

    def install(self, *, allowed: bool) -> str:
        """Make it ready to start, and return its version. Raises Absent."""

    def launch(self, folder: Path, port: int, upstreams: Upstreams) -> Launch:
        """Write its configuration into a folder, and say how to start it."""


class Gateway:
    """Our own, with ledger and metrics on."""

    name = "gateway"
    _python = sys.executable
    """Without an environment of its own, the one that runs this."""

    def install(self, *, allowed: bool) -> str:
        from gateway import __version__

        if not allowed:
            return __version__
        lock = ROOT / "requirements.lock"
        what = f"{hashlib.sha256(lock.read_bytes()).hexdigest()} {choose_interpreter().path}"
        if not _installed(CACHE / self.name, what, allowed=allowed):
            _install(CACHE / self.name, what, *_into_venv(self.name, "--require-hashes", "--no-deps", "-r", str(lock)))
        self._python = str(CACHE / self.name / "venv/bin/python")
        return __version__

    def launch(self, folder: Path, port: int, upstreams: Upstreams) -> Launch:
        routes = folder / "routes.yaml"
        routes.write_text(
            "version: 1\n"
            "providers:\n"
            f'  plain: {{kind: openai-compatible, base_url: "{upstreams.plain}"}}\n'
            f'  stream: {{kind: openai-compatible, base_url: "{upstreams.stream}"}}\n'
            "routes:\n"
            "  bench-plain: {provider: plain, primary: bench-plain}\n"
            "  bench-stream: {provider: stream, primary: bench-stream}\n"
        )
        return Launch(
            command=(self._python, "-m", "gateway", "serve"),
            plain=Door("/v1/chat/completions", "bench-plain"),
            stream=Door("/v1/chat/completions", "bench-stream"),
            env={
                "PYTHONPATH": str(ROOT),
                "GATEWAY_ROUTES_FILE": str(routes),
                "GATEWAY_PORT": str(port),
                "GATEWAY_DATABASE_URL": f"sqlite+aiosqlite:///{folder / LEDGER}",
            },
        )


class Nginx:
    """A plain reverse proxy: what the machine can do at most."""

    name = "nginx"

    def install(self, *, allowed: bool) -> str:
        if nginx_path() is None:
            raise Absent("nginx is not installed (a package of that name in every distribution)")
        return nginx_version()

    def launch(self, folder: Path, port: int, upstreams: Upstreams) -> Launch:
        return Launch(
            command=write_proxy(folder, port, plain=upstreams.plain, stream=upstreams.stream),
            plain=Door("/plain/chat/completions", "bench-plain"),
            stream=Door("/stream/chat/completions", "bench-stream"),
        )


class TensorZero:
    """The Rust gateway, as its wheel brings it; without ClickHouse it keeps no account of anything."""

    name = "tensorzero"
    package = "tensorzero==2026.6.0"

    def install(self, *, allowed: bool) -> str:
        install_python(self.name, self.package, allowed=allowed)
        return self.package.partition("==")[2]

    def launch(self, folder: Path, port: int, upstreams: Upstreams) -> Launch:
        config = "[gateway]\nobservability.enabled = false\ndisable_pseudonymous_usage_analytics = true\n"
        for model, base_url in (("bench-plain", upstreams.plain), ("bench-stream", upstreams.stream)):
            config += (
                f'\n[models.{model}]\nrouting = ["stub"]\n\n[models.{model}.providers.stub]\ntype = "openai"\n'
                f'model_name = "{model}"\napi_base = "{base_url}/"\napi_key_location = "none"\n'
            )
        (folder / "tensorzero.toml").write_text(config)
        python = CACHE / self.name / "venv/bin/python"
        host = ROOT / "benchmarks" / "tensorzero_host.py"
        return Launch(
            command=(str(python), str(host), str(folder / "tensorzero.toml")),
            plain=Door("/openai/v1/chat/completions", "tensorzero::model_name::bench-plain"),
            stream=Door("/openai/v1/chat/completions", "tensorzero::model_name::bench-stream"),
            announced=re.compile(r"listening http://[^:/]+:(\d+)"),
        )


class Portkey:
    """The Node gateway; routing is in the headers of each request."""

    name = "portkey"
    package = "@portkey-ai/gateway"
    version = "1.15.2"
    # Portkey streams fail with "immutable" headers under newer releases of the server library that it lets in.
    overrides: Mapping[str, str] = {"@hono/node-server": "1.13.8"}

    def install(self, *, allowed: bool) -> str:
        for tool in ("node", "npm"):
            if shutil.which(tool) is None:
                raise Absent(f"{tool} is not installed (Node 20 or newer)")
        folder = CACHE / self.name
        manifest = {"private": True, "dependencies": {self.package: self.version}, "overrides": self.overrides}
        if not _installed(folder, json.dumps(manifest), allowed=allowed):
            (folder / "package.json").write_text(json.dumps(manifest))
            flags = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
            _install(folder, json.dumps(manifest), ("npm", "install", *flags))
        return self.version

    def launch(self, folder: Path, port: int, upstreams: Upstreams) -> Launch:
        # It has no setting for the address that it listens on, and would be open to the network.
        (folder / "loopback.cjs").write_text(
            'const net = require("node:net");\nconst listen = net.Server.prototype.listen;\n'
            "net.Server.prototype.listen = function (port, ...rest) {\n"
            '  return listen.call(this, port, "127.0.0.1", ...rest.filter((r) => typeof r === "function"));\n};\n'
        )
        server = CACHE / self.name / "node_modules" / self.package / "build" / "start-server.js"
        fixed = {"authorization": "Bearer none", "x-portkey-provider": "openai"}
        return Launch(
            command=("node", "--require", str(folder / "loopback.cjs"), str(server), "--headless", f"--port={port}"),
            plain=Door("/v1/chat/completions", "bench-plain", {**fixed, "x-portkey-custom-host": upstreams.plain}),
            stream=Door("/v1/chat/completions", "bench-stream", {**fixed, "x-portkey-custom-host": upstreams.stream}),
            env={"NODE_ENV": "production"},
        )


class LiteLLM:
    """The LiteLLM proxy; one worker, no database, its price map as bundled."""

    name = "litellm"
    package = "litellm[proxy]==1.106.2"

    def install(self, *, allowed: bool) -> str:
        install_python(self.name, self.package, allowed=allowed)
        return self.package.partition("==")[2]

    def launch(self, folder: Path, port: int, upstreams: Upstreams) -> Launch:
        models = [
            {"model_name": model, "litellm_params": {"model": f"openai/{model}", "api_base": base, "api_key": "none"}}
            for model, base in (("bench-plain", upstreams.plain), ("bench-stream", upstreams.stream))
        ]
        # On the loopback, for a stub that has nothing to protect: checking a key would be work that ours does not do.
        general = {"dangerously_permit_weak_or_unset_master_key": True}
        (folder / "litellm.yaml").write_text(json.dumps({"model_list": models, "general_settings": general}))
        local = ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")
        options = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False")
        command = str(CACHE / self.name / "venv/bin/litellm")
        return Launch(
            command=(command, "--config", str(folder / "litellm.yaml"), *options),
            plain=Door("/v1/chat/completions", "bench-plain"),
            stream=Door("/v1/chat/completions", "bench-stream"),
            env={**{f"LITELLM_LOCAL_{name}": "True" for name in local}, "LITELLM_LOG": "ERROR"},
        )


PEERS: tuple[Peer, ...] = (Gateway(), Nginx(), TensorZero(), Portkey(), LiteLLM())


def install_python(name: str, package: str, *, allowed: bool) -> None:
    """Install one exact release into a virtual environment of its own, unless it is there. Raises Absent."""
    what = f"{package} {choose_interpreter().path}"
    if not _installed(CACHE / name, what, allowed=allowed):
        _install(CACHE / name, what, *_into_venv(name, package))


def _into_venv(name: str, *packages: str) -> tuple[Sequence[str], ...]:
    """Return the commands that make a fresh environment and install into it, with the pip of this one."""
    venv = CACHE / name / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    pip = (sys.executable, "-m", "pip", "--python", str(venv), "--disable-pip-version-check", "install", "--quiet")
    return (choose_interpreter().path, "-m", "venv", "--without-pip", str(venv)), (*pip, *packages)


def _installed(folder: Path, what: str, *, allowed: bool) -> bool:
    """Tell whether exactly this was installed before. Raises Absent where it was not and must not be now."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "installed"
    if done.exists() and done.read_text() == what:
        return True
    if not allowed:
        raise Absent("it is not installed, and --no-install was given")
    return False


def _install(folder: Path, what: str, *commands: Sequence[str]) -> None:
    (folder / "installed").unlink(missing_ok=True)
    with (folder / "install.log").open("w") as log:
        for command in commands:
            try:
                code = subprocess.run(
                    command, cwd=folder, stdout=log, stderr=log, timeout=_INSTALL_WITHIN_S, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                code = -1
            if code != 0:
                raise Absent(f"its installation failed: see benchmarks/.cache/{folder.name}/install.log")
    (folder / "installed").write_text(what)
