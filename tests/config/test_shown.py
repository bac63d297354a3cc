from pathlib import Path

import pytest

from gateway.config.loader import load
from gateway.config.shown import show
from gateway.errors import RouteNotFound

TEXT = """\
version: 1
providers: {p: {kind: vllm, base_url: "http://p/v1"}}
fallbacks:
  base:
    {provider: p, model: m, prompt: {instructions_file: "{route}.md"}, parameters: {set: {a: 1}}}
  more: {extends: base, model: m2}
defaults:
  provider: p
  timeouts: {idle_s: 30, total_s: 50}
  owner: x
profiles:
  q: {fallbacks: [more], timeouts: {idle_s: 5}}
routes:
  a: {profile: q, primary: "ft:b:acme::1", owner: null}
  n: {primary: null, fallbacks: [base]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "routes.yaml").write_text(TEXT)
    for route in "an":
        (tmp_path / f"{route}.md").write_text("x")
    return tmp_path / "routes.yaml"


def test_every_effective_value_has_its_line(path: Path) -> None:
    shown = show(load(path, environ={}), "a")
    assert [(value.path, value.value, value.origin.removeprefix("routes.yaml:")) for value in shown] == [
        ("primary.provider", "p", "8"),
        ("primary.model", "ft:b:acme::1", "14"),
        ("primary.base", "b", "14"),
        ("fallbacks", ["more"], "12"),
        ("fallbacks.more.provider", "p", "5"),
        ("fallbacks.more.model", "m2", "6"),
        ("fallbacks.more.base", None, "default"),
        ("fallbacks.more.prompt.instructions_file", "a.md", "5"),
        ("fallbacks.more.parameters.set.a", 1, "5"),
        ("fallbacks.more.prompt.caller_system", "keep", "default"),
        (
            "fallback_on",
            ["gone", "no_access", "connection", "timeout", "overloaded", "server_error"],
            "default",
        ),
        ("timeouts.first_token_s", 50, "default"),
        ("timeouts.idle_s", 5, "12"),
        ("timeouts.total_s", 50, "9"),
        ("cutover.at", "shutdown", "default"),
        ("cutover.days_before", 0, "default"),
        ("cutover.ramp_days", 0, "default"),
        ("cutover.require_evidence", False, "default"),
        ("slo.availability", 0.99, "default"),
        ("slo.intended", 0.9, "default"),
        ("slo.first_token_s", None, "default"),
        ("profile", "q", "14"),
        ("owner", None, "14"),
        ("contract", None, "default"),
        ("residency", None, "default"),
        ("training", None, "default"),
        ("tenant", None, "default"),
        ("capture", None, "default"),
        ("rehearsal", None, "default"),
        ("acceptance", None, "default"),
    ]


def test_a_primary_that_is_not_trained_yet_is_shown_where_it_is_written(path: Path) -> None:
    first = show(load(path, environ={}), "n")[0]
    assert (first.path, first.value, first.origin) == ("primary", None, "routes.yaml:15")


def test_an_unknown_route_is_said_so(path: Path) -> None:
    with pytest.raises(RouteNotFound, match="There is no route 'b'"):
        show(load(path, environ={}), "b")
