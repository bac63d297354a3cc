import json
import os
from pathlib import Path

import pytest
from command_line import Ran, Run

from gateway.config.loader import load

DATA = Path(__file__).parent.parent / "data" / "litellm"
CONFIGS = sorted(path.name for path in DATA.glob("*.yaml") if path.name != "wildcards-only.yaml")
LITERALS = ("do-not-copy", "do_not_copy", "DONOTCOPY", "7f3a", "hunter22")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_API_BASE", "_BASE_URL")) or name.startswith(("AWS_", "VERTEX", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def imported(run: Run) -> Ran:
    return run("import", "litellm", DATA / "support-team.yaml")


# The story: a support team moves in.


def test_names_stay_and_fine_tunes_keep_their_fallbacks(imported: Ran, run: Run) -> None:
    assert (imported.code, imported.err) == (0, "")
    assert run("check").code == 0
    routes = load(Path("routes.yaml"), environ={}).routes.routes
    assert list(routes) == ["ticket-triage", "forum-reply", "claims-letter-v2", "gpt-4o", "search-vectors", "triage"]
    triage = routes["ticket-triage"]
    assert [target.model for target in triage.targets] == [
        "ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6",
        "gpt-4o-east",
        "gpt-4o-west",
    ]
    assert routes["triage"].targets == triage.targets, "an alias is a route of the same targets"
    assert triage.timeouts.total_s == 30
    assert routes["search-vectors"].fallbacks == ()
    plan = run("explain", "--route", "forum-reply", "--json").json
    assert plan["steps"][0]["model"] == "ft:gpt-4o-mini-2024-07-18:acme:forum-reply:A1b2C3d4"


def test_the_report_says_everything_with_its_line(imported: Ran) -> None:
    out = imported.out
    assert out.startswith("routes.yaml: 6 routes, 2 fallbacks and 3 providers drafted from support-team.yaml\n")
    for line in (
        "  line 3: ticket-triage: ft:gpt-4.1-mini-2025-04-14:acme:triage:C3d4E5f6 at openai, then gpt-4o",
        "  line 21: claims-letter-v2: is its name here",
        "  line 19, 31, 34: litellm_params.rpm: requests and tokens are not limited here",
        "  line 41: wildcards: there are none",
        "  line 59: general_settings.master_key: put it, or better a new one, into GATEWAY_KEY",
        "  1. export OPENAI_API_KEY, …",
    ):
        assert line in out
    draft = Path("routes.yaml").read_text()
    assert "  search-vectors: text-embedding-3-small                       # line 37\n" in draft
    assert "# Without a counterpart here:\n" in draft


def test_what_is_printed_is_what_would_be_written(run: Run, imported: Ran) -> None:
    shown = run("import", "litellm", DATA / "support-team.yaml", "--out", "-")
    assert shown.code == 0
    assert shown.out == Path("routes.yaml").read_text()
    assert "taken over:" in shown.err


def test_everything_as_json(run: Run) -> None:
    document = run("import", "litellm", DATA / "support-team.yaml", "--out", "draft/routes.yaml", "--json").json
    assert document["file"] == "draft/routes.yaml"
    assert document["routes"][2] == {
        "route": "claims-letter-v2",
        "provider": "azure-acme-west",
        "model": "claims-ft",
        "base": "gpt-4.1-mini-2025-04-14",
        "fallbacks": [],
        "file": "support-team.yaml",
        "line": 21,
    }
    assert document["variables"] == ["OPENAI_API_KEY", "AZURE_WEST_KEY", "AZURE_EAST_KEY", "SLACK_WEBHOOK_URL"]
    [wildcard] = [note for note in document["no_counterpart"] if note["about"] == "wildcards"]
    assert wildcard["places"] == [{"file": "support-team.yaml", "line": 41}]
    assert document["errors"] == []
    shown = run("import", "litellm", DATA / "support-team.yaml", "--out", "-", "--json").json
    assert shown["file"] is None
    assert shown["draft"] == Path("draft/routes.yaml").read_text()


# Every shape of config.


