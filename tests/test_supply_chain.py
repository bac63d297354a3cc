"""What is installed beside the gateway: only by hash, nothing that runs unasked, no release that steals."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest
from gateway_server import free_port
from packaging.requirements import Requirement
from startup_files import runs_at_start

from gateway.providers.litellm_versions import MALICIOUS

pytestmark = pytest.mark.rig

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((*ROOT.glob("requirements*.lock"), *ROOT.glob("tests/clients/*/requirements.lock")))
SEEDS = {"setuptools": ["distutils-precedence.pth"]}
"""What Python 3.11 itself puts into every new environment; no lock names it."""
HOSTS = ("python" + "hosted.org", "pypi" + ".org", "npm" + "js.org", "npm" + "js.com", "index-" + "url =")
UNREAD = {".git", ".clients", ".mypy_cache", ".ruff_cache", ".hypothesis", "state", "__pycache__"}


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["litellm_init.pth", "litellm/__init__.py"], ["litellm_init.pth"]),
        (["hidden/deep/other.pth"], ["hidden/deep/other.pth"]),
        (["sitecustomize.py"], ["sitecustomize.py"]),
        (["usercustomize.cpython-311-x86_64-linux-gnu.so"], ["usercustomize.cpython-311-x86_64-linux-gnu.so"]),
        (["sitecustomize/__init__.py"], ["sitecustomize/__init__.py"]),
        (["later.start"], ["later.start"]),
        (["a/pth.py", "a/path.txt", "customize.py", "docs/sitecustomize.md.txt/x"], []),
    ],
)
def test_files_that_python_runs_at_its_start_are_known_for_what_they_are(files: list[str], found: list[str]) -> None:
    assert runs_at_start(files) == found


def test_no_distribution_of_this_environment_runs_at_the_start_of_python() -> None:
    found = {}
    for distribution in distributions():
        assert distribution.files is not None, f"{distribution.name} does not say what it installed"
        if hooks := runs_at_start(distribution.files):
            found[distribution.name] = hooks
    assert {name: hooks for name, hooks in found.items() if SEEDS.get(name) != hooks} == {}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_every_line_of_a_lock_is_one_version_by_hash(lock: Path) -> None:
    text = re.sub(r" \\\n\s*", " ", lock.read_text("utf-8"))
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    wrong = [
        line[:80]
        for line in lines
        if not re.fullmatch(r"[A-Za-z0-9._-]+(\[[\w,-]+\])?==[^\s;]+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+", line)
    ]
    assert lines
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_no_lock_names_a_malicious_release(lock: Path) -> None:
    versions = re.findall(r"^litellm==(\S+)", lock.read_text("utf-8"), re.MULTILINE)
    assert set(versions).isdisjoint(MALICIOUS)


def test_one_release_of_litellm_is_allowed_and_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    (litellm,) = [each for each in map(Requirement, wanted) if each.name == "litellm"]
    assert [str(each) for each in litellm.specifier] == ["==1.106.2"]
    assert not litellm.extras
    assert not any(litellm.specifier.contains(version) for version in MALICIOUS)
    assert "\nlitellm==1.106.2 " in (ROOT / "requirements.lock").read_text("utf-8")


def test_no_file_holds_the_address_of_a_package_registry() -> None:
    found = []
    for directory, names, files in os.walk(ROOT):
        environments = {name for name in names if Path(directory, name, "pyvenv.cfg").exists()}
        names[:] = [name for name in names if name not in UNREAD | environments]
        for path in (Path(directory, file) for file in files):
            if path.stat().st_size < 5_000_000:
                text = path.read_bytes()
                found += [str(path.relative_to(ROOT)) for host in HOSTS if host.encode() in text]
    assert found == []


def test_a_gateway_beside_a_malicious_release_does_not_start_and_says_so_in_one_line(tmp_path: Path) -> None:
    version = "1.82.8"
    (tmp_path / "routes.yaml").write_text(
        "version: 1\n"
        "providers: {local: {kind: vllm, base_url: 'http://127.0.0.1:9/v1'}}\n"
        "routes: {a: {provider: local, primary: m}}\n"
    )
    record = tmp_path / "site" / f"litellm-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: litellm\nVersion: {version}\n")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", "--port", str(free_port())],
        cwd=tmp_path,
        env=clean | {"PYTHONPATH": f"{tmp_path / 'site'}:{ROOT}", "GATEWAY_DATABASE_URL": "sqlite:///ledger.db"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    (line,) = (done.stderr + done.stdout).splitlines()
    assert line.startswith(f"litellm {version} is installed, a malicious release")
