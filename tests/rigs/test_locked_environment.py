"""The lock is what users install: all of it, by hash, into an empty environment that nothing runs in unasked."""

import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from gateway_server import ROOT
from startup_files import imported_at_start, installed_at_start, runs_at_start

pytestmark = pytest.mark.rig
PATIENCE_S = 300


def empty_environment(directory: Path) -> tuple[Path, Path]:
    """An environment without anything in it, not even pip; return its Python and its ``site-packages``."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(directory)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    (site,) = (directory / "lib").glob("python3.*/site-packages")
    return directory / "bin" / "python", site


@pytest.fixture(scope="module", params=["requirements.lock", "requirements-extras.lock"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    python, site = empty_environment(tmp_path_factory.mktemp("environment"))
    uv = Path(sys.executable).with_name("uv")
    command = [str(uv), "pip", "sync", "--quiet", "--require-hashes", "--no-build", "--python", str(python)]
    done = subprocess.run(
        [*command, str(ROOT / request.param)], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if done.returncode != 0:
        message = f"the lock cannot be installed: {done.stderr.strip()}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return python, site


def test_no_distribution_of_the_lock_runs_at_the_start_of_python(installed: tuple[Path, Path]) -> None:
    python, site = installed
    recorded = {each.name: runs_at_start(each.files or []) for each in distributions(path=[str(site)])}
    assert len(recorded) > 10
    assert {name: hooks for name, hooks in recorded.items() if hooks} == {}
    assert installed_at_start(site) == []
    assert imported_at_start(python) == []


def test_a_distribution_that_hides_a_start_hook_is_found_in_every_way(tmp_path: Path) -> None:
    python, site = empty_environment(tmp_path)
    (site / "made_up.py").write_text("")
    (site / "made_up_init.pth").write_text("import made_up\n")
    record = site / "made_up-1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n")
    (record / "RECORD").write_text("made_up.py,,\nmade_up_init.pth,,\nmade_up-1.0.dist-info/METADATA,,\n")
    (found,) = distributions(path=[str(site)])
    assert runs_at_start(found.files or []) == ["made_up_init.pth"]
    assert installed_at_start(site) == ["made_up_init.pth"]
    assert imported_at_start(python) == ["made_up"]
