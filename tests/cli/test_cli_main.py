import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Run

from gateway import __version__

COMMANDS = {
    "serve": "--with-sandbox",
    "check": "--strict",
    "config show": "--json",
    "migrate": "--database",
    "explain": "--at",
    "try": "--url",
    "classify": "--provider",
    "sandbox": "--port",
}


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_help_names_every_command_and_what_exit_codes_mean(asked: str, run: Run) -> None:
    ran = run(asked)
    assert ran.code == 0
    assert all(f" {name.split()[0]} " in ran.out for name in COMMANDS)
    assert "Exit codes: 0 all is well, 1 there are findings, 2 the command was misused." in ran.out


@pytest.mark.parametrize(("command", "option"), COMMANDS.items(), ids=COMMANDS.keys())
def test_each_command_explains_itself(command: str, option: str, run: Run) -> None:
    ran = run(*command.split(), "--help")
    assert ran.code == 0
    assert option in ran.out
    assert ran.err == ""


def test_the_version(run: Run) -> None:
    assert run("--version").out == f"understudy-gateway {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param([], id="no command"),
        pytest.param(["config"], id="no command of a group"),
        pytest.param(["chek"], id="an unknown command"),
        pytest.param(["check", "--stric"], id="an unknown option"),
        pytest.param(["check", "a.yaml", "b.yaml"], id="one argument too many"),
        pytest.param(["explain"], id="a missing option"),
        pytest.param(["config", "show"], id="a missing argument"),
        pytest.param(["try", "forum-reply"], id="half of the arguments"),
        pytest.param(["sandbox", "--port", "many"], id="a port that is no number"),
    ],
)
def test_a_misused_command_ends_with_2(arguments: list[str], run: Run) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert "Traceback" not in ran.out + ran.err


def test_a_real_process_ends_with_the_code_and_without_a_traceback() -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    command = [sys.executable, "-m", "gateway", "check", "no-such-file.yaml"]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    assert ran.returncode == 1
    assert "no-such-file.yaml:1: error: " in ran.stdout
    assert ran.stderr == ""


def test_a_reader_that_has_enough_is_no_reason_for_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gateway", "config", "show", "forum-reply"]
    environ = os.environ | {"GATEWAY_DATABASE_URL": f"sqlite:///{tmp_path / 'none.db'}"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
