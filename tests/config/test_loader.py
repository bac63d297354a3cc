import json
import re
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config.findings import InvalidRoutes
from gateway.config.loader import Loaded, load
from gateway.config.routes import EventWord, Example, Webhook
from gateway.config.routes_ledger import Ledger
from gateway.reasons import EventKind, Role

ROOT = Path(__file__).parents[2]
SHAPE = """\
version: 1
include: [teams/*.yaml]
providers:
  main:   {kind: openai, api_key_env: MAIN_KEY}
  cluster: {kind: vllm, base_url: "http://vllm.example:8000/v1/"}
  west:   {kind: azure, base_url: "https://west.example/", api_key_file: secrets/west, residency: eu, keep_alive: true}
lifecycle:
  main:
    gpt-4.1-mini-2025-04-14: {shutdown: 2027-01-14, source: "read on the vendor's page"}
prices:
  main:
    gpt-6-luna: {input_usd_per_1m: 1.10, cached_input_usd_per_1m: 0.11, output_usd_per_1m: 6, source: list}
fallbacks:
  base:
    provider: main
    model: gpt-6-luna
    prompt: {instructions_file: "p/{route}.md", examples_file: "p/pairs.jsonl", pack: "packs/{route}",
             caller_system: replace_if_trained}
    parameters:
      {rename: {max_tokens: max_completion_tokens}, set: {reasoning_effort: none, temperature: 0.2}, drop: [logit_bias]}
  base-eu: {extends: base, provider: west, model: our-luna, base: gpt-6-luna, parameters: {set: {temperature: null}}}
defaults:
  provider: main
  fallbacks: [base]
  timeouts: {first_token_s: 15, idle_s: 30, total_s: 120}
  cutover: {at: shutdown, days_before: 14, ramp_days: 7}
  owner: platform
profiles:
  json: {contract: "s/{route}.json", fallback_on: [gone]}
  eu:   {provider: west, fallbacks: [base-eu], residency: eu, owner: null, timeouts: {idle_s: null, total_s: 60}}
routes:
  reply:   ft:gpt-4o-mini-2024-07-18:acme:forum:A1
  triage:  ft:gpt-4.1-mini-2025-04-14:acme::C3:ckpt-step-714
  invoice: {profile: json, primary: "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4", owner: billing}
  claims:
    profile: eu
    primary: {model: claims-ft, base: gpt-4.1-mini-2025-04-14, parameters: {set: {top_p: 1}}}
    training: {cost_usd: 38.20, examples: 212, file: data/claims.jsonl}
    timeouts: {idle_s: 5}
  later:   {primary: null}
webhooks:
  slack: {url_env: SLACK_URL, owners: [billing], events: [cutover, shutdown_notice]}
  ops:   {url: "https://ops.example/hook", secret_file: secrets/whsec}
"""


@pytest.fixture
def shape(tmp_path: Path) -> Path:
    """Write a configuration of the full shape, with everything that it names."""
    for folder in ("p", "s", "teams", "secrets"):
        (tmp_path / folder).mkdir()
    for route in ("reply", "triage", "invoice", "claims", "later", "search"):
        (tmp_path / "p" / f"{route}.md").write_text(f"\ufeffDo {route}.\n")
    row = {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}
    row["messages"].append({"role": "assistant", "content": "a"})
    (tmp_path / "p" / "pairs.jsonl").write_text(json.dumps(row) + "\n\n")
    (tmp_path / "s" / "invoice.json").write_text('{"type": "object", "properties": {"n": {"type": "string"}}}')
    (tmp_path / "secrets" / "west").write_text("k")
    (tmp_path / "secrets" / "whsec").write_text("whsec_" + "A" * 32)
    (tmp_path / "teams" / "search.yaml").write_text("routes:\n  search: {provider: cluster, primary: lora-1}\n")
    (tmp_path / "routes.yaml").write_text(SHAPE)
    return tmp_path / "routes.yaml"


def _load(path: Path, **environ: str) -> Loaded:
    return load(path, environ=environ)


def _refusal(path: Path) -> InvalidRoutes | None:
    try:
        _load(path)
    except InvalidRoutes as refused:
        return refused
    return None


def test_the_full_shape_loads_with_its_warnings(shape: Path) -> None:
    loaded = _load(shape, MAIN_KEY="k", SLACK_URL="https://hooks.slack.com/services/T0/B0/x?a=b")
    assert list(loaded.routes.routes) == ["reply", "triage", "invoice", "claims", "later", "search"]
    assert [str(warning) for warning in loaded.warnings] == [
        *(
            f"routes.yaml:17: routes.{route}: there is no prompt pack at packs/{route} yet: the fallback runs on its "
            f"instructions and examples alone; build one with: gateway pack build {route} --from FILE"
            for route in ("reply", "triage", "invoice", "claims", "later", "search")
        ),
        "routes.yaml:29: routes.invoice: s/invoice.json is outside the subset that providers enforce (every object "
        "closed by additionalProperties: false, every property required); answers are checked, not forced",
    ]