@pytest.mark.parametrize("name", CONFIGS)
def test_a_draft_can_be_served_and_holds_no_key(name: str, run: Run) -> None:
    ran = run("import", "litellm", DATA / name)
    assert ran.code == 0, ran.out + ran.err
    checked = run("check", "--json")
    assert checked.code == 0, checked.out
    shown = run("import", "litellm", DATA / name, "--out", "-", "--json")
    said = ran.out + ran.err + Path("routes.yaml").read_text() + shown.out + checked.out
    assert [literal for literal in LITERALS if literal in said] == []


def test_included_files_are_read_and_named(run: Run) -> None:
    ran = run("import", "litellm", DATA / "including.yaml")
    assert (
        "included-models.yaml:2: extract: ft:gpt-4o-2024-08-06:acme:extract:E1e2E3e4 at openai, then draft" in ran.out
    )
    assert "# included-models.yaml:2" in Path("routes.yaml").read_text()


def test_the_values_of_a_helm_chart_are_read(run: Run) -> None:
    ran = run("import", "litellm", DATA / "helm-values.yaml")
    assert (ran.code, "line 4: reply: ft:" in ran.out) == (0, True)


def test_addresses_come_from_the_environment_and_keys_do_not(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOT_SET_ANYWHERE", "https://found.openai.azure.com")
    monkeypatch.setenv("AZURE_EU_KEY", "do-not-copy-me-either")
    run("import", "litellm", DATA / "credentials.yaml")
    draft = Path("routes.yaml").read_text()
    assert 'base_url: "https://found.openai.azure.com"' in draft
    assert 'base_url: "https://acme-eu.openai.azure.com"' in draft, "the config's own environment_variables count"
    assert "do-not-copy" not in draft


# What cannot be done.


def test_no_file_is_overwritten(run: Run) -> None:
    Path("routes.yaml").write_text("mine\n")
    ran = run("import", "litellm", DATA / "minimal.yaml")
    assert (ran.code, Path("routes.yaml").read_text()) == (2, "mine\n")
    assert "--out draft/routes.yaml" in ran.err


def test_a_dangling_link_counts_as_a_file(run: Run) -> None:
    Path("routes.yaml").symlink_to("nowhere.yaml")
    assert run("import", "litellm", DATA / "minimal.yaml").code == 2


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        pytest.param(None, 2, "there is no file config.yaml", id="no file"),
        pytest.param("a: 1\n", 1, "has no model_list", id="another file"),
        pytest.param("model_list: []\n", 1, "nothing of config.yaml can be drafted", id="no models"),
        pytest.param("model_list: text\n", 1, "nothing of config.yaml can be drafted", id="no list"),
        pytest.param("a: [\n", 1, "config.yaml:1: is not YAML", id="no YAML"),
        pytest.param("include: [absent.yaml]\n", 1, "absent.yaml cannot be read", id="an include that is not there"),
        pytest.param("include: [config.yaml]\n", 1, "has no model_list", id="itself included"),
    ],
)
def test_what_cannot_be_drafted_is_said(text: str | None, code: int, words: str, run: Run) -> None:
    if text is not None:
        Path("config.yaml").write_text(text)
    ran = run("import", "litellm", "config.yaml")
    assert (ran.code, ran.out) == (code, "")
    assert words in ran.err
    assert not Path("routes.yaml").exists()


def test_wildcards_alone_are_nothing_to_draft(run: Run) -> None:
    ran = run("import", "litellm", DATA / "wildcards-only.yaml")
    assert ran.code == 1
    assert "line 2, 4: wildcards: there are none" in ran.err


def test_a_draft_that_needs_mending_is_written_and_said(run: Run) -> None:
    # Long ids, each twice: the draft is longer than routes.yaml may be.
    model = f"openai/{'x' * 480}"
    rows = [{"model_name": f"m{number}", "litellm_params": {"model": model}} for number in range(1200)]
    aliases = {f"a{number}": f"m{number}" for number in range(1200)}
    Path("config.yaml").write_text(json.dumps({"model_list": rows, "router_settings": {"model_group_alias": aliases}}))
    ran = run("import", "litellm", "config.yaml")
    assert ran.code == 1
    assert "to mend: routes.yaml:1: is larger than 1 MiB" in ran.out
    assert Path("routes.yaml").exists()


def test_help_teaches(run: Run) -> None:
    assert "litellm" in run("import", "--help").out
    text = run("import", "litellm", "--help").out
    assert "gateway import litellm config.yaml" in text
    assert "Exit codes: 0 a draft was written" in text
