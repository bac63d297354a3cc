"""Rules by which LiteLLM's config becomes routes.yaml; every draft is read back by the gateway's own loader."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.loader import load
from gateway.config.routes import Provider, Route, Routes
from gateway.lifecycle.litellm_config import read_config
from gateway.lifecycle.litellm_counterparts import note_settings
from gateway.lifecycle.litellm_draft import draft
from gateway.lifecycle.litellm_files import routes_yaml
from gateway.lifecycle.litellm_notes import Notes, Verdict

DATA = Path(__file__).parent.parent / "data" / "litellm"
SERVER = 'api_base: "http://vectors:8000", custom_llm_provider: openai'
TODAY = date(2026, 11, 24)
AZURE = 'model: azure/dep, api_base: "https://west.openai.azure.com/", api_key: os.environ/AZURE_KEY'


@dataclass(frozen=True)
class Drafted:
    routes: Routes
    text: str
    notes: Notes

    def route(self, name: str) -> Route:
        return self.routes.routes[name]

    def said(self, verdict: Verdict) -> dict[str, str]:
        return {note.about: note.text for note in self.notes.of(verdict)}

    def chain(self, name: str) -> list[str]:
        return [target.model for target in self.route(name).targets]


def drafted(text: str, directory: Path, environ: Mapping[str, str] | None = None) -> Drafted:
    (directory / "config.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    notes = Notes()
    config = read_config(directory / "config.yaml", environ or {}, notes)
    found = draft(config, notes)
    note_settings(config, notes)
    written = routes_yaml(found, notes, TODAY)
    (directory / "routes.yaml").write_text(written, encoding="utf-8")
    return Drafted(load(directory / "routes.yaml", environ={}).routes, written, notes)


def one(params: str, directory: Path, info: str = "", environ: Mapping[str, str] | None = None) -> Drafted:
    """Draft from one deployment, named m."""
    info = f"\n    model_info: {{{info}}}" if info else ""
    return drafted(f"model_list:\n  - model_name: m\n    litellm_params: {{{params}}}{info}\n", directory, environ)


def provider_of(found: Drafted) -> Provider:
    primary = found.route("m").primary
    assert primary is not None
    return primary.provider


# Who serves it.


DEPLOYMENTS = [json.loads(row) for row in (DATA / "deployments.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("row", DEPLOYMENTS, ids=lambda row: str(row["what"]))
def test_a_deployment_is_called_where_litellm_calls_it(row: dict[str, Any], tmp_path: Path) -> None:
    # JSON's mappings are YAML's.
    found = one(json.dumps(row["litellm_params"])[1:-1], tmp_path)
    primary = found.route("m").primary
    assert primary is not None
    assert (primary.provider.kind, primary.model) == (row["kind"], row["model"])
    assert {name: getattr(primary.provider, name) for name in row["provider"]} == row["provider"]


def test_azures_version_may_be_written_as_a_day(tmp_path: Path) -> None:
    assert provider_of(one(f"{AZURE}, api_version: 2024-10-21", tmp_path)).api_version == "2024-10-21"


@pytest.mark.parametrize(
    ("params", "about"),
    [
        pytest.param("model: sagemaker/x", "provider sagemaker", id="who speaks a format of its own"),
        pytest.param("model: nobody-lists-this", "model_list", id="an id that nobody lists"),
        pytest.param("model: azure_ai/claude-opus-4-6", "azure_ai", id="Claude at Azure"),
        pytest.param("model: openai/*", "wildcards", id="a wildcard"),
        pytest.param("model: os.environ/NOT_SET", "model_list", id="a model that is not told"),
    ],
)
def test_who_cannot_be_called_is_left_out_and_said(params: str, about: str, tmp_path: Path) -> None:
    text = f"model_list:\n  - {{model_name: m, litellm_params: {{{params}}}}}\n"
    found = drafted(text + "  - {model_name: other, litellm_params: {model: openai/gpt-4o}}\n", tmp_path)
    assert list(found.routes.routes) == ["other"]
    [note] = found.notes.of(Verdict.MISSING)
    assert (note.about, note.places[0].line) == (about, 2)
    assert "line 2: " in found.text


# What is named by a variable, or not at all.


def test_addresses_are_looked_up_and_keys_are_not(tmp_path: Path) -> None:
    environ = {"BASE": "https://acme.openai.azure.com", "THE_KEY": "sk-secret-1", "A_TOKEN": "https://x.example"}
    found = one("model: azure/d, api_base: os.environ/BASE, api_key: os.environ/THE_KEY", tmp_path, environ=environ)
    assert provider_of(found).base_url.startswith("https://acme.openai.azure.com")
    assert provider_of(found).api_key_env == "THE_KEY"
    assert "sk-secret-1" not in found.text
    found = one("model: azure/d, api_base: os.environ/A_TOKEN, api_key: os.environ/THE_KEY", tmp_path, environ=environ)
    assert "x.example" not in found.text, "what is named like a secret is not looked up"


@pytest.mark.parametrize(
    ("params", "about", "written"),
    [
        pytest.param("model: azure/d, api_base: os.environ/BASE", "base_url", "https://base.invalid", id="not set"),
        pytest.param("model: hosted_vllm/x", "base_url", "https://hosted-vllm-api-base.invalid", id="nowhere"),
        pytest.param("model: azure/d, api_base: your-api-base", "base_url", "https://fill-in.invalid", id="no URL"),
        pytest.param("model: vertex_ai/x", "vertex_project", "YOUR-PROJECT", id="no project"),
        pytest.param("model: bedrock/amazon.nova-lite-v1:0", "aws_region_name", "us-west-2", id="no region"),
    ],
)
def test_what_is_not_told_is_to_be_filled_in(params: str, about: str, written: str, tmp_path: Path) -> None:
    found = one(params, tmp_path)
    assert about in found.said(Verdict.OPEN)
    assert written in found.text


def test_a_literal_key_becomes_a_variable_of_its_own(tmp_path: Path) -> None:
    keys = ("sk-literal-a", "sk-literal-b", "sk-literal-a", "os.environ/OPENAI_API_KEY")
    rows = [
        f"  - {{model_name: m{number}, litellm_params: {{model: openai/gpt-4o, api_key: {key}}}}}"
        for number, key in enumerate(keys)
    ]
    found = drafted("model_list:\n" + "\n".join(rows), tmp_path)
    named = [target.provider.api_key_env for route in found.routes.routes.values() for target in route.targets]
    assert len(set(named)) == 3
    assert named[0] == named[2]
    assert named[3] == "OPENAI_API_KEY"
    assert "sk-literal" not in found.text
    assert [place.line for place in found.notes.of(Verdict.OPEN)[0].places] == [2, 3, 4]


# Who answers instead.


def test_the_first_by_order_and_weight_answers_and_the_others_follow(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: m, litellm_params: {model: openai/light, weight: 1}}
  - {model_name: m, litellm_params: {model: openai/heavy, weight: 9}}
  - {model_name: m, litellm_params: {model: groq/first, order: 1}}
  - {model_name: m, litellm_params: {model: openai/heavy, weight: 3}}
"""
    found = drafted(text, tmp_path)
    assert found.chain("m") == ["first", "heavy", "light"], "and what is the same is there once"
    assert "4 deployments" in found.said(Verdict.CHANGED)["m"]
    assert "rate_limited" in found.route("m").fallback_on