def test_one_line_routes_take_everything_from_the_defaults(shape: Path) -> None:
    reply = _load(shape).routes.routes["reply"]
    assert reply.primary is not None
    assert (reply.primary.role, reply.primary.provider.name) == (Role.PRIMARY, "main")
    assert reply.primary.base == "gpt-4o-mini-2024-07-18"
    assert reply.fallback_on == {"gone", "no_access", "connection", "timeout", "overloaded", "server_error"}
    assert (reply.timeouts.first_token_s, reply.timeouts.idle_s, reply.timeouts.total_s) == (15, 30, 120)
    assert (reply.cutover.at, reply.cutover.days_before, reply.cutover.ramp_days) == ("shutdown", 14, 7)
    assert reply.owner == "platform"


def test_a_fallback_has_the_prompt_of_its_route(shape: Path) -> None:
    routes = _load(shape).routes.routes
    prompts = [route.fallbacks[0].prompt for route in routes.values()]
    assert [prompt.instructions for prompt in prompts if prompt] == [f"Do {name}." for name in routes]
    assert all(prompt and prompt.examples == (Example(user="u", assistant="a"),) for prompt in prompts)
    versions = {prompt.version for prompt in prompts if prompt}
    assert len(versions) == len(routes)
    assert all(re.fullmatch("[0-9a-f]{12}", version) for version in versions)


def test_layers_merge_maps_replace_lists_and_remove_by_null(shape: Path) -> None:
    claims = _load(shape).routes.routes["claims"]
    assert claims.owner is None
    assert (claims.timeouts.first_token_s, claims.timeouts.idle_s, claims.timeouts.total_s) == (15, 5, 60)
    assert [target.name for target in claims.targets] == ["primary", "base-eu"]
    assert claims.primary is not None
    assert claims.primary.parameters.set == {"top_p": 1}
    assert claims.training is not None
    assert claims.training.cost_usd == Decimal("38.20")
    assert claims.training.file == str(shape.parent / "data" / "claims.jsonl")


def test_extends_takes_over_what_is_not_written(shape: Path) -> None:
    routes = _load(shape).routes.routes
    base, extended = routes["reply"].fallbacks[0], routes["claims"].fallbacks[0]
    assert base.parameters.set == {"reasoning_effort": "none", "temperature": 0.2}
    assert isinstance(base.parameters.set["temperature"], float)
    assert extended.parameters.set == {"reasoning_effort": "none"}
    assert extended.parameters.rename == base.parameters.rename
    assert extended.parameters.drop == ("logit_bias",)
    assert (extended.model, extended.base, extended.provider.name) == ("our-luna", "gpt-6-luna", "west")


def test_a_route_that_is_not_trained_yet_has_only_its_fallback(shape: Path) -> None:
    later = _load(shape).routes.routes["later"]
    assert later.primary is None
    assert [target.name for target in later.targets] == ["base"]


def test_a_contract_is_named_for_its_route(shape: Path) -> None:
    contract = _load(shape).routes.routes["invoice"].contract
    assert contract is not None
    assert (contract.name, contract.strict) == ("invoice", False)


def test_base_urls_are_complete(shape: Path) -> None:
    urls = {name: provider.base_url for name, provider in _load(shape).routes.providers.items()}
    assert urls == {
        "main": "https://api.openai.com/v1",
        "cluster": "http://vllm.example:8000/v1",
        "west": "https://west.example/openai/v1",
    }


def test_dates_and_prices_keep_their_exact_values(shape: Path) -> None:
    routes = _load(shape).routes
    assert routes.lifecycle["main"]["gpt-4.1-mini-2025-04-14"].shutdown == date(2027, 1, 14)
    price = routes.prices["main"]["gpt-6-luna"]
    assert str(price.input_usd_per_1m) == "1.10"
    assert price.output_usd_per_1m == Decimal(6)
    assert (price.tiers, price.above, price.audio_input_usd_per_1m) == ({}, None, None)


def test_tiers_long_prompts_and_sound_have_prices_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("""
version: 1
providers: {here: {kind: vllm, base_url: "http://h:8000/v1"}}
prices:
  here:
    ft: {input_usd_per_1m: 1.10, output_usd_per_1m: 6, source: list, audio_input_usd_per_1m: 20,
         tiers: {flex: {input_usd_per_1m: 0.55, output_usd_per_1m: 3}},
         above: {tokens: 272000, input_usd_per_1m: 2.20, output_usd_per_1m: 9}}
routes: {a: {provider: here, primary: ft}}
""")
    price = _load(file).routes.prices["here"]["ft"]
    assert price.audio_input_usd_per_1m == 20
    assert {word: str(tier.input_usd_per_1m) for word, tier in price.tiers.items()} == {"flex": "0.55"}
    assert price.above is not None
    assert (price.above.tokens, str(price.above.input_usd_per_1m)) == (272_000, "2.20")


