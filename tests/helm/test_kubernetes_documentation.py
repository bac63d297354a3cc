"""docs/kubernetes.md and NOTES.txt say what the chart does."""

import re
import shlex
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from gateway.cli import server
from gateway.config.settings import Settings
from tests.helm.chart_cases import CASES, LEAST, ROOT, chart, gateway_container, objects, over, texts, workload

TEXT = (ROOT / "docs" / "kubernetes.md").read_text()
BLOCKS = {
    block.splitlines()[0].removeprefix("# my-values.yaml: "): block
    for block in re.findall(r"```yaml\n(# my-values\.yaml.*?)```", TEXT, re.DOTALL)
}


@pytest.mark.parametrize("title", BLOCKS)
def test_values_to_copy_install(title: str) -> None:
    found = objects(yaml.safe_load(BLOCKS[title]))
    assert workload(found)["spec"]["replicas"] == (3 if "three" in title else 1)


def test_every_value_that_is_named_exists() -> None:
    values = chart().values

    def exists(path: str) -> bool:
        at: Any = values
        for key in path.split("."):
            if not isinstance(at, dict) or key not in at:
                # Below what is free or empty, anything is somebody's own.
                return isinstance(at, dict) and not at
            at = at[key]
        return True

    pages = {"docs/kubernetes.md": TEXT} | {
        str(file.relative_to(ROOT)): file.read_text()
        for file in (ROOT / "helm").rglob("*")
        if file.suffix in (".txt", ".tpl") or file.name == "values.yaml"
    }
    named = {
        (page, path)
        for page, text in pages.items()
        for path in re.findall(r"(?<![\w./$-])([a-z]\w*(?:\.[a-zA-Z]\w*)+)(?![\w/({])", text)
        if path.split(".")[0] in values
    }
    assert len(named) > 60
    assert sorted((page, path) for page, path in named if not exists(path)) == []


def test_files_are_given_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("version: 1")
    commands = re.sub(r"\\\n", " ", TEXT)
    (line,) = (line for line in commands.splitlines() if "--set-file" in line and line.startswith("helm upgrade"))
    words = shlex.split(line)
    given = [words[at + 1] for at, word in enumerate(words) if word == "--set-file"]
    values: dict[str, Any] = {}
    for option in given:
        path, _, _ = option.rpartition("=")
        values = over(values, helm_python.parse_set_file(f"{path}={tmp_path / 'a-file'}"))
    assert values == {"config": {"routes": "version: 1", "files": {"prompts/forum-reply.md": "version: 1"}}}
    assert objects(over(LEAST, values))


def test_figures_are_the_charts_and_the_gateways() -> None:
    found = objects(LEAST)
    container, pod = gateway_container(found), workload(found)["spec"]["template"]["spec"]
    rows = dict(re.findall(r"^\| ([^|]*) \| ([^|]*) \|", TEXT[TEXT.index("## Starting") :], re.MULTILINE))
    numbers = {1: "once", 2: "twice", 6: "six times"}
    startup, readiness, liveness = (container[f"{name}Probe"] for name in ("startup", "readiness", "liveness"))
    assert rows["startup"].startswith("`/healthz`, every second, for up to 60")
    assert startup["periodSeconds"] * startup["failureThreshold"] == 60
    for name, probe in (("readiness", readiness), ("liveness", liveness)):
        every_s, times = probe["periodSeconds"], numbers[probe["failureThreshold"]]
        assert rows[name] == f"`{probe['httpGet']['path']}`, every {every_s} s, {times}"
    settings = Settings(host="::", key="k", admin_key="a")
    assert f"`stopping.lingerSeconds` ({settings.lingers_s:.0f})" in TEXT
    assert f"`stopping.drainSeconds` ({settings.drain_s:.0f})" in TEXT
    assert f"preStop + drain + 10 = {pod['terminationGracePeriodSeconds']}" in TEXT
    assert server.LEAVES_S <= 5


def test_links_lead_to_files_that_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXT):
        assert (ROOT / "docs" / target).resolve().exists(), target


@pytest.mark.parametrize("name", CASES)
def test_what_to_do_next_names_what_was_installed(name: str) -> None:
    notes = texts(CASES[name])["NOTES.txt"]
    found = objects(CASES[name])
    main = workload(found)
    (service,) = (o for o in found if o["kind"] == "Service" and "clusterIP" not in o["spec"])
    assert f"rollout status {main['kind'].lower()}/{main['metadata']['name']}" in notes
    assert f"port-forward service/{service['metadata']['name']} 8080:{service['spec']['ports'][0]['port']}" in notes
    assert ("This is a trial" in notes) == (name == "trial")
    assert ("Monitoring is off" in notes) == (not CASES[name].get("monitoring", {}).get("enabled", False))
    assert "\n\n\n" not in notes
    assert max(map(len, notes.splitlines()[1:])) <= 130
