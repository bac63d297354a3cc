import json
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from command_line import Run
from scripted_api import Answer, a_job, a_model, failure, listing, scripted_api

from gateway.cli.init import KEYS, Order, draft_files
from gateway.config.loader import load
from gateway.config.routes import Provider
from gateway.sandbox.catalogue import default_catalogue
from tests.fake_clock import FakeClock
from tests.sandbox_server import RunningSandbox, running_sandbox

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = START.date()
BASE = "gpt-4o-mini-2024-07-18"
FORUM = f"ft:{BASE}:acme:forum-reply:A1b2C3d4"
INVOICE = "ft:gpt-4.1-mini-2025-04-14:acme:inv:D4e5F6g7"
KEY = "sk-do-not-print-me"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*KEYS.values(), "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def forty() -> Iterator[RunningSandbox]:
    with running_sandbox(clock=FakeClock(START), catalogue=default_catalogue(START, 40)) as running:
        yield running


def drafted(answers: dict[str, Answer], kind: str = "openai", today: date = TODAY, fallback: str | None = None) -> str:
    """Draft from a scripted provider on a given day; return routes.yaml, which can be served."""
    with scripted_api(answers) as api:
        provider = Provider(name=kind, kind=kind, base_url=api.base_url, api_key_env="A_KEY")
        draft_files(Order(provider, Path("routes.yaml"), fallback, None), {"A_KEY": KEY}, today)
    load(Path("routes.yaml"), environ={})
    return Path("routes.yaml").read_text()


def lines_of(text: str) -> list[str]:
    """Return the lines of the routes, comments too."""
    return [line.strip() for line in text.partition("\nroutes:")[2].splitlines()[1:] if line.strip()]


# The story: forty fine-tunes, a few minutes.


def test_forty_fine_tunes_become_forty_lines_that_can_be_served(forty: RunningSandbox, run: Run) -> None:
    ran = run("init", "--from", "sandbox", "--base-url", forty.base_url)
    assert (ran.code, ran.err) == (0, "")
    assert "40 routes" in ran.out
    assert "32 still exist, 8 deleted" in ran.out
    assert run("check").code == 0
    lines = lines_of(Path("routes.yaml").read_text())
    routes = [line for line in lines if not line.startswith("#")]
    assert len(routes) == 40
    assert sum("training file DELETED" in line for line in routes) == 8
    [forum] = [line for line in routes if line.startswith("forum-reply:")]
    assert forum.startswith(f"forum-reply: {FORUM} ")
    assert "# trained 2026-01-27 · " in forum
    groups = [line for line in lines if line.startswith("# gpt-")]
    assert [group.split(" · ")[0] for group in groups] == ["# gpt-4.1-mini-2025-04-14", f"# {BASE}"]
    assert all(" 2027-01-14" in group for group in groups)
    plan = run("explain", "--route", "forum-reply", "--at", "2026-11-23", "--json").json
    assert [step["model"] for step in plan["steps"]] == [FORUM, "gpt-6-luna"]
    loaded = load(Path("routes.yaml"), environ={})
    fallback = loaded.routes.routes["refund-intent"].fallbacks[0]
    assert fallback.parameters.rename == {"max_tokens": "max_completion_tokens"}
    assert fallback.prompt is not None
    assert "refund intent" in (fallback.prompt.instructions or "")


def test_training_files_that_exist_are_kept_and_prompts_start_from_them(forty: RunningSandbox, run: Run) -> None:
    ran = run("init", "--from", "sandbox", "--base-url", forty.base_url, "--download-training", "training")
    assert ran.code == 0
    assert "32 downloaded" in ran.out
    assert "8 of them starters" in ran.out
    assert run("check").code == 0
    assert len(list(Path("training").iterdir())) == 32
    assert not Path("training/inv.jsonl").exists()
    assert Path("training/triage.jsonl").stat().st_mode & 0o077 == 0
    routes = load(Path("routes.yaml"), environ={}).routes.routes
    triage, invoices = routes["triage"], routes["inv"]
    prompt = triage.fallbacks[0].prompt
    assert prompt is not None
    assert prompt.instructions == "Sort the ticket."
    assert prompt.caller_system == "replace_if_trained"
    assert "Sort the ticket." in prompt.trained_system
    assert 10 <= len(prompt.examples) <= 20
    assert triage.training is not None
    assert triage.training.file == os.path.abspath("training/triage.jsonl")
    assert invoices.training is None, "its file is deleted"
    assert invoices.fallbacks[0].prompt is not None
    assert invoices.fallbacks[0].prompt.examples == ()


