"""docs/adaptation.md: its example loads, and its command runs."""

import re
import shlex
from pathlib import Path

import pytest
from command_line import Run, run

from gateway.policy.traits import WORDS

__all__ = ["run"]

TEXT = (Path(__file__).parent.parent / "docs" / "adaptation.md").read_text()
[CONFIG] = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
[SESSION] = re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_the_example_loads_and_the_command_says_who_is_skipped_and_why(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    Path("routes.yaml").write_text(CONFIG)
    assert run("check", "routes.yaml").code == 0
    ran = run(*shlex.split(SESSION.removeprefix("$ gateway ")))
    assert ran.code == 0, ran.err
    assert "takes no logit_bias" in " ".join(ran.out.split())


def test_every_word_of_its_table_is_one() -> None:
    table = TEXT.partition("| word | the request |")[2].partition("\n\n")[0]
    named = {word for line in table.splitlines()[2:] for word in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert named
    assert named <= WORDS
