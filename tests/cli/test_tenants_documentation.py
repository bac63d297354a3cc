"""docs/tenants.md: its example loads, its commands run, and what it says of names and errors is so."""

import re
import shlex
from pathlib import Path

import pytest
from command_line import Run

from gateway.config.loader import load
from gateway.errors import NoVariant, PinNotAllowed, RouteNotFound, StoredElsewhere

TEXT = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text()
(EXAMPLE,) = re.findall(r"^```yaml\n(# routes\.yaml\n.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
ROW = '{"messages": [{"role": "user", "content": "Where is it %d?"}, {"role": "assistant", "content": "There %d."}]}\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "routes.yaml").write_text(EXAMPLE)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "forum-reply.md").write_text("Answer as our support team would.")
    (tmp_path / "acme.jsonl").write_text("".join(ROW % (i, i) for i in range(40)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_loads_as_it_is_told(home: Path) -> None:
    routes = load(home / "routes.yaml", environ={"OPENAI_API_KEY": "sk-1"}).routes
    acme, globex, initech = (routes.routes[f"forum-reply:{name}"] for name in ("acme", "globex", "initech"))
    assert list(routes.routes) == [acme.name, globex.name, initech.name]
    assert acme.name_in_files == "forum-reply.acme"
    assert f"is `{acme.name_in_files}`" in TEXT
    assert (acme.cutover.days_before, globex.cutover.days_before, globex.cutover.ramp_days) == (14, 30, 7)
    assert initech.primary is None


@pytest.mark.parametrize("command", [each for each in COMMANDS if " keys " not in each])
def test_a_command_runs(run: Run, home: Path, command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "gateway"
    ran = run(*arguments)
    assert ran.code == 0, ran.err


def test_every_error_is_called_by_its_code() -> None:
    for error in (NoVariant, PinNotAllowed, RouteNotFound, StoredElsewhere):
        assert f"{error.status} `{error.code}`" in TEXT
