import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.rig
def test_a_short_run_measures_the_gateway_and_accounts_for_every_answer(tmp_path):
    result = tmp_path / "result.json"
    command = ("benchmarks/run.py", "--only", "gateway", "--no-install", "--seconds", "1", "--json", str(result))
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(result.read_text())
    figures = report["subjects"]["gateway"]
    assert figures["requests_per_s_64"] > 0
    assert figures["chunks_per_s_64"] > 0
    assert figures["ledger_rows"] >= figures["answers_counted"] > 0
    assert {goal["met"] for goal in report["goals"] if goal["peer"]} == {None}


@pytest.mark.parametrize(
    ("option", "word"),
    [
        pytest.param(["--help"], "installed", id="help tells what is installed where"),
        pytest.param(["--seconds", "0"], "above 0", id="no time is too little"),
        pytest.param(["--only", "nobody"], "invalid choice", id="an unknown name is refused"),
    ],
)
def test_the_command_line_explains_itself(option, word):
    command = [sys.executable, "benchmarks/run.py", *option]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert word in done.stdout + done.stderr
    assert done.returncode == (0 if option == ["--help"] else 2)
