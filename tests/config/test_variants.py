from pathlib import Path

import pytest

from gateway.config.loader import Loaded, load
from gateway.config.shown import show
from gateway.config.tenants import route_for
from gateway.errors import RouteNotFound

TEXT = """\
version: 1
providers:
  p: {kind: vllm, base_url: "http://p/v1"}
  q: {kind: vllm, base_url: "http://q/v1"}
fallbacks:
  base: {provider: p, model: m, prompt: {instructions_file: "{task}.md", examples_file: "{route}.jsonl"}}
  bare: {provider: q, model: m2}
defaults: {provider: p, fallbacks: [base], timeouts: {total_s: 50}}
profiles:
  strict: {contract: "{route}.schema.json", owner: forum}
routes:
  reply:
    profile: strict
    timeouts: {idle_s: 5}
    training: {file: "data/{route}.jsonl"}
    cutover: {days_before: 14, ramp_days: 7}
    variant_by: tenant
    variants:
      acme: ft:b:acme::1
      globex: {primary: {model: ft:b:globex::2, provider: q}, owner: globex-team, cutover: {days_before: 3}}
      initech: {fallbacks: [bare], contract: null}
  triage:
    primary: shared
    fallbacks: [bare]
    variant_by: tenant
    variants: {acme: ft:b:acme::3}
  later:
    primary: null
    fallbacks: [bare]
    variant_by: tenant
    variants: {acme: ft:b:acme::4}
  plain: {primary: ft:b:x::5, fallbacks: [bare]}
"""
SCHEMA = '{"type": "object", "additionalProperties": false, "properties": {}, "required": []}'


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    directory = tmp_path_factory.mktemp("variants")
    (directory / "routes.yaml").write_text(TEXT)
    (directory / "reply.md").write_text("Answer.")
    for name in ("reply.acme", "reply.globex", "reply.initech"):
        (directory / f"{name}.schema.json").write_text(SCHEMA)
        rows = f'{{"messages": [{{"role": "user", "content": "?"}}, {{"role": "assistant", "content": "{name}"}}]}}'
        (directory / f"{name}.jsonl").write_text(rows)
    return load(directory / "routes.yaml", environ={})


def test_each_variant_is_a_route_and_a_task_without_a_primary_of_its_own_is_none(loaded: Loaded) -> None:
    assert list(loaded.routes.routes) == [
        "reply:acme", "reply:globex", "reply:initech", "triage", "triage:acme", "later", "later:acme", "plain",
    ]  # fmt: skip
    assert loaded.routes.variants == {
        "reply": {"acme": "reply:acme", "globex": "reply:globex", "initech": "reply:initech"},
        "triage": {"acme": "triage:acme"},
        "later": {"acme": "later:acme"},
    }
    known = {name: (route.tenant, route.variant_of) for name, route in loaded.routes.routes.items()}
    assert known["reply:globex"] == ("globex", "reply")
    assert known["triage"] == known["plain"] == (None, None)


def test_a_variant_has_everything_of_its_task_but_the_primary(loaded: Loaded) -> None:
    acme, globex, initech = (loaded.routes.routes[f"reply:{name}"] for name in ("acme", "globex", "initech"))
    assert acme.primary is not None
    assert (acme.primary.model, acme.primary.provider.name, acme.owner) == ("ft:b:acme::1", "p", "forum")
    assert globex.primary is not None
    assert (globex.primary.provider.name, globex.owner) == ("q", "globex-team")
    assert (globex.cutover.days_before, globex.cutover.ramp_days) == (3, 7)
    assert (globex.timeouts.idle_s, globex.timeouts.total_s) == (5.0, 50.0)
    assert initech.primary is None
    assert [target.name for target in initech.fallbacks] == ["bare"]
    assert initech.contract is None
    triage = loaded.routes.routes["triage:acme"]
    assert triage.primary is not None
    assert triage.primary.model == "ft:b:acme::3"


def test_files_of_a_variant_are_its_own_where_they_are_named_by_the_route(loaded: Loaded) -> None:
    acme, globex = (loaded.routes.routes[f"reply:{name}"] for name in ("acme", "globex"))
    prompts = [route.fallbacks[0].prompt for route in (acme, globex)]
    assert [prompt.instructions for prompt in prompts if prompt] == ["Answer.", "Answer."]
    assert [prompt.examples[0].assistant for prompt in prompts if prompt] == ["reply.acme", "reply.globex"]
    assert acme.training is not None
    assert str(acme.training.file).endswith("data/reply.acme.jsonl")
    assert (acme.name_in_files, loaded.routes.routes["plain"].name_in_files) == ("reply.acme", "plain")


def test_every_value_of_a_variant_has_its_line(loaded: Loaded) -> None:
    shown = {value.path: (value.value, value.origin) for value in show(loaded, "reply:globex")}
    assert shown["primary.model"] == ("ft:b:globex::2", "routes.yaml:20")
    assert shown["primary.provider"] == ("q", "routes.yaml:20")
    assert shown["tenant"] == ("globex", "routes.yaml:20")
    assert shown["cutover.days_before"] == (3, "routes.yaml:20")
    assert shown["cutover.ramp_days"] == (7, "routes.yaml:16")
    assert shown["contract"] == ("reply.globex.schema.json", "routes.yaml:10")
    assert shown["fallbacks.base.prompt.examples_file"] == ("reply.globex.jsonl", "routes.yaml:6")
    assert shown["profile"] == ("strict", "routes.yaml:13")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        pytest.param(
            "reply",
            "Route 'reply' answers by tenant: name one of reply:acme, reply:globex, reply:initech.",
            id="a task that answers by tenant alone names its variants",
        ),
        pytest.param(
            "reply:acma",
            "There is no route 'reply:acma'; did you mean 'reply:acme'?",
            id="a variant that is not there has a nearest",
        ),
        pytest.param("nothing", "There is no route 'nothing'.", id="what is like nothing has none"),
    ],
)
def test_what_cannot_be_shown(loaded: Loaded, name: str, said: str) -> None:
    with pytest.raises(RouteNotFound) as refused:
        show(loaded, name)
    assert refused.value.message == said


@pytest.mark.parametrize(
    ("name", "tenant", "expected"),
    [
        pytest.param("reply", "acme", "reply:acme", id="a tenant's callers get their variant"),
        pytest.param("triage", "globex", "triage", id="a tenant without one gets the task's own"),
        pytest.param("triage", None, "triage", id="who names no tenant gets the task's own"),
        pytest.param("plain", "acme", "plain", id="a route without variants answers everybody"),
        pytest.param("reply:acme", None, "reply:acme", id="a variant may be named outright"),
    ],
)
def test_which_route_answers_a_tenant(loaded: Loaded, name: str, tenant: str | None, expected: str) -> None:
    assert route_for(loaded.routes, name, tenant) == expected


def test_a_tenant_without_a_variant_is_told_the_nearest(loaded: Loaded) -> None:
    with pytest.raises(RouteNotFound) as refused:
        route_for(loaded.routes, "reply", "acne")
    assert refused.value.message == "Route 'reply' has no variant for tenant 'acne'; did you mean 'acme'?"


def test_variants_of_an_included_file_are_routes_too(tmp_path: Path) -> None:
    head, _, routes = TEXT.partition("routes:\n")
    (tmp_path / "routes.yaml").write_text(head.replace("version: 1", "version: 1\ninclude: [more.yaml]"))
    (tmp_path / "more.yaml").write_text("routes:\n" + routes[routes.index("  triage:") :])
    assert load(tmp_path / "routes.yaml", environ={}).routes.variants["triage"] == {"acme": "triage:acme"}
