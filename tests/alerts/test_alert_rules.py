"""The alerts that ship: promtool's own tests, and what promtool does not know of commands, metrics and the runbook."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import required
from typer.main import get_command

from gateway.cli.main import app
from gateway.cli.metrics_reference import families
from gateway.execution.route_collector import FALLBACK_REASONS
from gateway.policy.intended import is_intended

pytestmark = pytest.mark.rig
ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
RULES = ROOT / "helm" / "files" / "rules"
FILES = sorted(RULES.glob("*.yaml"))
UNIT_TESTS = sorted(HERE.glob("*.test.yaml"))
RUNBOOK = ROOT / "docs" / "runbook.md"
EXAMPLE = ROOT / "helm" / "files" / "alertmanager-example.yaml"
SEVERITIES = {"page", "ticket", "info"}
RECORDED = re.compile(r"^(route|job):gateway_[a-z0-9_]+:[a-z0-9_]+$")
A_METRIC = re.compile(r"(?<![:a-z0-9_])gateway_[a-z0-9_]+(?![:a-z0-9_])")
A_RECORDED_SERIES = re.compile(r"\b[a-z]+:gateway_[a-z0-9_]+:[a-z0-9_]+")
SUFFIXES = ("_bucket", "_count", "_sum")


def rules() -> Iterator[dict[str, Any]]:
    """Every rule of every file."""
    for file in FILES:
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


ALERTS = [rule for rule in rules() if "alert" in rule]
RECORDINGS = [rule for rule in rules() if "record" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool, to its end."""
    command = [required("promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_prometheus_reads_every_file() -> None:
    checked = promtool("check", "rules", *FILES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("file", UNIT_TESTS, ids=lambda file: file.name.removesuffix(".test.yaml"))
def test_alerts_fire_when_they_should_and_not_when_they_nearly_should(file: Path) -> None:
    ran = promtool("test", "rules", file)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def unit_tested(fires: bool) -> set[str]:
    """The alerts that a unit test sees firing, with all that they say; or silent."""
    tests = [test for file in UNIT_TESTS for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]]
    cases = [case for test in tests for case in test.get("alert_rule_test", ())]
    return {case["alertname"] for case in cases if bool(case["exp_alerts"]) is fires}


@pytest.mark.parametrize("fires", [True, False], ids=["a case in which it fires", "a case in which it does not"])
def test_every_alert_has(fires: bool) -> None:
    assert unit_tested(fires) == set(NAMES)


MUTATIONS = [
    pytest.param(
        "routes",
        "max by (namespace, job, route) (gateway_route_living",
        "min by (namespace, job, route) (gateway_route_living",
        id="one replica's dead route counts for all",
    ),
    pytest.param(
        "routes",
        "topk by (namespace, job, route) (1, ",
        "sum by (namespace, job, route, owner) (",
        id="two owners are two series",
    ),
    pytest.param("calendar", '"sunset",', '"sunset", 0 *', id="alerts do not know their date"),
    pytest.param(
        "polls",
        "unless sum by (namespace, job, provider) (increase(gateway_calendar_polls_total",
        "unless sum (increase(gateway_calendar_polls_total",
        id="another provider's success counts",
    ),
    pytest.param(
        "ledger", "/ gateway_ledger_journal_limit_bytes) > 0.8", "/ 100) > 0.8", id="every journal has the same limit"
    ),
    pytest.param(
        "ledger",
        "(increase(gateway_ledger_dropped_total[15m])) > 0",
        "(gateway_ledger_dropped_total) > 0",
        id="what was lost long ago is told for ever",
    ),
    pytest.param(
        "process",
        "count by (namespace, job) (count by (namespace, job, config_hash)",
        "count (count by (namespace, job, config_hash)",
        id="two gateways are taken for one",
    ),
    pytest.param(
        "keys",
        "min by (namespace, job) (gateway_keys_known",
        "max by (namespace, job) (gateway_keys_known",
        id="a replica that reads the keys counts for all",
    ),
    pytest.param(
        "keys",
        'gateway_budget_refusals_total{reason="unverifiable"}',
        "gateway_budget_refusals_total",
        id="a spent budget",
    ),
    pytest.param("keys", 'gateway_keys{state="expiring"}', "gateway_keys", id="keys that go on"),
    pytest.param(
        "keys",
        "min by (namespace, job) (gateway_rate_limits_shared)",
        "max by (namespace, job) (gateway_rate_limits_shared)",
        id="a replica that shares its limits counts for all",
    ),
    pytest.param(
        "keys",
        "(increase(gateway_auth_failures_total[5m])) > 100",
        "(gateway_auth_failures_total) > 100",
        id="wrong keys of long ago",
    ),
    pytest.param(
        "promotions",
        '{because=~"evidence|gone"}',
        "",
        id="a canary whose time is over is taken for one that was stopped",
    ),
    pytest.param(
        "promotions",
        "and sum by (namespace, job, route) (increase(gateway_system_prompts_total[1h])) >= 20",
        "",
        id="a handful of requests is enough",
    ),
]


@pytest.mark.parametrize(("tests", "said", "mutated"), MUTATIONS)
def test_a_rule_that_is_changed_fails_its_test_where(tests: str, said: str, mutated: str, tmp_path: Path) -> None:
    there = tmp_path / "helm" / "files" / "rules"
    there.mkdir(parents=True)
    changed = 0
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        changed += said in text
        (there / file.name).write_text(text.replace(said, mutated), encoding="utf-8")
    assert changed == 1, "the mutation does not fit the rules any more"
    (tmp_path / "tests" / "alerts").mkdir(parents=True)
    copy = shutil.copy(HERE / f"{tests}.test.yaml", tmp_path / "tests" / "alerts")
    ran = promtool("test", "rules", copy)
    assert ran.returncode != 0
    assert "FAILED" in ran.stdout + ran.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: f"{alert['alert']} {alert['labels'].get('window', '')}")
def test_an_alert_says_what_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert alert["labels"]["product"] == "understudy"
    assert set(alert["annotations"]) == {"summary", "description", "runbook", "what_to_type"}
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
    # $labels are the expression's alone: a label that the rule adds is empty there.
    assert not re.search(r"\$labels\.(severity|product|window)\b", " ".join(alert["annotations"].values()))


def test_the_runbook_has_a_section_for_every_alert_and_no_other() -> None:
    sections = re.findall(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(sections) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_section_of(name: str) -> None:
    text = RUNBOOK.read_text(encoding="utf-8")
    section = text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]
    for part in ("**What it means.**", "**Look at.**", "**Type.**", "**How it ends.**", "**False alarms.**"):
        assert part in section, part


def commands() -> Iterator[tuple[str, str]]:
    """Every command line of ours that an operator is told to type, and where."""
    for alert in ALERTS:
        yield alert["alert"], alert["annotations"]["what_to_type"]
    for line in re.findall(r"^\$ (.*)$|`(gateway [^`]*)`", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE):
        yield "runbook", line[0] or line[1]


@pytest.mark.parametrize("command", sorted({line for _, line in commands() if "gateway " in line}))
def test_what_to_type_can_be_typed(command: str) -> None:
    words = shlex.split(re.sub(r"\{\{.*?\}\}", "X", command[command.index("gateway ") :]))[1:]
    found: Any = get_command(app)
    while hasattr(found, "commands"):
        assert words, "a command is missing"
        assert words[0] in found.commands, f"there is no gateway {words[0]}"
        found = found.commands[words.pop(0)]
    if words:
        # Reads them as the command would, and does nothing: an unknown option, or a value that cannot be, raises.
        found.make_context(command, words)


def test_other_commands_are_kubectls() -> None:
    assert [line for _, line in commands() if not line.startswith(("gateway ", "kubectl ", "curl "))] == []


def text_of(rule: dict[str, Any]) -> str:
    """Whatever of a rule asks Prometheus, in its annotations as well."""
    return " ".join([rule["expr"], *rule.get("annotations", {}).values()])


@pytest.mark.parametrize("rule", [*RECORDINGS, *ALERTS], ids=lambda rule: rule.get("record") or rule["alert"])
def test_what_a_rule_asks_for_exists(rule: dict[str, Any]) -> None:
    exported = {family.name for family in families()}
    exported |= {f"{family.name}{suffix}" for family in families() if family.kind == "histogram" for suffix in SUFFIXES}
    assert set(A_METRIC.findall(text_of(rule))) <= exported
    recorded = {recording["record"] for recording in RECORDINGS}
    assert set(A_RECORDED_SERIES.findall(text_of(rule))) <= recorded


def test_a_fallback_that_is_not_meant_is_what_objectives_count() -> None:
    unplanned = {reason.value for reason in FALLBACK_REASONS if not is_intended(reason, first_after_date=False)}
    (rule,) = (rule for rule in ALERTS if rule["alert"] == "FallbackActiveLong")
    (reasons,) = re.findall(r'reason=~"([^"]+)"', rule["expr"])
    assert set(reasons.split("|")) == unplanned


def test_nothing_is_recorded_that_is_named_otherwise_or_that_is_there_twice() -> None:
    names = [recording["record"] for recording in RECORDINGS]
    assert [name for name in names if not RECORDED.match(name)] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", [*RECORDINGS, *ALERTS], ids=lambda rule: rule.get("record") or rule["alert"])
def test_a_rule_adds_replicas_up_and_keeps_gateways_apart(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    assert not re.search(r"\b(instance|pod|container|node)\b", expression)
    for labels in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", expression):
        # on (): against nothing at all.
        assert labels == "" or labels.startswith("namespace, job"), labels


def test_alertmanager_reads_the_example() -> None:
    checked = subprocess.run(
        [required("amtool"), "check-config", str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


ROUTED = [
    pytest.param({"alertname": "ModelStopsIn7Days", "severity": "ticket"}, "calendar", id="a date, by its base"),
    pytest.param({"alertname": "ErrorBudgetBurn", "severity": "page", "owner": "billing"}, "on-call", id="a page"),
    pytest.param(
        {"alertname": "CostJump", "severity": "ticket", "owner": "billing"}, "billing", id="an owner's ticket"
    ),
    pytest.param({"alertname": "CostJump", "severity": "ticket", "owner": "support"}, "tickets", id="any other ticket"),
    pytest.param(
        {"alertname": "RouteHeldByHand", "severity": "info", "owner": "x"}, "calendar", id="what is for reading"
    ),
]


@pytest.mark.parametrize(("labels", "receiver"), ROUTED)
def test_the_example_sends(labels: dict[str, str], receiver: str) -> None:
    command = [required("amtool"), "config", "routes", "test", f"--config.file={EXAMPLE}"]
    command += [f"{name}={value}" for name, value in labels.items()]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stdout.split() == [receiver], ran.stderr


def test_what_the_example_keeps_quiet_about_exists() -> None:
    """An inhibition that names no alert, or labels that alerts do not have, would do nothing and say nothing."""
    known = set(NAMES)
    for rule in yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))["inhibit_rules"]:
        matchers = [*rule["source_matchers"], *rule["target_matchers"]]
        names = [name for matcher in matchers for name in re.findall(r'^alertname=~?"(.*)"$', matcher)]
        assert names
        assert {one for name in names for one in name.split("|")} <= known