def test_a_second_download_takes_what_is_there(forty: RunningSandbox, run: Run) -> None:
    options = ("init", "--from", "sandbox", "--base-url", forty.base_url, "--download-training", "training")
    run(*options)
    before = Path("training/triage.jsonl").stat().st_mtime_ns
    Path("training/forum-reply.jsonl").write_text("mine\n")
    ran = run(*options, "--out", "again/routes.yaml")
    assert ran.code == 0
    assert Path("training/triage.jsonl").stat().st_mtime_ns == before
    assert Path("training/forum-reply.jsonl").read_text() == "mine\n"
    assert "training/forum-reply.jsonl holds something else, and was left as it is" in ran.out
    assert run("check", "again/routes.yaml").code == 0
    training = load(Path("again/routes.yaml"), environ={}).routes.routes["triage"].training
    assert training is not None
    assert training.file == os.path.abspath("training/triage.jsonl")


def test_everything_as_json(forty: RunningSandbox, run: Run) -> None:
    document = run("init", "--from", "sandbox", "--base-url", forty.base_url, "--json").json
    assert len(document["routes"]) == 40
    [invoices] = [row for row in document["routes"] if row["route"] == "inv"]
    assert invoices["shutdown"] == "2027-01-14"
    assert invoices["days_left"] == (date(2027, 1, 14) - date.fromisoformat(document["drafted"])).days
    assert (invoices["model"], invoices["training_file_state"]) == (INVOICE, "deleted")
    assert invoices["fallback"] == "gpt-6-luna"


def test_what_is_gone_is_a_comment_and_when_all_is_gone_the_fallback_plays(forty: RunningSandbox, run: Run) -> None:
    provider = forty.sandbox.provider
    provider.retire(INVOICE)
    run("init", "--from", "sandbox", "--base-url", forty.base_url)
    text = Path("routes.yaml").read_text()
    assert f"  # inv: {{primary: null}}   # was {INVOICE}, trained 2026-01-27, training file DELETED" in text
    for model in provider.models:
        if model.startswith("ft:"):
            provider.retire(model)
    late = run("init", "--from", "sandbox", "--base-url", forty.base_url, "--out", "late/routes.yaml")
    assert (late.code, "40 gone already: routes without a primary" in late.out) == (0, True)
    assert run("check", "late/routes.yaml", "--strict").code == 0
    plan = run("explain", "--routes", "late/routes.yaml", "--route", "inv", "--json").json
    assert [(step["model"], step["reason"]) for step in plan["steps"]] == [("gpt-6-luna", "no_primary")]


# What providers differ in.


def test_openais_dates_come_from_the_calendar_and_the_key_goes_nowhere() -> None:
    rows = [a_model(FORUM), a_model("ft:gpt-3.5-turbo-0125:acme:old:Z1"), a_model("gpt-6-luna"), a_model(BASE)]
    text = drafted({"/models": (200, listing(*rows))})
    lines = lines_of(text)
    assert lines[0].startswith("# gpt-3.5-turbo-0125 · ended 2026-10-23 · 1 fine-tune · source: ")
    assert any(line.startswith(f"# {BASE} · stops 2027-01-14, in 52 days · 1 fine-tune") for line in lines)
    assert "api_key_env: A_KEY" in text
    assert "model: gpt-6-luna" in text
    assert KEY not in "".join(path.read_text() for path in Path().rglob("*") if path.is_file())


def test_a_replacement_that_this_account_does_not_list_is_said() -> None:
    text = drafted({"/models": (200, listing(a_model(FORUM)))})
    assert "NOTE: gpt-6-luna is not in this account's list of models" in text


def test_a_closed_organisation_is_drafted_from_its_models() -> None:
    answers = {
        "/models": (200, listing(a_model(FORUM), a_model("gpt-6-luna"))),
        "/fine_tuning/jobs": (403, failure("training_not_available")),
    }
    text = drafted(answers)
    assert "# NOTE: This organisation is closed to fine-tuning (training_not_available)" in text
    assert f"  forum-reply: {FORUM}   # trained 2026-01-28\n" in text


