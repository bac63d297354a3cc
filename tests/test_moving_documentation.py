"""docs/moving-from-litellm.md: its example is what the command makes of it."""

import os
import re
import shlex
from datetime import date
from pathlib import Path

import pytest
from command_line import Run, run

from gateway.clock import SystemClock

__all__ = ["run"]

TEXT = (Path(__file__).parent.parent / "docs" / "moving-from-litellm.md").read_text()
CONFIG, DRAFT = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
[SESSION] = re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_the_example_happens_as_it_is_shown(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.endswith(("_API_KEY", "_KEY"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(CONFIG)
    for part in re.split(r"^\$ gateway ", SESSION, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        day = re.search(r"--at (\S+)", command)
        if day is not None and date.fromisoformat(day[1]) <= SystemClock().now().date():
            # A forecast looks ahead, and the page was written before that day.
            continue
        ran = run(*shlex.split(command))
        assert ran.code == 0, ran.err
        for shown in filter(str.strip, expected.split("…")):
            assert squeezed(shown) in squeezed(ran.out), f"{shown!r} is not in\n{ran.out}"
    body = Path("routes.yaml").read_text().partition("\n")[2]
    assert body.startswith(DRAFT.partition("\n")[2].rstrip("\n"))
    assert body.removeprefix(DRAFT.partition("\n")[2]).lstrip().startswith("# Without a counterpart here:")
