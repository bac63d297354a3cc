"""Every question of every dashboard is put to a real Prometheus that has watched a busy gateway: each has an answer."""

import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from busy_gateway import FORUM, ROUTES, STAR, Busy, busy_gateway
from gateway_server import ROOT
from prometheus_server import RunningPrometheus, Series, running_prometheus

pytestmark = pytest.mark.rig

CHART = ROOT / "helm" / "files"
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in sorted((CHART / "dashboards").glob("*.json"))}
WINDOW_S = 30
"""Of a rate; Grafana takes at least four scrapes."""
ROUNDS = 9
"""How often every route is asked before the primary dies, and again after that."""
CALM = {
    "calendar: Routes whose primary stops in 7 days",
    "calendar: Routes whose primary stops in 30 days",
    "calendar: Past its day, and still the primary",
    "calendar: Stops in 30 days, fallback never tried",
    "calendar: Stops in 30 days, no fallback",
    "overview: Reloads, credentials and messages",
    "overview: Requests refused for their key's sake",
    "overview: Connections ended for what came on them",
    "overview: Replicas not ready",
}
"""What does not happen here, and is 0."""
LATE = {"overview: What fires now": {"base"}}
"""Labels of alerts that take longer than this to fire."""
EMPTY_IS_ZERO = re.compile(r" or (on \(\) )?vector\(0\)$")
Json = dict[str, Any]


@dataclass(frozen=True)
class Watched:
    """A Prometheus that has seen it all, and from when to when (unix time)."""

    prometheus: RunningPrometheus
    since: float
    until: float

    def ask(self, target: Json, route: str) -> list[Series]:
        """Put a panel's query as Grafana would: now, or over the time shown."""
        expr = self.interpolated(target["expr"], route)
        if target["range"]:
            return self.prometheus.query_range(expr, self.since + 5, self.until, step_s=5)
        return self.prometheus.query(expr, self.until)

    def interpolated(self, text: str, route: str) -> str:
        """Fill in the variables."""
        known = {
            "__rate_interval": f"{WINDOW_S}s",
            "__range": f"{math.ceil(self.until - self.since)}s",
            "route": route,
            "owner": ".*",
            "team": ".*",
        }
        filled = re.sub(r"\$([a-z_]\w*)", lambda found: known[found[1]], text)
        assert not re.search(r"\$[^1]", filled), "$1 is label_replace's"
        return filled


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Let everything happen that the dashboards show, while a Prometheus looks on."""
    with (
        busy_gateway(tmp_path_factory.mktemp("busy")) as busy,
        running_prometheus(busy.addresses, rule_files=sorted((CHART / "rules").glob("*.yaml"))) as prometheus,
    ):
        # What is counted before the first look is not seen to rise.
        prometheus.wait_for("count(gateway_ready == 1) == 2")
        since = time.time()
        busy.traffic.start()
        _until_asked(busy, prometheus, ROUNDS)
        busy.retire(FORUM)
        _until_asked(busy, prometheus, 2 * ROUNDS)
        prometheus.wait_for(f'gateway_route_fallback_active{{route="{STAR}",reason="gone"}} == 1')
        prometheus.wait_for('ALERTS{alertname="SubstitutionSeen",alertstate="firing"}')
        assert prometheus.broken_rules() == {}
        yield Watched(prometheus, since, time.time())


def _until_asked(busy: Busy, prometheus: RunningPrometheus, rounds: int) -> None:
    def asked() -> bool:
        if busy.traffic.error is not None:
            raise busy.traffic.error
        return busy.traffic.rounds >= rounds

    prometheus.wait_until(f"{rounds} rounds of traffic", asked, within_s=60)


def panels(name: str) -> Iterator[Json]:
    for panel in DASHBOARDS[name]["panels"]:
        yield from panel["panels"] if panel["type"] == "row" else [panel]


def every_panel() -> list[Any]:
    return [pytest.param(name, panel, id=f"{name}: {panel['title']}") for name in DASHBOARDS for panel in panels(name)]


def chosen(name: str) -> str:
    """What the variable ``route`` is: one route, or all of them, as Grafana writes a choice of several."""
    if name == "route":
        return STAR
    return "(" + "|".join(re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", route) for route in ROUTES) + ")"


def parts(expr: str) -> Iterator[str]:
    """What a share counts: ``(part) or 0 * (whole)`` is 0 also where the part is misspelt."""
    for found in re.finditer(r"\) or 0 \* \(", expr):
        depth, start = 1, found.start()
        while depth:
            start -= 1
            depth += {")": 1, "(": -1}.get(expr[start], 0)
        yield expr[start + 1 : found.start()]


def has_values(series: list[Series]) -> bool:
    return any(not math.isnan(value) for one in series for _, value in one.points)


@pytest.mark.parametrize(("name", "panel"), every_panel())
def test_every_query_of_a_panel_has_an_answer(watched: Watched, name: str, panel: Json) -> None:
    for target in panel["targets"]:
        series = watched.ask(target, chosen(name))
        assert has_values(series), f"empty: {target['expr']}"
        assert not any({"instance", "job"} & set(one.labels) for one in series), f"replica by replica: {target['expr']}"
        for part in parts(target["expr"]):
            assert has_values(watched.ask(target | {"expr": part}, chosen(name))), f"there is no part: {part}"
        without = EMPTY_IS_ZERO.sub("", target["expr"])
        if without != target["expr"] and f"{name}: {panel['title']}" not in CALM:
            # Else a label that does not exist would always look like a calm day.
            assert has_values(watched.ask(target | {"expr": without}, chosen(name))), f"only ever 0: {without}"


@pytest.mark.parametrize(("name", "panel"), every_panel())
def test_legends_and_columns_are_labels_of_the_answers(watched: Watched, name: str, panel: Json) -> None:
    labels: set[str] = set()
    for target in panel["targets"]:
        series = watched.ask(target, chosen(name))
        labels |= {label for one in series for label in one.labels}
        if f"{name}: {panel['title']}" not in CALM:
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert any(label in one.labels for one in series), f"{label} of {target['expr']}"
        if not target["legendFormat"] and panel["type"] != "table":
            assert len(series) <= 1, f"{len(series)} series without names: {target['expr']}"
    for step in panel.get("transformations", ()):
        if step["id"] == "filterFieldsByName":
            names = {field for field in step["options"]["include"]["names"] if not field.startswith("Value")}
            assert names <= labels | LATE.get(f"{name}: {panel['title']}", set())


@pytest.mark.parametrize("name", list(DASHBOARDS))
def test_every_variable_has_values_to_choose_from(watched: Watched, name: str) -> None:
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            query = watched.interpolated(variable["query"]["query"], ".*")
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
            assert found is not None
            values = watched.prometheus.label_values(found[2], found[1])
            expected = {"route": set(ROUTES), "owner": {"community", "support"}, "team": {"community", "support"}}
            assert set(values) == expected[variable["name"]]


@pytest.mark.parametrize("name", [name for name in DASHBOARDS if DASHBOARDS[name]["annotations"]["list"]])
def test_the_cutover_is_marked_on_every_curve(watched: Watched, name: str) -> None:
    for annotation in DASHBOARDS[name]["annotations"]["list"]:
        series = watched.ask({"expr": annotation["expr"], "range": True}, chosen(name))
        assert [(one.labels["route"], one.labels["reason"]) for one in series if one.labels["reason"] == "gone"] == [
            (STAR, "gone")
        ]