def test_the_fallback_of_an_adapter_is_its_base() -> None:
    rows = (a_model("tiny-base", parent=None), a_model("grader", parent="tiny-base"))
    drafted({"/models": (200, listing(*rows))}, "vllm")
    route = load(Path("routes.yaml"), environ={}).routes.routes["grader"]
    assert route.primary is not None
    assert (route.primary.model, route.primary.base) == ("grader", "tiny-base")
    assert [fallback.model for fallback in route.fallbacks] == ["tiny-base"]
    assert route.fallbacks[0].parameters.rename == {}


def test_azures_deployments_are_left_to_be_filled_in() -> None:
    answers = {
        "/openai/models": (200, listing(a_model(BASE))),
        "/fine_tuning/jobs": (200, listing(a_job(1, f"{BASE}.ft-0123abcd-forum-reply"))),
    }
    text = drafted(answers, "azure", fallback="gpt-6-luna")
    assert "NOTE: Deployments have names of their own" in text
    route = load(Path("routes.yaml"), environ={}).routes.routes["forum-reply"]
    assert route.primary is not None
    assert (route.primary.model, route.primary.base) == ("DEPLOYMENT-OF-forum-reply", BASE)
    assert (route.fallbacks[0].model, route.fallbacks[0].base) == ("DEPLOYMENT-OF-gpt-6-luna", "gpt-6-luna")


def test_a_fallback_of_ones_own_and_what_is_wrong_with_it() -> None:
    text = drafted({"/models": (200, listing(a_model(FORUM), a_model("gpt-5.1")))}, fallback="gpt-5.1")
    assert "  gpt-5-1:\n    provider: openai\n    model: gpt-5.1\n" in text
    assert "NOTE: The fallback gpt-5.1 stops as well, on 2027-04-01." in text


# Names come from anybody.


@pytest.mark.parametrize(
    ("models", "names"),
    [
        pytest.param([f"ft:{BASE}:acme:Refund_Intent.v2:A1"], ["refund-intent-v2"], id="signs that no name may hold"),
        pytest.param([f"ft:{BASE}:acme::A1b2"], [f"{BASE}-a1b2"], id="no suffix"),
        pytest.param([f"ft:{BASE}:acme:2026-01-01:A1"], [f"{BASE}-2026-01-01"], id="a date"),
        pytest.param([f"ft:{BASE}:acme:注文:A1"], [f"{BASE}-a1"], id="nothing that a name may hold"),
        pytest.param([f"ft:{BASE}:acme:on:A1", f"ft:{BASE}:acme:null:B2"], ["null", "on"], id="words of YAML"),
        pytest.param([f"ft:{BASE}:acme:a@primary:A1"], ["a-primary"], id="a pin"),
        pytest.param([f"ft:{BASE}:acme:{'x' * 200}:A1"], ["x" * 80], id="absurdly long"),
        pytest.param([f"ft:{BASE}:acme:../../etc/passwd:A1"], ["passwd"], id="a path"),
        pytest.param([f'ft:{BASE}:a"cme:q"}}#:A1'], ["q"], id="quotes and braces"),
    ],
)
def test_a_route_is_named_by_its_suffix(models: list[str], names: list[str]) -> None:
    drafted({"/models": (200, listing(*map(a_model, models), a_model("gpt-6-luna")))})
    routes = load(Path("routes.yaml"), environ={}).routes.routes
    assert sorted(routes) == names
    assert sorted(route.primary.model for route in routes.values() if route.primary) == sorted(models)


def test_of_fine_tunes_with_one_suffix_the_newest_has_the_plain_name() -> None:
    day = 86_400
    rows = [
        a_model(f"ft:{BASE}:acme:reply:{letter}", created=1_769_558_400 - age * day)
        for letter, age in (("A1", 9), ("B2", 0), ("C3", 9), ("D4", 30))
    ]
    drafted({"/models": (200, listing(*rows, a_model("gpt-6-luna")))})
    routes = load(Path("routes.yaml"), environ={}).routes.routes
    found = {name: route.primary.model[-2:] for name, route in routes.items() if route.primary}
    assert found == {"reply": "B2", "reply-20260119": "A1", "reply-2": "C3", "reply-20251229": "D4"}


