import re
from pathlib import Path

import forty_routes
import pytest
from command_line import Run

ALIAS = """\
version: 1
providers: {openai: {kind: openai, api_key_env: OPENAI_API_KEY}}
fallbacks: {mini: {provider: openai, model: gpt-4o-mini, prompt: {instructions: Be brief.}}}
defaults: {provider: openai, fallbacks: [mini]}
routes: {a: "ft:gpt-4.1-2025-04-14:acme::a", b: "ft:gpt-4.1-2025-04-14:acme::b"}
"""


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    return forty_routes.write(tmp_path)


def test_impact_lists_by_owner_whom_a_base_takes_along(routes: Path, run: Run) -> None:
    ran = run("impact", "--base", "gpt-4o-mini", "--routes", routes)
    assert ran.code == 1
    assert "14 routes depend on gpt-4o-mini, which stops on 2027-01-14" in " ".join(ran.out.split())
    assert "billing: 5" in ran.out
    assert ran.out.count("2027-01-14: planned; collected by hand") == 1
    assert re.search(r"credit-memo +fallback base +NOBODY", ran.out)
    assert re.search(r"size-advice +primary, fallback base +luna \(gpt-6-luna\)", ran.out)


def test_impact_of_a_base_that_nobody_uses(routes: Path, run: Run) -> None:
    ran = run("impact", "--base", "davinci", "--routes", routes)
    assert ran.code == 0
    assert "Nobody is hit: no route depends on davinci" in ran.out
    assert "llama-3.1-8b" in ran.out


def test_impact_as_json(routes: Path, run: Run) -> None:
    found = run("impact", "--base", "gpt-4o-mini-2024-07-18", "--routes", routes, "--json").json
    assert found["nobody"] == ["credit-memo"]
    (stop,) = found["stops"]
    assert (stop["shutdown"], stop["snapshot"], len(stop["routes"])) == ("2027-01-14", None, 14)
    assert len(found["routes"]) == 14


@pytest.mark.parametrize(
    ("base", "says"),
    [
        pytest.param("nonsense", "The models in use are: gpt-4.1-2025-04-14,", id="nothing like it"),
        pytest.param("gpt-4o-mimi", "The nearest names: gpt-4o-mini", id="a slip of the pen"),
    ],
)
def test_impact_of_what_is_no_model_is_a_misuse(base: str, says: str, routes: Path, run: Run) -> None:
    ran = run("impact", "--base", base, "--routes", routes)
    assert (ran.code, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first == f"No model is known as {base!r}, and no route depends on one."
    assert second.startswith(says)


@pytest.mark.parametrize("task", ["gpt-4o-mini", "ft:gpt-4o-mini-2024-07-18:acme::a"])
def test_impact_says_the_same_of_an_alias_whatever_names_it(task: str, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "routes.yaml"
    path.write_text(f'{ALIAS.partition("routes:")[0].replace("gpt-4o-mini", "gpt-6-luna")}routes: {{a: "{task}"}}\n')
    ran = run("impact", "--base", "gpt-4o-mini", "--routes", path)
    assert ran.code == 0
    assert ran.out.startswith("1 route depends on gpt-4o-mini, which stops on 2027-01-14: 1 loses the primary;")


def test_impact_has_a_line_for_each_day(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "routes.yaml"
    own = 'lifecycle: {openai: {"ft:gpt-4.1-2025-04-14:acme::b": {shutdown: 2027-03-01, source: a mail}}}\n'
    path.write_text(ALIAS.replace("gpt-4o-mini", "gpt-6-luna") + own)
    out = run("impact", "--base", "gpt-4.1", "--routes", path).out
    assert "2 routes depend on gpt-4.1, of which the first stops on 2027-01-14" in out
    assert "\n2027-01-14 (a): planned; collected by hand" in out
    assert "\n2027-03-01 (b): planned;" in out
    assert re.search(r"\n  a +primary +2027-01-14 +mini", out)
    assert re.search(r"\n  b +primary +2027-03-01 +mini", out)