def test_missing_secrets_are_marked_warnings(shape: Path) -> None:
    (shape.parent / "secrets" / "west").unlink()
    warnings = [warning for warning in _load(shape).warnings if warning.missing_secret]
    assert [str(warning) for warning in warnings] == [
        "routes.yaml:4: providers.main: MAIN_KEY is not set",
        "routes.yaml:6: providers.west: the file of api_key_file is not there",
        "routes.yaml:42: webhooks.slack: SLACK_URL is not set",
    ]


def test_webhooks_name_their_secrets_and_what_is_of_interest(shape: Path) -> None:
    webhooks = _load(shape).routes.webhooks
    assert webhooks["slack"] == Webhook(
        name="slack",
        url_env="SLACK_URL",
        owners=frozenset({"billing"}),
        events=frozenset({EventKind.CUTOVER, EventKind.SHUTDOWN_NOTICE}),
    )
    assert webhooks["ops"] == Webhook(
        name="ops", url="https://ops.example/hook", secret_file=str(shape.parent / "secrets" / "whsec")
    )


def test_the_words_for_events_are_those_of_the_vocabulary() -> None:
    assert get_args(EventWord) == tuple(kind.value for kind in EventKind)


def test_deployments_are_kept_alive_only_where_that_is_asked_for(shape: Path) -> None:
    kept = {name: provider.keep_alive for name, provider in _load(shape).routes.providers.items()}
    assert kept == {"main": False, "cluster": False, "west": True}


@pytest.mark.parametrize(
    ("url", "secret", "expected"),
    [
        pytest.param("https://h.example/x?sig=1", "whsec_" + "A" * 32, [], id="https, with a query, and a good secret"),
        pytest.param("http://127.0.0.1:9/x", "", [], id="plain http to this machine"),
        pytest.param(
            "http://h.example/123456",
            "",
            ["routes.yaml:5: webhooks.ops: its messages travel unencrypted to another machine; prefer https"],
            id="plain http to another machine",
        ),
        pytest.param(
            "123456", "", ["routes.yaml:5: webhooks.ops: OPS_URL must be an http or https URL"], id="no URL at all"
        ),
        pytest.param(
            "https://h.example",
            "123456",
            ["routes.yaml:5: webhooks.ops: OPS_SECRET must be whsec_ and the base64 of 24 to 64 bytes"],
            id="a secret that is none",
        ),
    ],
)
def test_what_a_webhooks_variables_hold_is_looked_at_and_not_repeated(
    url: str, secret: str, expected: list[str], tmp_path: Path
) -> None:
    text = """\
version: 1
providers: {here: {kind: vllm, base_url: "http://h:8000/v1"}}
routes: {a: {primary: {provider: here, model: m}}}
webhooks:
  ops: {url_env: OPS_URL, secret_env: OPS_SECRET}
"""
    (tmp_path / "routes.yaml").write_text(text)
    environ = {"OPS_URL": url, "OPS_SECRET": secret}
    try:
        found = load(tmp_path / "routes.yaml", environ=environ).warnings
    except InvalidRoutes as refused:
        found = refused.findings
    about_webhooks = [str(finding) for finding in found if "webhooks" in finding.message]
    assert [line for line in about_webhooks if "not set" not in line] == expected


def test_what_nothing_refers_to_is_a_warning(shape: Path) -> None:
    spare = "fallbacks:\n  spare: {provider: cluster, model: x}\n"
    shape.write_text(SHAPE.replace("fallbacks:\n", spare, 1).replace("profiles:\n", "profiles:\n  none: {}\n", 1))
    (shape.parent / "teams" / "search.yaml").write_text("routes:\n  search: {primary: x, fallbacks: []}\n")
    found = [str(warning) for warning in _load(shape, MAIN_KEY="k").warnings]
    assert "routes.yaml:14: fallback 'spare' is not used" in found
    assert "routes.yaml:30: profile 'none' is not used" in found
    assert "teams/search.yaml:2: routes.search has no fallback: when its primary goes, it fails" in found


@pytest.mark.parametrize("said", ["ledger:", "ledger: {}", "ledger: {journal_mib: null}"])
def test_a_ledger_of_which_nothing_is_said_is_the_usual_one(shape: Path, said: str) -> None:
    shape.write_text(f"{shape.read_text()}\n{said}\n")
    assert _load(shape).routes.ledger == Ledger()


