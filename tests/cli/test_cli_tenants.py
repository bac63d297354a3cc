"""Variants of a task at the command line: checked, shown, explained and built for by their own names."""

from pathlib import Path

import pytest
from command_line import Run

from gateway.config.packs import parse_pack

TEXT = """\
version: 1
providers: {p: {kind: openai, api_key_env: KEY}}
fallbacks: {luna: {provider: p, model: gpt-6-luna, prompt: {pack: "packs/{route}"}}}
defaults: {provider: p, fallbacks: [luna]}
routes:
  forum:
    variant_by: tenant
    variants:
      acme: ft:gpt-4o-mini-2024-07-18:acme:forum:A1
      globex: ft:gpt-4o-mini-2024-07-18:globex:forum:G1
  plain: ft:gpt-4o-mini-2024-07-18:x:plain:P1
"""
ROW = '{"messages": [{"role": "user", "content": "Where is it %d?"}, {"role": "assistant", "content": "There %d."}]}\n'


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(TEXT)
    (tmp_path / "rows.jsonl").write_text("".join(ROW % (i, i) for i in range(40)))
    return tmp_path / "routes.yaml"


def test_check_counts_each_variant_and_misses_the_pack_of_each(run: Run, routes: Path) -> None:
    ran = run("check", routes)
    assert ran.code == 0
    assert "3 routes" in ran.out
    assert "routes.forum:acme: there is no prompt pack at packs/forum.acme yet" in ran.out


def test_a_variant_is_shown_with_the_lines_of_its_own(run: Run, routes: Path) -> None:
    ran = run("config", "show", "forum:globex", "--routes", routes)
    assert ran.code == 0
    assert "routes.yaml:10" in next(line for line in ran.out.splitlines() if line.startswith("tenant "))
    refused = run("config", "show", "forum", "--routes", routes)
    assert refused.code == 1
    assert "name one of forum:acme, forum:globex" in refused.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--route", "forum", "--tenant", "acme"), "forum:acme on ", id="a task and a tenant"),
        pytest.param(("--route", "forum:acme"), "forum:acme on ", id="a variant"),
        pytest.param(("--route", "plain", "--tenant", "acme"), "plain on ", id="a route for all"),
    ],
)
def test_the_plan_of_a_tenant_is_explained(run: Run, routes: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = run("explain", *arguments, "--at", "2026-12-01", "--routes", routes)
    assert ran.code == 0
    assert ran.out.startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(("--route", "forum"), "name one of forum:acme, forum:globex", id="a task alone"),
        pytest.param(("--route", "forum", "--tenant", "acne"), "did you mean 'acme'?", id="a tenant that is none"),
        pytest.param(("--route", "forun"), "there are: forum:acme, forum:globex, plain", id="a route that is none"),
    ],
)
def test_a_plan_of_nobody_is_not(run: Run, routes: Path, arguments: tuple[str, ...], said: str) -> None:
    ran = run("explain", *arguments, "--routes", routes)
    assert ran.code == 1
    assert said in ran.err


def test_a_variants_pack_lands_where_routes_yaml_looks_for_it_and_is_its_tenants(run: Run, routes: Path) -> None:
    ran = run("pack", "build", "forum:acme", "--from", routes.parent / "rows.jsonl", "--routes", routes)
    assert ran.code == 0, ran.err
    assert "packs/{route}" in ran.out
    directory = routes.parent / "packs" / "forum.acme"
    pack = parse_pack({file.name: file.read_bytes() for file in directory.iterdir()})
    assert (pack.route, pack.tenant) == ("forum:acme", "acme")
    assert "forum.acme yet" not in run("check", routes).out
    # Laid where another tenant's should be, it is refused.
    directory.rename(directory.with_name("forum.globex"))
    refused = run("check", routes)
    assert refused.code == 1
    assert "holds examples of tenant 'acme', but the route handles 'globex'" in refused.out
