from pathlib import Path

import pytest

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import load
from gateway.config.routes_slo import Slo

HEAD = """\
version: 1
providers: {here: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1"}}
fallbacks: {base: {provider: here, model: base, prompt: {instructions: Answer.}}}
"""


def loaded(directory: Path, rest: str) -> Slo:
    (directory / "routes.yaml").write_text(HEAD + rest)
    return load(directory / "routes.yaml", environ={}).routes.routes["reply"].slo


@pytest.mark.parametrize(
    ("rest", "slo"),
    [
        pytest.param(
            "defaults: {provider: here, fallbacks: [base]}\nroutes: {reply: tuned}\n",
            Slo(availability=0.99, intended=0.9, first_token_s=None),
            id="nobody says anything: built-in objectives, and none for the first token",
        ),
        pytest.param(
            "defaults: {provider: here, fallbacks: [base], slo: {availability: 0.999, first_token_s: 2}}\n"
            "profiles: {slow: {slo: {first_token_s: 8.5}}}\n"
            "routes: {reply: {primary: tuned, profile: slow, slo: {intended: 0.99}}}\n",
            Slo(availability=0.999, intended=0.99, first_token_s=8.5),
            id="defaults, profile and route merge key by key",
        ),
        pytest.param(
            "defaults: {provider: here, fallbacks: [base], slo: {availability: 0.999, first_token_s: 2}}\n"
            "routes: {reply: {primary: tuned, slo: {first_token_s: null}}}\n",
            Slo(availability=0.999),
            id="null takes an objective away",
        ),
    ],
)
def test_a_routes_objectives(tmp_path: Path, rest: str, slo: Slo) -> None:
    assert loaded(tmp_path, rest) == slo


@pytest.mark.parametrize(
    ("says", "told"),
    [
        pytest.param("availability: 99.5", "slo.availability", id="a percentage is no share"),
        pytest.param("availability: 1", "slo.availability", id="everything leaves no budget"),
        pytest.param("intended: 0", "slo.intended", id="nothing is no objective"),
        pytest.param("intended: true", "slo.intended", id="true is no number"),
        pytest.param("first_token_s: 0", "slo.first_token_s", id="no time at all"),
        pytest.param("latency: 2", "unknown key 'latency'", id="an unknown objective"),
        pytest.param("avail: 0.99", "did you mean 'availability'?", id="the beginning of an objective"),
        pytest.param("availabilty: 0.99", "did you mean 'availability'?", id="a misspelt objective"),
    ],
)
def test_what_cannot_be_an_objective_is_refused_with_its_line(tmp_path: Path, says: str, told: str) -> None:
    with pytest.raises(InvalidRoutes) as refused:
        loaded(
            tmp_path,
            f"defaults: {{provider: here, fallbacks: [base]}}\nroutes:\n  reply: {{primary: tuned, slo: {{{says}}}}}\n",
        )
    errors = [str(finding) for finding in refused.value.findings if finding.severity == "error"]
    assert len(errors) == 1
    assert told in errors[0]
    assert errors[0].startswith("routes.yaml:6: ")