def test_a_training_file_of_any_content_gives_a_prompt_that_loads(run: Run) -> None:
    system = 'Say "yes"\\no\x7f\x85\u2028 # {route} 😀: é'
    row = (
        '{"messages":[{"role":"system","content":%s},{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}'
    )
    content = "\n".join([row % json.dumps(system), "not json", '{"messages": 5}', '{"input": {}}', "[]"]).encode()
    answers: dict[str, Answer] = {
        "/models": (200, listing(a_model(FORUM), a_model("gpt-6-luna"))),
        "/fine_tuning/jobs": (200, listing(a_job(1, FORUM))),
        "/files": (200, listing({"id": "file-1", "bytes": len(content)})),
        "/files/file-1/content": (200, content),
    }
    with scripted_api(answers) as api:
        ran = run("init", "--from", "vllm", "--base-url", api.base_url, "--download-training", "t")
        assert ran.code == 0, "a kind without jobs"
        ran = run(
            "init", "--from", "sandbox", "--base-url", api.base_url, "--download-training", "t", "--out", "b/r.yaml"
        )
    assert ran.code == 0
    prompt = load(Path("b/r.yaml"), environ={}).routes.routes["forum-reply"].fallbacks[0].prompt
    assert prompt is not None
    assert prompt.instructions == system
    assert prompt.trained_system == (system,)
    assert [(pair.user, pair.assistant) for pair in prompt.examples] == [("a", "b")]


# Misuse, and what else can go wrong.


def test_without_a_provider_those_with_a_key_are_offered(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run("init")
    assert (ran.code, ran.out) == (2, "")
    assert "No provider's key is set" in ran.err
    assert "gateway sandbox --fine-tunes 40" in ran.err
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ran = run("init")
    assert ran.code == 2
    assert "gateway init --from openai      OPENAI_API_KEY is set" in ran.err
    assert KEY not in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("--from", "openai"), "OPENAI_API_KEY is not set", id="no key"),
        pytest.param(("--from", "openai", "--api-key-env", "OURS"), "OURS is not set", id="no key in our own variable"),
        pytest.param(("--from", "openai", "--api-key-env", KEY), "must be the NAME", id="the key itself"),
        pytest.param(("--from", "azure"), "AZURE_OPENAI_ENDPOINT", id="no address"),
        pytest.param(("--from", "vllm", "--base-url", "http://a:b@c"), "no user name or password", id="a bad address"),
        pytest.param(("--from", "opnai"), "did you mean 'openai'?", id="no such kind"),
        pytest.param(("--from", "bedrock"), "accounts of bedrock cannot be read", id="a kind that litellm speaks"),
        pytest.param(("--from", "sandbox", "--out", "here.yaml"), "never overwritten", id="a file that is there"),
    ],
)
def test_a_misuse_says_what_to_do(arguments: tuple[str, ...], says: str, run: Run) -> None:
    Path("here.yaml").write_text("mine")
    ran = run("init", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert KEY not in ran.err
    assert Path("here.yaml").read_text() == "mine"
    assert not Path("routes.yaml").exists()


def test_prompts_that_are_there_are_kept(forty: RunningSandbox, run: Run) -> None:
    Path("prompts").mkdir()
    Path("prompts/triage.md").write_text("Ours.")
    ran = run("init", "--from", "sandbox", "--base-url", forty.base_url)
    assert "kept as they were: 1 file (prompts/triage.md)" in ran.out
    assert Path("prompts/triage.md").read_text() == "Ours."


def test_an_account_without_fine_tunes_writes_nothing(run: Run) -> None:
    with scripted_api({"/models": (200, listing(a_model("llama")))}) as api:
        ran = run("init", "--from", "vllm", "--base-url", api.base_url)
    assert ran.code == 1
    assert "no fine-tunes were found at vllm" in ran.err
    assert "1 models: llama" in ran.err or "1 model: llama" in ran.err
    assert list(Path().iterdir()) == []


def test_a_refused_key_is_a_finding(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with scripted_api({"/models": (401, failure("invalid_api_key", f"Incorrect key: {KEY}"))}) as api:
        ran = run("init", "--from", "openai", "--base-url", api.base_url)
    assert ran.code == 1
    assert "the key in OPENAI_API_KEY is not accepted" in ran.err
    assert KEY not in ran.err
