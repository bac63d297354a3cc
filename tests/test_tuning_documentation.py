"""docs/tuning.md names every kind of provider, every state and every option as the code does."""

import re
from pathlib import Path

from typer.main import get_command

from gateway.cli.main import app
from gateway.policy.tuning import TuningState
from gateway.providers.job_apis import JOB_APIS

TEXT = (Path(__file__).parent.parent / "docs" / "tuning.md").read_text(encoding="utf-8")


def test_the_table_of_providers_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([a-z, ]+) \|", TEXT, re.MULTILINE)
    assert {kind: set(methods.split(", ")) for kind, methods in rows} == {
        kind: set(api.methods) for kind, api in JOB_APIS.items()
    }


def test_every_state_is_named() -> None:
    assert {state.value for state in TuningState} <= set(re.findall(r"`([a-z_]+)`", TEXT))


def test_options_are_those_of_the_command() -> None:
    command = get_command(app).commands["tune"]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in parameter.opts}
    lines = [line for line in TEXT.splitlines() if line.startswith("gateway tune ")]
    used = set(re.findall(r"--[a-z-]+", " ".join(lines)))
    assert used
    assert used <= known