def test_fallbacks_lead_on_to_their_own(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: a, litellm_params: {model: openai/a}}
  - {model_name: b, litellm_params: {model: openai/b}}
  - {model_name: c, litellm_params: {model: openai/c}, model_info: {id: id-of-c}}
  - {model_name: d, litellm_params: {model: openai/d}}
litellm_settings:
  fallbacks: [{a: [b]}]
router_settings:
  fallbacks: [{a: [nick, nowhere]}, {b: [a, id-of-c]}, {"*": [d]}]
  model_group_alias: {nick: b, hidden: {model: a, hidden: true}, broken: nobody}
"""
    found = drafted(text, tmp_path)
    assert found.chain("a") == ["a", "b", "c"], "router_settings outrank litellm_settings"
    assert found.chain("c") == ["c", "d"], "who has none of their own gets the usual ones"
    assert found.chain("d") == ["d"], "nobody stands in for themselves"
    assert found.chain("nick") == found.chain("b") == ["b", "a", "c"]
    assert found.chain("hidden") == found.chain("a")
    assert "nowhere" in found.said(Verdict.MISSING)["fallbacks"]
    assert "broken" not in found.routes.routes


def test_where_the_primary_cannot_be_called_its_fallback_answers(tmp_path: Path) -> None:
    text = """
model_list:
  - {model_name: tune, litellm_params: {model: sagemaker/tune}}
  - {model_name: base, litellm_params: {model: openai/gpt-4o}}
