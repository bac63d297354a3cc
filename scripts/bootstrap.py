"""Set up the project's own virtual environment with nothing but Python 3.11 or newer.

    python3 scripts/bootstrap.py            what it takes to run the gateway
    python3 scripts/bootstrap.py --dev      and to test it

Every package comes from the lock, by hash. A second call with an unchanged lock does nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)


def fail(message: str) -> None:
    """Say in one line what stands in the way, and stop."""
    sys.exit(f"setup: {message}")


def newer_python() -> str | None:
    """Find a Python that is new enough beside the one that started us."""
    for minor in (13, 12, 11, 14):
        path = shutil.which(f"python3.{minor}")
        if (
            path
            and subprocess.run([path, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0
        ):
            return path
    return None


def ensure_python() -> None:
    """Start again under a newer Python where this one is too old."""
    if sys.version_info >= OLDEST:
        return
    other = newer_python()
    if other is None:
        fail(f"Python {OLDEST[0]}.{OLDEST[1]} or newer is needed; this is {sys.version.split()[0]}")
    os.execv(other, [other, *sys.argv])


def fingerprint(lock: Path) -> str:
    """Hash what the environment is made from."""
    parts = (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def run(*command: str) -> None:
    """Run one step of the set-up, and stop at its failure."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        fail(f"this step failed: {' '.join(command)}")


def main() -> None:
    """Create or refresh ``.venv``."""
    ensure_python()
    dev = "--dev" in sys.argv[1:]
    lock = ROOT / ("requirements-dev.lock" if dev else "requirements.lock")
    stamps = [VENV / ".dev-ready"] if dev else [VENV / ".ready", VENV / ".dev-ready"]
    wanted = fingerprint(lock)
    dev_wanted = fingerprint(ROOT / "requirements-dev.lock")
    for stamp in stamps:
        if stamp.exists() and stamp.read_text() in {wanted, dev_wanted}:
            return
    started = time.monotonic()
    print(f"setting up .venv from {lock.name} (about a minute, once)", file=sys.stderr, flush=True)
    python = VENV / "bin" / "python"
    if not python.exists():
        try:
            import ensurepip  # noqa: F401
            import venv
        except ImportError:
            fail("this Python has no venv module; on Debian and Ubuntu: apt-get install python3-venv")
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    run(*pip, "--require-hashes", "--no-deps", "-r", str(lock))
    write_launcher(python)
    (VENV / (".dev-ready" if dev else ".ready")).write_text(wanted)
    print(f"ready after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def write_launcher(python: Path) -> None:
    """Make ``.venv/bin/gateway`` start this checkout, without a build tool."""
    launcher = VENV / "bin" / "gateway"
    launcher.write_text(
        f"#!{python}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom gateway.cli.main import main\nmain()\n"
    )
    launcher.chmod(0o755)


if __name__ == "__main__":
    main()