def test_an_included_route_must_not_be_there_twice(shape: Path) -> None:
    (shape.parent / "teams" / "a.yaml").write_text("providers: {}\nroutes:\n  reply: ft\n  search: x\n")
    with pytest.raises(InvalidRoutes) as refused:
        _load(shape)
    assert str(refused.value).splitlines() == [
        "teams/a.yaml:1: unknown key 'providers': an included file holds only `routes`",
        "teams/a.yaml:3: route 'reply' is already at routes.yaml:32",
        "teams/search.yaml:2: route 'search' is already at teams/a.yaml:4",
    ]


def test_paths_are_relative_to_the_file_they_are_written_in(shape: Path) -> None:
    (shape.parent / "teams" / "s.json").write_text('{"type": "object"}')
    (shape.parent / "teams" / "search.yaml").write_text("routes:\n  search: {primary: x, contract: s.json}\n")
    route = _load(shape).routes.routes["search"]
    assert route.contract is not None


def test_the_hash_covers_every_file(shape: Path) -> None:
    seen = {_load(shape).routes.config_hash}
    for name in ("routes.yaml", "p/reply.md", "p/pairs.jsonl", "s/invoice.json", "teams/search.yaml"):
        file = shape.parent / name
        file.write_text(file.read_text() + " \n")
        seen.add(_load(shape).routes.config_hash)
    assert len(seen) == 6
    assert _load(shape).routes.config_hash in seen


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidRoutes, match=r"^routes.yaml:1: does not exist$"):
        _load(tmp_path / "routes.yaml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"a: \xff", "routes.yaml:1: is not UTF-8", id="bytes that are no text"),
        pytest.param(b"# " + b"x" * (1 << 20), "routes.yaml:1: is larger than 1 MiB", id="a file of more than 1 MiB"),
        pytest.param(b"[" * 4000, "routes.yaml:1: is nested deeper than 32 levels", id="4000 open brackets"),
    ],
)
def test_a_hostile_file_is_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_bytes(content)
    with pytest.raises(InvalidRoutes) as refused:
        _load(tmp_path / "routes.yaml")
    assert str(refused.value) == expected


def test_the_repositorys_own_configuration_has_no_warning() -> None:
    loaded = _load(ROOT / "routes.yaml")
    assert loaded.warnings == ()
    assert list(loaded.routes.routes) == ["forum-reply", "ticket-triage", "invoice-extract", "tone-rewrite"]
    contract = loaded.routes.routes["invoice-extract"].contract
    assert contract is not None
    assert contract.strict


def test_four_hundred_routes_load_within_two_seconds(shape: Path) -> None:
    lines = [f"  r{number}: ft:gpt-4o-mini-2024-07-18:acme:x:{number}\n" for number in range(400)]
    for number in range(400):
        (shape.parent / "p" / f"r{number}.md").write_text("x")
    shape.write_text(SHAPE.replace("webhooks:\n", "".join([*lines, "webhooks:\n"])))
    started = time.process_time()
    assert len(_load(shape).routes.routes) == 406
    assert time.process_time() - started < 2


_FRAGMENTS = st.sampled_from(
    [
        *SHAPE.splitlines(keepends=True), "version: 1\n", "routes:\n", "  a: {", "}\n", "null", "- ", ": ",
        "[", "]", "&a ", "*a ", "!!str ", "---\n", "primary: ", "timeouts: ", "fallbacks: ", "prompt: ",
        "examples: ", "extends: ", '"', "{route}", "\t", "0x1", "1e9", "2027-13-01", "<<: ", "? ", "\x00",
        "\n", "  ",
    ]
)  # fmt: skip


@given(
    st.lists(_FRAGMENTS, max_size=40).map("".join).map(str.encode) | st.binary(max_size=200) | st.text().map(str.encode)
)
@settings(
    max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_nothing_but_a_config_error_is_ever_raised(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "routes.yaml").write_bytes(content)
    refused = _refusal(tmp_path / "routes.yaml")
    assert refused is None or len(str(refused).splitlines()) == len(refused.findings) > 0


@given(st.data())
@settings(
    max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_good_file_with_lines_lost_or_bent_raises_nothing_else(shape: Path, data: st.DataObject) -> None:
    lines = SHAPE.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(lines) - 1))
        words = re.findall(r"\w+|\W", lines[number])
        place = data.draw(st.integers(0, len(words) - 1))
        words[place] = data.draw(st.sampled_from(["", "null", "[x]", "{a: 1}", "12", "x", "eu", "route", "2027-01-14"]))
        lines[number] = "".join(words)
    shape.write_text("".join(lines))
    refused = _refusal(shape)
    assert refused is None or len(str(refused).splitlines()) == len(refused.findings) > 0