router_settings: {fallbacks: [{tune: [base]}]}
"""
    found = drafted(text, tmp_path)
    assert found.route("tune").primary is None
    assert found.chain("tune") == ["gpt-4o"]


def test_a_circle_of_fallbacks_ends(tmp_path: Path) -> None:
    rows = "\n".join(f"  - {{model_name: m{n}, litellm_params: {{model: openai/m{n}}}}}" for n in range(200))
    chains = ", ".join(f"{{m{n}: [m{(n + 1) % 200}]}}" for n in range(200))
    found = drafted(f"model_list:\n{rows}\nrouter_settings: {{fallbacks: [{chains}]}}", tmp_path)
    assert found.chain("m199") == ["m199", "m0", "m1", "m2", "m3", "m4"], "LiteLLM follows five, too"


@pytest.mark.parametrize(
    ("first", "second", "chain", "space"),
    [
        pytest.param(
            "model: openai/text-embedding-3-small",
            f"{SERVER}, model: text-embedding-3-small",
            2,
            None,
            id="the same model",
        ),
        pytest.param("model: openai/text-embedding-3-small", "model: openai/embed-x", 1, None, id="another model"),
        pytest.param(AZURE, AZURE.replace("dep", "other"), 2, "m", id="models that nobody names are taken for equal"),
        pytest.param(
            "model: openai/text-embedding-3-small",
            "model: openrouter/openai/text-embedding-3-small",
            2,
            "text-embedding-3-small",
            id="the same model under another id",
        ),
    ],
)
def test_vectors_of_two_models_do_not_mix(
    first: str, second: str, chain: int, space: str | None, tmp_path: Path
) -> None:
    rows = "".join(
        f"  - {{model_name: m, litellm_params: {{{params}}}, model_info: {{mode: embedding}}}}\n"
        for params in (first, second)
    )
    found = drafted(f"model_list:\n{rows}", tmp_path)
    assert len(found.route("m").targets) == chain
    assert {target.embedding_space for target in found.route("m").targets} == {space}


# Limits, prices, parameters.


@pytest.mark.parametrize(
    ("params", "settings_", "timeouts"),
    [
        pytest.param("", "", (60, 60, 600), id="none"),
        pytest.param("timeout: 30, stream_timeout: 10", "", (10, 10, 30), id="both"),
        pytest.param("timeout: 300", "", (300, 300, 300), id="one for the whole answer"),
        pytest.param("timeout: '30'", "", (30, 30, 30), id="as text"),
        pytest.param("stream_timeout: 900", "", (900, 900, 900), id="a silence that is longer than the usual limit"),
        pytest.param(
            "timeout: 20, stream_timeout: 40", "", (40, 40, 40), id="a silence that is longer than the answer"
        ),
        pytest.param("", "litellm_settings: {request_timeout: 50}", (50, 50, 50), id="everybody's"),
        pytest.param(
            "timeout: 5", "router_settings: {timeout: 50, stream_timeout: 7}", (7, 7, 7), id="one's own first"
        ),
        pytest.param("timeout: -1, stream_timeout: os.environ/X", "", (60, 60, 600), id="what is no limit"),
        pytest.param("timeout: 1e9", "", (60, 60, 600), id="what is none that can be written"),
    ],
)
def test_time_limits(params: str, settings_: str, timeouts: tuple[float, float, float], tmp_path: Path) -> None:
    row = f"model_list:\n  - {{model_name: m, litellm_params: {{model: openai/x, {params}}}}}\n{settings_}\n"
    limits = drafted(row, tmp_path).route("m").timeouts
    assert (limits.first_token_s, limits.idle_s, limits.total_s) == timeouts


def test_a_price_per_token_becomes_one_per_million(tmp_path: Path) -> None:
    info = "input_cost_per_token: 0.00000015, output_cost_per_token: 6e-07, cache_read_input_token_cost: 7.5e-08"
    found = one("model: openai/ft:gpt-4o-mini:a:b:c, api_key: os.environ/K", tmp_path, info)
    price = found.routes.prices["openai"]["ft:gpt-4o-mini:a:b:c"]
    assert (str(price.input_usd_per_1m), str(price.output_usd_per_1m)) == ("0.15", "0.6")
    assert str(price.cached_input_usd_per_1m) == "0.075"
    assert price.source == "LiteLLM config"


def test_a_base_is_said_where_the_id_does_not_tell(tmp_path: Path) -> None:
    bases = {
        f"{AZURE}": "azure/eu/gpt-4o-2024-11-20",
        "model: openai/ft:gpt-4o-mini-2024-07-18:a:b:c": "openai/gpt-4o-mini",
        'model: hosted_vllm/lora, api_base: "http://v:1"': "meta-llama/Llama-3.1-8B",
    }
    found = []
    for params, base in bases.items():
        primary = one(params, tmp_path, f"base_model: {base}").route("m").primary
        found.append(primary.base if primary else None)
    assert found == ["gpt-4o-2024-11-20", "gpt-4o-mini-2024-07-18", "meta-llama/Llama-3.1-8B"]


def test_parameters_that_litellm_adds_become_a_comment(tmp_path: Path) -> None:
    found = one("model: openai/x, temperature: 0.2, reasoning_effort: low, max_tokens: 20", tmp_path)
    primary = found.route("m").primary
    assert primary is not None
    assert not primary.parameters.set, "here it would overrule callers"
    assert "parameters: {set: {temperature: 0.2, max_tokens: 20, reasoning_effort:" in found.text
    assert "litellm_params.temperature" in found.said(Verdict.MISSING)


def test_slack_is_told_of_shutdowns(tmp_path: Path) -> None:
    text = "model_list: [{model_name: m, litellm_params: {model: openai/x}}]\ngeneral_settings: {alerting: [slack]}"
    found = drafted(text, tmp_path)
    assert found.routes.webhooks["slack"].url_env == "SLACK_WEBHOOK_URL"
    assert "general_settings.alerting" in found.said(Verdict.CHANGED)


# Every section and setting is answered for.


@pytest.mark.parametrize(
    ("section", "words"),
    [
        pytest.param("litellm_settings: {num_retries: 3}", "retries a target once", id="retries"),
        pytest.param("litellm_settings: {cache: true}", "not cached", id="the cache"),
        pytest.param("litellm_settings: {success_callback: [langfuse]}", "/metrics", id="callbacks"),
        pytest.param("litellm_settings: {context_window_fallbacks: [{m: [n]}]}", "too long", id="context windows"),
        pytest.param("litellm_settings: {content_policy_fallbacks: [{m: [n]}]}", "refusal", id="content policies"),
        pytest.param("litellm_settings: {max_budget: 100}", "no budgets", id="budgets"),
        pytest.param("litellm_settings: {something_new: 1}", "nothing here says the same", id="what is new to us"),
        pytest.param("router_settings: {routing_strategy: least-busy}", "first of a route's targets", id="balancing"),
        pytest.param("router_settings: {redis_host: r}", "PostgreSQL", id="redis"),
        pytest.param("general_settings: {master_key: sk-master-1}", "GATEWAY_KEY", id="the master key"),
        pytest.param("general_settings: {database_url: x}", "GATEWAY_DATABASE_URL", id="the database"),
        pytest.param("general_settings: {store_model_in_db: true}", "LiteLLM's UI", id="models in the database"),
        pytest.param("guardrails: [{guardrail_name: g}]", "no guardrails", id="guardrails"),
        pytest.param("mcp_servers: {a: {}}", "no such endpoint", id="mcp"),
        pytest.param("environment_variables: {A: b}", "set them where the gateway runs", id="variables"),
        pytest.param("litellm_settings: {'sk-pasted here': 1}", "none of LiteLLM's", id="a name that is none"),
    ],
)
def test_what_has_no_counterpart_is_said_with_its_line(section: str, words: str, tmp_path: Path) -> None:
    found = drafted(f"model_list: [{{model_name: m, litellm_params: {{model: openai/x}}}}]\n{section}\n", tmp_path)
    [note] = found.notes.of(Verdict.MISSING)
    assert words in note.text
    assert [place.line for place in note.places] == [2]
    assert "sk-" not in found.text


def test_what_is_switched_off_is_not_worth_a_word(tmp_path: Path) -> None:
    text = "model_list: [{model_name: m, litellm_params: {model: openai/x}}]\nlitellm_settings: {cache: false}\n"
    assert not drafted(text, tmp_path).notes.of(Verdict.MISSING)


# Names come from anybody.

EVIL = [
    "primary", "fallback", "2027-01-14", "yes", "a: b", "x # y", "{route}", "../..", "- a", "&a", "m", "n" * 250,
    "a\nroutes: {evil: x}", "x\n  evil: y",
]  # fmt: skip
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30) | st.sampled_from(EVIL)


def _quoted(text: str) -> str:
    signs = json.dumps(text, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in signs)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from(["openai/", "azure/", "groq/", ""])), min_size=1, max_size=5)
)
def test_any_name_and_model_gives_a_draft_that_loads(rows: list[tuple[str, str, str]], tmp_path: Path) -> None:
    lines = ["model_list:", "  - {model_name: sure, litellm_params: {model: openai/sure}}"]
    for name, model, prefix in rows:
        params = f"model: {_quoted(prefix + model)}, api_base: {_quoted('https://h.example/' + name)}"
        lines.append(f"  - {{model_name: {_quoted(name)}, litellm_params: {{{params}}}}}")
    chains = ", ".join(f"{{{_quoted(name)}: [sure, {_quoted(rows[0][0])}]}}" for name, _, _ in rows)
    found = drafted("\n".join([*lines, f"router_settings: {{fallbacks: [{chains}]}}", ""]), tmp_path)
    assert "sure" in found.routes.routes
    assert "evil" not in found.routes.routes
