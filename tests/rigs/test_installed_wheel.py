"""The wheel is what users get: built, installed into an empty environment, and run from a foreign directory."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from gateway_server import ROOT, free_port, wait_until_ready

pytestmark = pytest.mark.rig


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel and, borrowed from ours by path, its locked dependencies."""
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--system-site-packages", str(venv)], check=True, timeout=120)
    python = venv / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=120
    )
    return venv


def borrowed(venv: Path) -> dict[str, str]:
    ours = Path(sys.executable).parent.parent / "lib"
    (site,) = ours.glob("python3.*/site-packages")
    return {**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}


def run(venv: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(venv / "bin" / "gateway"), *arguments]
    return subprocess.run(
        command, cwd=cwd, env=borrowed(venv), capture_output=True, text=True, timeout=120, check=False
    )


def test_the_wheel_carries_migrations_schema_and_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    migrations = {
        name for name in names if name.startswith("gateway/store/migrations/versions/") and name.endswith(".py")
    }
    wanted = {"gateway/config/routes.schema.json", "gateway/data/model_lifecycles.jsonl", "gateway/py.typed"}
    assert migrations
    assert "gateway/store/migrations/env.py" in names
    assert wanted <= names
    assert not [name for name in names if name.startswith(("alembic/", "tests/"))]


def test_the_wheel_carries_its_bill_of_materials_and_an_installer_keeps_it(wheel: Path, installed: Path) -> None:
    (name,) = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/sboms/" in name]
    (kept,) = (installed / "lib").glob(f"python3.*/site-packages/{name}")
    assert kept.read_bytes() == (ROOT / "sbom" / "understudy-gateway.cdx.json").read_bytes()


def test_an_installed_gateway_runs_away_from_its_checkout(installed: Path, tmp_path: Path) -> None:
    code = "import gateway; print(gateway.__file__)"
    where = subprocess.run(
        [str(installed / "bin" / "python"), "-c", code],
        cwd=tmp_path,
        env=borrowed(installed),
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(installed) in where.stdout


def test_an_installed_gateway_migrates_and_serves(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(
        "version: 1\n"
        "providers: {local: {kind: vllm, base_url: 'http://127.0.0.1:9/v1'}}\n"
        "routes: {a: {provider: local, primary: m}}\n"
    )
    checked = run(installed, tmp_path, "check", "routes.yaml", "--json")
    assert json.loads(checked.stdout)["ok"] is True
    database = f"sqlite+aiosqlite:///{tmp_path}/ledger.db"
    assert run(installed, tmp_path, "migrate", "--database", database).returncode == 0
    port = free_port()
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(installed / "bin" / "gateway"), "serve", "--port", str(port), "--database", database],
            cwd=tmp_path,
            env=borrowed(installed),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", process, log)
            models = httpx.get(f"http://127.0.0.1:{port}/v1/models", trust_env=False).json()
            assert [model["id"] for model in models["data"]] == ["a"]
        finally:
            process.terminate()
            assert process.wait(40) == 0
