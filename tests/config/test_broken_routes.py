"""Broken configurations, and the exact lines that report them: the cases are in broken_routes.txt."""

from pathlib import Path

import pytest

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import load

HEAD = """\
version: 1
providers:
  here: {kind: vllm, base_url: "http://h:8000/v1", residency: us}
fallbacks:
  base: {provider: here, model: m1}
defaults: {provider: here, fallbacks: [base]}
"""


def _cases() -> dict[str, tuple[str, list[str]]]:
    """Return sentence → (routes.yaml, findings). A text that starts with the line HEAD starts with the lines above."""
    cases = {}
    for case in Path(__file__).with_name("broken_routes.txt").read_text().removeprefix("#### ").split("\n#### "):
        sentence, _, rest = case.partition("\n")
        text, _, findings = rest.rpartition("==>\n")
        text = HEAD + text.removeprefix("HEAD\n") if text.startswith("HEAD\n") else text
        cases[sentence] = (text, findings.strip("\n").split("\n"))
    return cases


CASES = _cases()


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_broken_configuration(text: str, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(text)
    (tmp_path / "empty.md").write_text(" \n")
    with pytest.raises(InvalidRoutes) as refused:
        load(tmp_path / "routes.yaml", environ={})
    assert str(refused.value).splitlines() == expected
    assert [str(finding) for finding in refused.value.findings] == expected
    # What could be a credential is never repeated.
    assert "123456" not in str(refused.value)
    assert "secret@" not in str(refused.value)
